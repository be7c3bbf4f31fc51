"""One card for everything that was broken in a run: tests note what they saw, and it is printed at
the end of ``make chaos``, with the sums over all processes that tests ran in."""

from __future__ import annotations

import platform
import subprocess
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from tests.chaos.fleet import Fleet
from tests.chaos.terms import SEED

_counts: Counter[str] = Counter()
_recoveries_s: list[float] = []
_remarks: list[str] = []

ROWS = (
    "accepted",
    "completed",
    "dead-lettered on purpose",
    "lost",
    "duplicate effects",
    "wrong texts",
    "kills",
    "crash points",
    "faults",
    "chunks",
    "calls twice",
    "mutated files",
    "canary hits",
    "unannounced 5xx",
)


def noted(**figures: int) -> None:
    """``calls_twice=2`` adds two to the row "calls twice"."""
    for name, value in figures.items():
        row = _row(name)
        assert row in ROWS, row
        _counts[row] += value


def note(
    fleet: Fleet,
    *,
    chunks: int,
    kills: int,
    calls: int | None = None,
    mended: Collection[JobId] = (),
) -> None:
    """The jobs of a fleet. ``calls`` are those of its ledger, unless somebody else kept one. What
    was asserted before is noted all the same: a card of zeros that nobody counted would be worth
    nothing. The ``mended`` may be completed twice, on purpose: with a gap, and then without it."""
    found = fleet.jobs()
    jobs = found.values()
    made = sum(fleet.calls().values()) if calls is None else calls
    allowed = {Path(found[job].work.path).stem: 2 for job in mended}
    allowed |= {str(job): 2 for job in mended}
    done = {name: len(texts) for name, texts in fleet.texts().items()}
    done |= fleet.events("JobCompleted")
    noted(
        accepted=len(jobs),
        completed=fleet.count_of(JobStatus.COMPLETED),
        dead_lettered_on_purpose=fleet.count_of(JobStatus.FAILED),
        lost=sum(not job.is_over for job in jobs),
        duplicate_effects=sum(max(0, done[one] - allowed.get(one, 1)) for one in done),
        kills=kills,
        chunks=chunks,
        calls_twice=made - chunks,
    )


def _row(name: str) -> str:
    known = {row.replace("-", "_").replace(" ", "_"): row for row in ROWS}
    return known.get(name, name)


def recovered(after_s: list[float]) -> None:
    """How long after the death of a worker its jobs were begun by another, at the shipped terms."""
    _recoveries_s.extend(after_s)


def remarked(*lines: str) -> None:
    """What no sum can be made of."""
    _remarks.extend(lines)


def given() -> dict[str, Any]:
    """What this process noted, as the one that prints the card takes it."""
    return {"counts": dict(_counts), "recoveries_s": _recoveries_s, "remarks": _remarks}


def taken(notes: Mapping[str, Any]) -> None:
    """What another process noted; nothing, if it crashed."""
    _counts.update(notes.get("counts", {}))
    _recoveries_s.extend(notes.get("recoveries_s", ()))
    _remarks.extend(notes.get("remarks", ()))


def card() -> list[str]:
    """Its lines; none when nothing was noted."""
    if not _counts and not _remarks:
        return []
    lines = [f"{row:30} {_counts[row]:>8}" for row in ROWS if row in _counts]
    if _counts["chunks"]:
        share = 100 * _counts["calls twice"] / _counts["chunks"]
        lines.append(f"{'calls twice, of all chunks':30} {share:>7.1f} %")
    if len(_recoveries_s) > 1:
        percentiles = quantiles(_recoveries_s, n=100, method="inclusive")
        lines.append(f"{'recovery p50':30} {percentiles[49]:>7.1f} s")
        lines.append(f"{'recovery p99':30} {percentiles[98]:>7.1f} s")
    lines.extend(_remarks)
    lines.append(f"seed {SEED}, commit {_commit()}, Python {platform.python_version()}")
    return lines


def _commit() -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    here = Path(__file__).parent
    said = subprocess.run(asked, cwd=here, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"
