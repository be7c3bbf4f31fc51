"""The in-memory twin of the result cache."""

from __future__ import annotations

from stretto.contexts.core.canonical import request_digest
from stretto.contexts.core.recognition import Recognition, RecognitionRequest


class MemoryResultCache:
    """Keeps whole answers for as long as it lives."""

    def __init__(self) -> None:
        self._kept: dict[str, Recognition] = {}

    def find(self, request: RecognitionRequest) -> Recognition | None:
        return self._kept.get(request_digest(request, schema_version=1))

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        if not recognition.gaps:
            self._kept[request_digest(request, schema_version=1)] = recognition

    def __len__(self) -> int:
        return len(self._kept)
