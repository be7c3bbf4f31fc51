"""Gives every answer its address: a hash over the sound and all that was asked about it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, TypeVar

from stretto.contexts.caching.model import CacheKey
from stretto.contexts.core.canonical import request_digest
from stretto.contexts.core.identifiers import Sha256
from stretto.contexts.core.recognition import RecognitionRequest

SCHEMA_VERSION: Final = 1
"""Raise it when the same request must not find its old answers any more."""

Hash = TypeVar("Hash", bound=Sha256)


class ContentAddresser:
    """Derives keys. Pure: the same request has the same key in every process, for ever."""

    def __init__(self, *, schema_version: int = SCHEMA_VERSION) -> None:
        self._schema_version = schema_version

    def key(self, request: RecognitionRequest) -> CacheKey:
        """Two requests have one key only if they ask for the same (see ``core/canonical.py``)."""
        return CacheKey(request_digest(request, schema_version=self._schema_version))


def hash_stream(blocks: Iterable[bytes | bytearray | memoryview], *, kind: type[Hash]) -> Hash:
    """SHA-256 over ``blocks`` one after the other, in constant memory.

    ``kind`` is what the bytes are: FileHash for a file's, AudioHash for decoded samples.
    """
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return kind(digest.hexdigest())
