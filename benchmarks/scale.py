"""What length and cores cost: ``python -m benchmarks.scale``.

The whole program over recordings from a minute to ten hours, and over one of 23 minutes pinned to
one core and free to use all, in turns. Long recordings run once unless ``--runs`` says more.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, Final

from benchmarks import SCRATCH, catalog, machine
from benchmarks.catalog import CORPORA
from benchmarks.process import Finished, run_system
from benchmarks.report import PAGE, RESULTS, table
from benchmarks.sections import rendered
from benchmarks.weights import model_folder

SECTION_NAME: Final = "scale"
LENGTHS: Final = ("minute", "quick", "en0", "en-2h", "en-10h")
PINNED: Final = "en0"
LONG_S: Final = 3600.0


def heard(name: str) -> tuple[Finished, float]:
    """One run of the program over a corpus, and how many seconds that has.

    Raises SystemExit where the run failed.
    """
    wanted = CORPORA[name]
    recording = catalog.prepare(wanted, SCRATCH)
    folder = model_folder(wanted.model, SCRATCH)
    finished = run_system("stretto", folder, recording, language=wanted.language)
    if finished.error:
        raise SystemExit(f"{name}: {finished.error}")
    print(f"{name}: {finished.wall_s:.1f} s, {finished.peak_rss_bytes / 1e6:.0f} MB", flush=True)
    return finished, recording.audio_s


@contextmanager
def one_core() -> Iterator[None]:
    """What is started inside inherits the one core."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def efficiency(runs: int) -> dict[str, Any]:
    """Seconds on one core and on all, in turns."""
    alone, together = [], []
    for _ in range(runs):
        with one_core():
            alone.append(heard(PINNED)[0].wall_s)
        together.append(heard(PINNED)[0].wall_s)
    ratios = [one / all_ for one, all_ in zip(alone, together, strict=True)]
    return {"one_core_s": alone, "all_cores_s": together, "ratio": round(median(ratios), 3)}


def length(name: str, runs: int) -> dict[str, Any]:
    found = [heard(name)]
    if found[0][1] < LONG_S:
        found += [heard(name) for _ in range(runs - 1)]
    audio_s = found[0][1]
    return {
        "corpus": name,
        "audio_s": round(audio_s, 1),
        "runs": len(found),
        "wall_ms": round(1000 * median(one.wall_s for one, _ in found) / audio_s, 2),
        "cpu_ms": round(1000 * median(one.cpu_s for one, _ in found) / audio_s, 2),
        "peak_mb": round(median(one.peak_rss_bytes for one, _ in found) / 1e6),
    }


def section(result: dict[str, Any]) -> str:
    rows = [
        [
            _duration(row["audio_s"]),
            str(row["runs"]),
            f"{row['wall_ms']:.1f}",
            f"{row['cpu_ms']:.1f}",
            str(row["peak_mb"]),
        ]
        for row in result["lengths"]
    ]
    header = ["Recording", "Runs", "Time, ms", "Of the processor, ms", "Peak memory, MB"]
    cores = result["efficiency"]
    given = result["machine"]
    return "\n\n".join(
        [
            table(header, rows),
            "![Time for a second of audio over the length of the recording](images/scale.svg)",
            "Milliseconds for a second of audio, whole process, its start and the model included. "
            f"Both cores are {cores['ratio']:.2f} times as fast as one "
            f"(median of {len(cores['one_core_s'])} pairs on `{PINNED}`, pinned). "
            f"{given['cpu']}, {result['started'][:10]}, revision `{result['revision']}`.",
        ]
    )


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    made.add_argument("--runs", type=int, default=3)
    made.add_argument("--lengths", default=",".join(LENGTHS), help="some of %(default)s")
    made.add_argument("--print", action="store_true", help="print only; leave the page as it is")
    given = made.parse_args()
    result = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": machine.revision(),
        "machine": machine.describe(),
        "efficiency": efficiency(given.runs),
        "lengths": [length(name, given.runs) for name in given.lengths.split(",")],
    }
    print(section(result))
    if not given.print:
        RESULTS.with_name("scale.json").write_text(json.dumps(result, indent=1) + "\n")
        write(result)


def write(result: dict[str, Any]) -> None:
    """The section of the page, and its plot."""
    from benchmarks import scale_plot

    PAGE.write_text(rendered(PAGE.read_text("utf-8"), SECTION_NAME, section(result)), "utf-8")
    scale_plot.draw(result, PAGE.parent / "images" / "scale.svg")


if __name__ == "__main__":
    main()
