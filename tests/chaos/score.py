"""The score card of a run of chaos, in one form for all of them: printed, to be compared."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Sequence
from functools import cache

from stretto.contexts.core.job import JobStatus
from tests.chaos.fleet import HOUSE, Fleet


def print_score(
    fleet: Fleet, *, chunks: int, kills: int, seed: int, calls: int | None = None
) -> None:
    """``calls`` are those of the ledger, unless somebody else kept one."""
    jobs = fleet.jobs()
    made = sum(fleet.calls().values()) if calls is None else calls
    counts = {status: fleet.count_of(status) for status in JobStatus}
    versions = sum(len(texts) - 1 for texts in fleet.texts().values())
    events = sum(count - 1 for count in fleet.events("JobCompleted").values())
    print(
        f"\naccepted {len(jobs)}, completed {counts[JobStatus.COMPLETED]}, "
        f"dead-lettered {counts[JobStatus.FAILED]}, "
        f"lost {sum(not job.is_over for job in jobs.values())}, "
        f"chunks {chunks}, calls {made} (twice: {100 * (made - chunks) / chunks:.1f} %), "
        f"duplicate effects {versions + events}, kills {kills}, seed {seed}, {commit()}"
    )


def print_recovery(waits_s: Sequence[float], *, seed: int) -> None:
    """How long after a death its jobs were begun by others."""
    ordered = sorted(waits_s)
    p99 = ordered[max(0, -(-99 * len(ordered) // 100) - 1)]
    print(
        f"\nrecovery of {len(ordered)} jobs: p50 {statistics.median(ordered):.1f} s, "
        f"p99 {p99:.1f} s, worst {ordered[-1]:.1f} s, seed {seed}, {commit()}"
    )


@cache
def commit() -> str:
    """What was tried; nothing is known of it outside a checkout."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(asked, cwd=HOUSE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no checkout"
    return f"commit {found.stdout.strip()}"
