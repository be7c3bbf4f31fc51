"""Figures beside what is asked for: in lines as they come, in the raw results, on the page."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.sections import Row


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


def write(figures: Sequence[Figure], path: Path) -> None:
    """One JSON object a line; the first says when and on what machine."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rows: list[object] = [{"started": started, "machine": machine.describe()}]
    rows += [{**asdict(figure), "met": figure.met} for figure in figures]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"written to {path}")
