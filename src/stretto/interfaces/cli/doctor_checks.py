"""What one check of `stretto doctor` says, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class CheckState(StrEnum):
    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """``found`` says what is there, ``advice`` what to do. Nothing can be transcribed as long as
    a ``needed`` check is not ok."""

    name: str
    state: CheckState
    found: str
    advice: str = ""
    needed: bool = True


class Configuration(Protocol):
    """The part of the settings that is checked."""

    @property
    def home(self) -> Path: ...
    @property
    def engine(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def compute_type(self) -> str: ...
    @property
    def offline(self) -> bool: ...


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """A check that fails is a finding like any other: the report goes on."""
    try:
        return check()
    except Exception as error:  # a broken package can raise anything
        found = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        advice = "Reinstall Stretto; if that does not help, report this line."
        return Check(name=name, state=CheckState.BROKEN, found=found, advice=advice)
