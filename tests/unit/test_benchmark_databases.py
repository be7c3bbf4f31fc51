"""The page on the databases follows from what was measured of them, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import database, database_figures, database_report
from benchmarks.database_figures import Figure, Measured
from benchmarks.report import PAGE

TEXT = "Before.\n<!-- measured: databases -->\nold\n<!-- end -->\nAfter."
CONDITIONS = {
    "started": "2026-01-01T00:00:00+00:00",
    "revision": "abc",
    "machine": {
        "cpu": "A Processor",
        "cores": 2,
        "memory_bytes": 16_000_000_000,
        "system": "Linux x86_64",
        "python": "3.11.0",
    },
    "versions": {"SQLite": "3.40.1"},
}


def timed(name: str, what: str, size: int, p50_ms: float, p95_ms: float) -> Figure:
    return Figure(
        database=name,
        transcripts=size,
        what=what,
        count=40,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        first_p95_ms=3 * p95_ms,
    )


@pytest.fixture
def measured() -> Measured:
    figures = [
        timed(name, what, size, size / 1000, size / 500)
        for name in ("sqlite", "postgresql")
        for what in ("list", "search, rare word")
        for size in (1000, 2000)
    ]
    more = {"acknowledged": 7, "lost": 0, "integrity": "ok"}
    killed = Figure(database="sqlite", transcripts=2000, what="kill -9", count=3, more=more)
    return Measured(conditions=CONDITIONS, figures=(*figures, killed))


def test_what_was_written_down_is_read_again_unchanged(measured: Measured, tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    database_figures.write(measured, path)
    assert database_figures.read(path) == measured
    assert database_figures.read(tmp_path / "nothing") == Measured()


def test_the_page_shows_both_sizes_their_ratio_and_the_target(measured: Measured) -> None:
    page = database_report.render(TEXT, measured)
    assert "| SQLite, ms | 1,000: p50 / p95 | 2,000: p50 / p95 |" in page
    assert "| list | 1.00 / 2.00 | 2.00 / 4.00 | 2.00 / 2.00 | 10 | 12.00 |" in page
    assert "| search, rare word | 1.00 / 2.00 | 2.00 / 4.00 | 2.00 / 2.00 | 50 | 12.00 |" in page
    assert "| SQLite | kill -9, 3 times | acknowledged: 7; lost: 0; integrity: ok |" in page
    assert "A Processor, 2 cores" in page
    assert page.startswith("Before.")
    assert page.endswith("After.")
    assert "old" not in page
    assert database_report.render(page, measured) == page


def test_without_figures_the_page_says_so() -> None:
    assert "Not measured yet" in database_report.render(TEXT, Measured())


def test_the_page_in_docs_has_a_place_for_the_databases(measured: Measured) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "A Processor" in database_report.render(page, measured)
    with pytest.raises(ValueError, match="databases"):
        database_report.render("A page without it.", measured)


def test_the_same_figures_give_the_same_plot(measured: Measured, tmp_path: Path) -> None:
    plot = pytest.importorskip("benchmarks.database_plot")
    drawn = []
    for name in ("one.svg", "two.svg"):
        plot.draw(measured, tmp_path / name)
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]
    assert b"PostgreSQL" in drawn[0]


def test_libraries_are_built_now_and_measured_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SCRATCH", tmp_path / "scratch")
    given = ["--databases", "sqlite", "--quick", "--keep", str(tmp_path / "kept")]
    database.main([*given, "--build"])
    assert "p50" not in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["sqlite-1000", "sqlite-200"]
    database.main(given)
    printed = capsys.readouterr().out
    assert "built in 0 s" in printed
    figures = database_figures.read(tmp_path / "scratch" / "database.jsonl")
    assert figures.sizes == [200, 1000]
    assert "search, phrase" in figures.questions
    with pytest.raises(SystemExit):
        database.main(["--build"])
