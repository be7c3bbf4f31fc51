"""Wires the fetching of recordings that lie at an address: from the network to their place on the
disk, hashed on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stretto.bootstrap.clock import now
from stretto.bootstrap.guard import guard_of
from stretto.contexts.external.adapters.guarded_connection import (
    GuardedConnections,
    Watchdog,
    resolved,
)
from stretto.contexts.external.adapters.guarded_fetch import GuardedFetch
from stretto.contexts.processing.adapters.recording_files import RecordingFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stretto.contexts.external.address_guard import Resolve
    from stretto.contexts.processing.recordings import Recording
    from stretto.settings import Settings

__all__ = ["RecordingFetcher", "Watchdog", "fetched"]

MEGABYTE: Final = 1_000_000
BATCH_BYTES: Final = 1 << 20
WITHIN_S: Final = 1800.0
"""So long a recording may take to come."""


class RecordingFetcher:
    """Safe to use from many threads at once."""

    def __init__(
        self,
        settings: Settings,
        files: RecordingFiles,
        *,
        resolve: Resolve = resolved,
        within_s: float = WITHIN_S,
    ) -> None:
        connections = GuardedConnections(
            guard_of(settings), resolve=resolve, authority=settings.remote_ca_file or None
        )
        most_bytes = settings.serve_upload_mb * MEGABYTE
        self._fetch = GuardedFetch(connections, most_bytes=most_bytes)
        self._files = files
        self._within_s = within_s

    def watchdog(self) -> Watchdog:
        """Whoever has it can end a fetch."""
        return Watchdog(self._within_s)

    def fetch(self, url: str, *, owner: str, watchdog: Watchdog | None = None) -> Recording:
        """On the disk when it returns; nothing stays of what was not fetched as a whole. Raises
        AddressRefused, MediaNotFetched, MediaTooLarge, MediaEmpty, StorageFull and
        StorageUnavailable."""
        with watchdog or self.watchdog() as held, self._fetch.fetched(url, held) as coming:
            incoming = self._files.receive(coming.name, owner=owner)
            try:
                for batch in _batches(coming.blocks):
                    incoming.write(batch)
                return incoming.finish()
            except BaseException:
                incoming.abandon()
                raise


def fetched(settings: Settings, url: str) -> Path:
    """Where a recording lies that was fetched for the user of this machine. Raises what
    RecordingFetcher.fetch raises."""
    files = RecordingFiles(settings.recordings_path, clock=now)
    return RecordingFetcher(settings, files).fetch(url, owner="").path


def _batches(blocks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Of about a megabyte, however small the pieces are in which they come."""
    batch, size = [], 0
    for block in blocks:
        batch.append(block)
        size += len(block)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch
