"""Turns runs into what tables and plots show: medians, spreads, and ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.results import Heard, Results, Run
from benchmarks.systems import PEERS, SYSTEMS

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some figures, the smallest and the largest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread | None:
        """None for no figures."""
        known = sorted(figures)
        if not known:
            return None
        return cls(median=statistics.median(known), low=known[0], high=known[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One system over all rounds of some corpora; shares are percent of the true words.

    ``speed`` is audio seconds per second of wall time; ``peak_mb`` is in 10^6 bytes;
    ``cpu_per_hour_s`` is processor seconds for an hour of audio. ``ratios`` says for each peer
    how many times as fast this system was, each round by itself.
    """

    system: str
    runs: int
    failures: tuple[str, ...]
    speed: Spread | None
    peak_mb: Spread | None
    cpu_per_hour_s: Spread | None
    error_rate: float
    substituted: float
    deleted: float
    inserted: float
    ratios: Mapping[str, Spread]


def summarise(results: Results, corpora: Sequence[str]) -> tuple[Summary, ...]:
    """Every system that was run on ``corpora``, in the order of ``SYSTEMS``, then by name."""
    runs = results.of(*corpora)
    known = list(SYSTEMS)
    names = sorted({run.system for run in runs}, key=lambda name: (name not in known, name))
    names.sort(key=lambda name: known.index(name) if name in known else len(known))
    return tuple(_summary(name, runs, results.corpora) for name in names)


def _summary(system: str, runs: Sequence[Run], corpora: Mapping[str, Heard]) -> Summary:
    mine = [run for run in runs if run.system == system]
    good = [run for run in mine if not run.error]
    hours = {name: heard.audio_s / 3600 for name, heard in corpora.items()}
    return Summary(
        system=system,
        runs=len(good),
        failures=tuple(dict.fromkeys(run.error for run in mine if run.error)),
        speed=Spread.of(corpora[run.corpus].audio_s / run.wall_s for run in good),
        peak_mb=Spread.of(run.peak_rss_bytes / MEGABYTE for run in good),
        cpu_per_hour_s=Spread.of(run.cpu_s / hours[run.corpus] for run in good),
        error_rate=_share(good, "substitutions", "deletions", "insertions"),
        substituted=_share(good, "substitutions"),
        deleted=_share(good, "deletions"),
        inserted=_share(good, "insertions"),
        ratios=_ratios(good, runs),
    )


def _share(runs: Sequence[Run], *kinds: str) -> float:
    """Errors of these kinds in percent of all true words; over several runs, of their sum."""
    words = sum(run.words for run in runs)
    return 100 * sum(getattr(run, kind) for run in runs for kind in kinds) / words if words else 0.0


def _ratios(mine: Sequence[Run], everyone: Sequence[Run]) -> dict[str, Spread]:
    """How many times as fast as each peer, from runs of one round: they had the same weather.

    A peer's 60 s beside this system's 20 s is 3.0. Rounds that either of them failed do not count.
    """
    found = {}
    for peer in PEERS:
        theirs = {
            (run.corpus, run.round): run.wall_s
            for run in everyone
            if run.system == peer and not run.error
        }
        spread = Spread.of(
            theirs[run.corpus, run.round] / run.wall_s
            for run in mine
            if (run.corpus, run.round) in theirs
        )
        if spread is not None:
            found[peer] = spread
    return found
