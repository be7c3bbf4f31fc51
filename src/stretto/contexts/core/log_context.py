"""Which job, file, chunk and request the current thread works for: the ids that log lines carry."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_IDS: Final[ContextVar[Mapping[str, str]]] = ContextVar("stretto_ids", default=_NOTHING)


def ids() -> Mapping[str, str]:
    """By the names job, file, chunk and request; only those that are known."""
    return _IDS.get()


@contextmanager
def working_for(**more: str) -> Generator[None, None, None]:
    """Inside, log lines of this thread carry these ids, too."""
    token = _IDS.set(MappingProxyType({**_IDS.get(), **more}))
    try:
        yield
    finally:
        _IDS.reset(token)


def work_for(**those: str) -> None:
    """From now on, log lines of this thread carry these ids and no others."""
    _IDS.set(MappingProxyType(those))
