"""The in-memory twin of the result cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from stretto.contexts.core.canonical import request_digest
from stretto.contexts.core.recognition import Recognition, RecognitionRequest
from stretto.contexts.processing.model import CancelToken


class MemoryResultCache:
    """Keeps whole answers for as long as it lives."""

    def __init__(self) -> None:
        self._kept: dict[str, Recognition] = {}
        self._turns: defaultdict[str, Lock] = defaultdict(Lock)

    def find(self, request: RecognitionRequest) -> Recognition | None:
        return self._kept.get(request_digest(request, schema_version=1))

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        if not recognition.gaps:
            key = request_digest(request, schema_version=1)
            self._kept[key] = replace(recognition, recalled_s=0.0)

    def compute(
        self, request: RecognitionRequest, work: Callable[[], Recognition], *, cancel: CancelToken
    ) -> Recognition:
        turn = self._turns[request_digest(request, schema_version=1)]
        while not turn.acquire(timeout=0.01):
            cancel.raise_if_cancelled()
        try:
            known = self.find(request)
            if known is None:
                known = work()
                self.keep(request, known)
            return known
        finally:
            turn.release()

    def __len__(self) -> int:
        return len(self._kept)
