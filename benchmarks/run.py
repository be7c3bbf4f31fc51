"""Runs the comparison: ``python -m benchmarks.run``, which is what ``make bench`` does.

Every run is a process of its own. The systems take turns, and each round starts with another one,
so that whatever disturbs the machine hits all alike.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import SCRATCH, Unavailable, catalog, machine, report
from benchmarks.accuracy import compare
from benchmarks.catalog import CORPORA, LONG, USUAL, Corpus, Recording
from benchmarks.process import Finished, run_system
from benchmarks.results import Heard, Results, Run, Session, Skipped, append, read
from benchmarks.systems import SYSTEMS
from benchmarks.weights import model_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was asked for: where results go, and how often which systems hear which corpora."""

    results: Path
    page: Path
    corpora: tuple[str, ...]
    systems: tuple[str, ...]
    runs: int


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    plan = planned(given)
    if given.fresh or given.quick:
        plan.results.unlink(missing_ok=True)
    append(plan.results, session())
    for name in plan.corpora:
        try:
            measure_corpus(CORPORA[name], plan)
        except Unavailable as reason:
            say(f"{name}: skipped. {reason}")
            append(plan.results, Skipped(corpus=name, reason=str(reason)))
    results = read(plan.results)
    report.write(results, template=report.PAGE, page=plan.page)
    print(report.corpora(results))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    made.add_argument("--quick", action="store_true", help="3 minutes, once: checks the harness")
    made.add_argument("--runs", type=int, help="rounds (5; long recordings take fewer)")
    made.add_argument("--systems", help=f"some of {','.join(SYSTEMS)}")
    made.add_argument("--corpora", help=f"some of {','.join(CORPORA)}")
    made.add_argument("--long", action="store_true", help="the 10-hour recording too")
    made.add_argument("--name", default="bench", help="of the file of raw results")
    made.add_argument("--fresh", action="store_true", help="forget the results in that file first")
    return made


def planned(given: argparse.Namespace) -> Plan:
    """Exits with a sentence for a name that does not exist."""
    usual = ("quick",) if given.quick else (*USUAL, *(LONG if given.long else ()))
    return Plan(
        # What only checks the harness must not replace what was measured.
        results=SCRATCH / "quick.jsonl"
        if given.quick
        else report.RESULTS.with_name(f"{given.name}.jsonl"),
        page=SCRATCH / "quick.md" if given.quick else report.PAGE,
        corpora=chosen(given.corpora, CORPORA, usual),
        systems=chosen(given.systems, SYSTEMS, tuple(SYSTEMS)),
        runs=given.runs or (1 if given.quick else 5),
    )


def chosen(
    given: str | None, known: dict[str, Corpus] | dict[str, str], usual: tuple[str, ...]
) -> tuple[str, ...]:
    names = tuple(given.split(",")) if given else usual
    for name in names:
        if name not in known:
            sys.exit(f"There is no {name}; there is {', '.join(known)}.")
    return names


def session() -> Session:
    now = datetime.datetime.now(datetime.UTC)
    return Session(
        started=now.isoformat(timespec="seconds"),
        revision=machine.revision(),
        machine=machine.describe(),
        versions=machine.versions(),
    )


def measure_corpus(wanted: Corpus, plan: Plan) -> None:
    """All rounds of one corpus. Raises Unavailable when it or its model cannot be had."""
    model = model_folder(wanted.model, SCRATCH)
    recording = catalog.prepare(wanted, SCRATCH)
    warm_up(wanted, model, plan.systems)
    append(plan.results, heard(wanted, recording, model))
    done = rounds_so_far(read(plan.results), wanted.name)
    for number in range(done, done + min(plan.runs, wanted.runs_at_most)):
        for order, system in enumerate(rotated(plan.systems, by=number)):
            load = round(os.getloadavg()[0], 2)
            finished = run_system(system, model, recording, language=wanted.language)
            run = judged(finished, wanted, recording, system=system, turn=(number, order, load))
            append(plan.results, run)
            say(f"{wanted.name}, round {number + 1}, {system}: {described(run, recording)}")


def rounds_so_far(results: Results, corpus: str) -> int:
    """Rounds may be measured at different times: those of the same revision add up."""
    return max((run.round + 1 for run in results.of(corpus)), default=0)


def warm_up(wanted: Corpus, model: Path, systems: Sequence[str]) -> None:
    """Each system once over a few seconds, so that none pays for reading its files from disk."""
    short = catalog.prepare(CORPORA["warm-up"], SCRATCH)
    for system in systems:
        run_system(system, model, short, language=wanted.language)


def rotated(systems: Sequence[str], *, by: int) -> list[str]:
    """``[a, b, c]`` by 1 is ``[b, c, a]``: nobody is always first."""
    start = by % len(systems)
    return [*systems[start:], *systems[:start]]


def heard(wanted: Corpus, recording: Recording, model: Path) -> Heard:
    return Heard(
        name=wanted.name,
        group=wanted.group,
        language=wanted.language,
        seed=wanted.seed,
        minutes=wanted.minutes,
        noise_db=wanted.noise_db,
        audio_s=recording.audio_s,
        sha256=recording.sha256,
        model=wanted.model,
        model_sha256=catalog.sha256_of(model / "model.bin"),
    )


def judged(
    finished: Finished,
    wanted: Corpus,
    recording: Recording,
    *,
    system: str,
    turn: tuple[int, int, float],
) -> Run:
    """The row of one run; ``turn`` is its round, its place in it and the load before it."""
    number, order, load = turn
    run = Run(corpus=wanted.name, system=system, round=number, order=order, load_before=load)
    if finished.error:
        return replace(run, error=finished.error)
    return replace(
        run,
        wall_s=round(finished.wall_s, 3),
        cpu_s=round(finished.cpu_s, 3),
        peak_rss_bytes=finished.peak_rss_bytes,
        largest_process_bytes=finished.largest_process_bytes,
        text_sha256=hashlib.sha256(finished.text.encode()).hexdigest(),
        **asdict(compare(recording.text, finished.text, language=wanted.language)),
    )


def described(run: Run, recording: Recording) -> str:
    if run.error:
        return f"failed: {run.error}"
    wrong = run.substitutions + run.deletions + run.insertions
    return (
        f"{run.wall_s:.1f} s, {recording.audio_s / run.wall_s:.1f} × real time, "
        f"WER {100 * wrong / run.words:.2f} %, {run.peak_rss_bytes / 1e6:.0f} MB"
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
