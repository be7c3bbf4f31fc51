"""What was measured of the databases, as it is written down and read again."""

from __future__ import annotations

import datetime
import json
import sqlite3
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing: times in milliseconds over ``count`` calls, or counts in ``more``.
    ``first_p95_ms`` is of the same calls when they were made for the first time."""

    database: str
    transcripts: int
    what: str
    count: int
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    first_p95_ms: float = 0.0
    more: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All figures of one run; ``conditions`` says when, on what and of which revision."""

    conditions: dict[str, Any] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()

    @property
    def databases(self) -> list[str]:
        return list(dict.fromkeys(figure.database for figure in self.figures))

    @property
    def sizes(self) -> list[int]:
        return sorted({figure.transcripts for figure in self.figures})

    @property
    def questions(self) -> list[str]:
        return list(dict.fromkeys(f.what for f in self.figures if f.more is None))

    def find(self, database: str, what: str, size: int) -> Figure | None:
        wanted = (database, what, size)
        return next(
            (f for f in self.figures if (f.database, f.what, f.transcripts) == wanted), None
        )


def conditions() -> dict[str, Any]:
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": machine.revision(),
        "machine": machine.describe(),
        "versions": {"SQLite": sqlite3.sqlite_version},
    }


def write(measured: Measured, path: Path) -> None:
    """One JSON object a line; the first holds the conditions."""
    rows = [measured.conditions, *map(asdict, measured.figures)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read(path: Path) -> Measured:
    """Nothing, when nothing was measured yet."""
    if not path.exists():
        return Measured()
    first, *rest = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Measured(conditions=first, figures=tuple(Figure(**row) for row in rest))
