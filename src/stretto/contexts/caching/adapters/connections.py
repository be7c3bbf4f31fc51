"""The database as the adapters of caching see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Connection(Protocol):
    """SQL with ``:name`` where a value belongs, the same for both databases."""

    def execute(self, statement: str, values: Mapping[str, Any] = ..., /) -> Any: ...

    def executemany(self, statement: str, rows: Sequence[Mapping[str, Any]], /) -> Any: ...


class Database(Protocol):
    """Either of the two databases; ``transact`` may do its work again after a conflict."""

    def read(self) -> AbstractContextManager[Connection]: ...

    def transact(self, work: Callable[[Connection], Result], /) -> Result: ...
