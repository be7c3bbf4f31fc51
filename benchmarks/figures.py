"""Figures beside what is asked for: in lines as they come, in the raw results, on the page."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from benchmarks import ROOT, machine
from benchmarks.report import RESULTS
from benchmarks.sections import Row, figures_table, rendered

PAGE: Final = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """``at_least`` says on which side of ``wanted`` the value is meant to be."""

    what: str
    value: float
    unit: str
    wanted: float
    at_least: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted

    def row(self) -> Row:
        sign = "≥" if self.at_least else "≤"
        return (self.what, self.value, self.unit, sign, self.wanted, self.met, self.more)

    def line(self) -> str:
        sign = "≥" if self.at_least else "≤"
        more = ", ".join(f"{name}: {value}" for name, value in self.more.items())
        verdict = "met" if self.met else "NOT MET"
        head = f"{self.what:<44}{self.value:>9.3f} {self.unit:<4}"
        return f"{head} ({sign} {self.wanted:g}) {verdict}  {more}"


FIELDS: Final = tuple(member.name for member in fields(Figure))


def publish(
    figures: Sequence[Figure],
    section: str,
    *,
    page: Path = PAGE,
    results: Path = RESULTS.parent,
) -> None:
    """Into the raw results and the section of the page. What was not measured this time, because
    only some parts were, stays as an earlier run left it, in its place."""
    path = results / f"{section}.jsonl"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows = {row["what"]: row for row in _read(path)}
    for figure in figures:
        rows[figure.what] = {**asdict(figure), "met": figure.met, "measured": today}
    _write(list(rows.values()), path)
    kept = [Figure(**{name: row[name] for name in FIELDS}) for row in rows.values()]
    table = figures_table(figure.row() for figure in kept)
    text = rendered(page.read_text(encoding="utf-8"), section, table)
    page.write_text(text, encoding="utf-8")


def _write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One JSON object a line; the first says when and on what machine."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    lines: list[object] = [{"started": started, "machine": machine.describe()}, *rows]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(f"written to {path}")


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [row for row in rows if "what" in row]
