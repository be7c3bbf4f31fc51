"""The three advisers of one database side by side, for those who ask them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from stretto.contexts.database.indexes import IndexManager
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.nplus1 import N1QueryEliminator
from stretto.contexts.database.optimizer import QueryOptimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisers:
    """Made by ``bootstrap.build_advisers``; use it in a ``with`` block. ``place`` names the
    database without a password."""

    place: str
    dialect: Dialect
    indexes: IndexManager
    optimizer: QueryOptimizer
    loading: N1QueryEliminator
    close: Callable[[], None]

    def flush(self) -> None:
        """Store what was seen so far, and read what other processes learned. Never raises."""
        self.optimizer.flush()
        self.loading.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
