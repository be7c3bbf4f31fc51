"""Measures the cache: ``python -m benchmarks.caching``. ``--quick`` checks the harness.

What an edited recording costs, what a known one takes, what each level adds to what it wraps, how
large the lasting level gets, and what happens in a rush, with damaged entries and after
invalidations. ``--audio`` names a recording in English for the first part.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks import caching_edits, caching_levels, caching_rush
from benchmarks.caching_figures import Sizes, redis_url
from benchmarks.figures import Figure, publish

FULL: Final = Sizes(
    calls=20_000, transcripts=300, processes=4, callers=50, invalidations=500, damages=200
)
PARTS: Final = "levels,size,damage,stampede,stale,edits"
QUICK: Final = Sizes(calls=300, transcripts=5, processes=2, callers=8, invalidations=10, damages=20)


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    sizes = QUICK if given.quick else FULL
    figures: list[Figure] = []
    for figure in measured(sizes, audio=given.audio, parts=given.parts.split(",")):
        print(figure.line(), flush=True)
        figures.append(figure)
    if not given.quick:
        publish(figures, "caching")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.caching", description=__doc__)
    made.add_argument("--quick", action="store_true", help="small sizes: checks the harness")
    made.add_argument("--audio", type=Path, help="default: the demo, said again and again")
    made.add_argument("--parts", default=PARTS, help="some of them")
    return made


def measured(sizes: Sizes, *, audio: Path | None, parts: Sequence[str]) -> Iterator[Figure]:
    """The figures of the ``parts``, one after the other."""
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as name, redis_url() as url:
        home = Path(name)
        if "levels" in parts:
            yield from caching_levels.latencies(home / "levels", url, sizes)
        if "size" in parts:
            yield caching_levels.size_on_disk(home / "size", sizes)
        if "damage" in parts:
            yield from caching_levels.damaged(home / "damage", url, sizes)
        if "stampede" in parts:
            yield caching_rush.stampede(home / "stampede", sizes)
            yield caching_rush.killed(home / "killed", sizes)
        if "stale" in parts:
            yield caching_rush.stale_reads(home / "stale", url, sizes)
        if "edits" in parts:
            yield from caching_edits.edits(home / "edits", audio, quick=sizes is QUICK)


if __name__ == "__main__":
    main()
