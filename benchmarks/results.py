"""The raw results: one JSON object a line, appended as they come, read back as typed rows.

A ``session`` line says when, where and with what; the ``corpus``, ``run`` and ``skipped`` lines
after it belong to it. A corpus that was measured in several sessions counts as the last one had
it, so that runs under different conditions are never compared with each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.accuracy import Errors

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One start of the harness. ``started`` is a UTC date and time in ISO 8601."""

    started: str
    revision: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A corpus as it was measured: its recipe, the bytes it gave, the weights that heard it."""

    name: str
    group: str
    language: str
    seed: int
    minutes: float | None
    noise_db: float | None
    audio_s: float
    sha256: str
    model: str
    model_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One system, once over one corpus. ``error`` says why it failed; then figures are zero.

    ``order`` is its turn in its round, from 0; ``load_before`` the machine's load average over
    the last minute, so that a disturbed run can be told.
    """

    corpus: str
    system: str
    round: int
    order: int
    load_before: float
    error: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    largest_process_bytes: int = 0
    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    text_sha256: str = ""

    @property
    def errors(self) -> Errors:
        return Errors(
            words=self.words,
            substitutions=self.substitutions,
            deletions=self.deletions,
            insertions=self.insertions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A corpus that was not measured, and why."""

    corpus: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What is known of each corpus by its name: from the last session that measured it, and from
    those before it that measured the same revision of the program on the same recording."""

    sessions: Mapping[str, Session] = field(default_factory=dict)
    corpora: Mapping[str, Heard] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def of(self, *corpora: str) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.corpus in corpora)


KINDS: Mapping[str, type] = {"session": Session, "corpus": Heard, "run": Run, "skipped": Skipped}


def append(path: Path, row: Session | Heard | Run | Skipped) -> None:
    kind = next(name for name, shape in KINDS.items() if isinstance(row, shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": kind, **asdict(row)}, ensure_ascii=False) + "\n")


def read(path: Path) -> Results:
    """All results in ``path``; none when there is no such file."""
    if not path.is_file():
        return Results()
    return collected(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def collected(rows: Iterable[Mapping[str, Any]]) -> Results:
    sessions: dict[str, Session] = {}
    corpora: dict[str, Heard] = {}
    runs: dict[str, list[Run]] = {}
    skipped: dict[str, Skipped] = {}
    current: Session | None = None
    for row in rows:
        entry: object = _typed(row, KINDS[row["kind"]])
        if isinstance(entry, Session):
            current = entry
        elif isinstance(entry, Heard) and current is not None:
            before = sessions.get(entry.name)
            if not before or before.revision != current.revision or corpora[entry.name] != entry:
                runs[entry.name] = []
            sessions[entry.name], corpora[entry.name] = current, entry
        elif isinstance(entry, Run):
            runs[entry.corpus].append(entry)
        elif isinstance(entry, Skipped):
            skipped[entry.corpus] = entry
    return Results(
        sessions=sessions,
        corpora=corpora,
        runs=tuple(run for of_one in runs.values() for run in of_one),
        skipped=tuple(skip for name, skip in skipped.items() if name not in corpora),
    )


def _typed(row: Mapping[str, Any], shape: type[Row]) -> Row:
    names = {item.name for item in fields(shape)}  # type: ignore[arg-type]
    return shape(**{name: value for name, value in row.items() if name in names})
