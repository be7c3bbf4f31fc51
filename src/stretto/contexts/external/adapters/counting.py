"""Counts what connections do, for whoever wants to know how well they are used."""

from __future__ import annotations

from collections import Counter
from threading import Lock

from stretto.contexts.external.model import ConnectionMetrics


class Counts:
    """Written to by the thread of the connections, read by any."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def add(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self._counts[name] += amount

    def metrics(self) -> ConnectionMetrics:
        with self._lock:
            return ConnectionMetrics(**self._counts)
