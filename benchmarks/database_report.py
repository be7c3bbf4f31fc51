"""Writes the databases' part of docs/benchmarks.md, with its plot, from the figures."""

from __future__ import annotations

import argparse
from importlib import util
from pathlib import Path
from typing import Final

from benchmarks import database_figures
from benchmarks.database_figures import Figure, Measured
from benchmarks.report import NOTHING, PAGE, table
from benchmarks.report import RESULTS as RESULTS_OF_SPEED
from benchmarks.sections import rendered

RESULTS: Final = RESULTS_OF_SPEED.with_name("database.jsonl")
SECTION_NAME: Final = "databases"
LABELS: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
MOST_MS: Final = {"search": 50.0, "": 10.0}
"""The targets for the p95, by how the question begins; the last one is for all others."""

MOST_RATIO: Final = 1.5
"""So many times as long may a page of the list, or a lookup, take in the largest library."""


def target_ms(what: str) -> float:
    return next(limit for beginning, limit in MOST_MS.items() if what.startswith(beginning))


def render(page: str, measured: Measured) -> str:
    """``page`` with its section on databases written anew. Raises ValueError without one."""
    body = section(measured) if measured.figures else NOTHING_OF_DATABASES
    return rendered(page, SECTION_NAME, body)


NOTHING_OF_DATABASES: Final = NOTHING.replace("make bench", "python -m benchmarks.database")


def section(measured: Measured) -> str:
    parts = [answers(measured, database) for database in measured.databases]
    return "\n\n".join([*parts, image(), trials(measured), conditions(measured)])


def answers(measured: Measured, database: str) -> str:
    """One row for each question, from the smallest library to the largest."""
    sizes = measured.sizes
    header = [f"{LABELS[database]}, ms", *(f"{size:,}: p50 / p95" for size in sizes)]
    rows = []
    for what in measured.questions:
        figures = [measured.find(database, what, size) for size in sizes]
        first = f"{figures[-1].first_p95_ms:.2f}" if figures[-1] else "–"
        rows.append([what, *map(cell, figures), ratio(figures), f"{target_ms(what):g}", first])
    asked_first = "p95 the first time"
    return table([*header, "ratio of the p50 / p95", "p95 at most", asked_first], rows)


def cell(figure: Figure | None) -> str:
    return f"{figure.p50_ms:.2f} / {figure.p95_ms:.2f}" if figure else "–"


def ratio(figures: list[Figure | None]) -> str:
    """How many times as long the largest library takes as the smallest."""
    first, last = figures[0], figures[-1]
    if first is None or last is None or not first.p50_ms or not first.p95_ms:
        return "–"
    return f"{last.p50_ms / first.p50_ms:.2f} / {last.p95_ms / first.p95_ms:.2f}"


def trials(measured: Measured) -> str:
    """What was counted, not timed."""
    rows = [
        [
            LABELS[figure.database],
            f"{figure.what}, {figure.count} times",
            "; ".join(f"{name}: {value}" for name, value in (figure.more or {}).items()),
        ]
        for figure in measured.figures
        if figure.more is not None
    ]
    return table(["Database", "Trial", "Outcome"], rows)


def conditions(measured: Measured) -> str:
    given = measured.conditions
    machine = given["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in given["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 1e9:.0f} GB of "
        f"memory, {machine['system']}, Python {machine['python']}; {versions}; measured "
        f"{given['started'][:10]} at revision `{given['revision']}`."
    )


def image() -> str:
    return "![p95 of each question in a small and a large library](images/databases.svg)"


def write(measured: Measured, *, page: Path) -> None:
    """Write the page and its plot; without matplotlib the plot stays as it was."""
    page.write_text(render(page.read_text(encoding="utf-8"), measured), encoding="utf-8")
    if util.find_spec("matplotlib") is None:
        print("No plot was drawn: pip install matplotlib.")
    elif measured.figures:
        from benchmarks import database_plot

        database_plot.draw(measured, page.parent / "images" / "databases.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    write(database_figures.read(given.results), page=given.page)


if __name__ == "__main__":
    main()
