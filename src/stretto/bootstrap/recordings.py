"""Wires recordings that were handed in: where they lie, and when they are of no use any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stretto.bootstrap.clock import now
from stretto.bootstrap.queueing import jobs_of
from stretto.contexts.core.events import TranscriptDeleted
from stretto.contexts.core.identifiers import FileHash, Timestamp
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox
from stretto.contexts.processing.adapters.library import SqlTranscriptLibrary
from stretto.contexts.processing.adapters.recording_files import RecordingFiles
from stretto.contexts.processing.library import Wanted

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.settings import Settings

UNFINISHED_FOR_S: Final = 24 * 3600.0
"""So long what stopped coming may be gone on with."""

UNUSED_FOR_S: Final = 30 * 24 * 3600.0
"""So long a recording stays that no transcript was made of."""


class Deletions:
    """Transcripts that were deleted, wherever that was: who delivers the event need not see the
    folder of recordings. Each is named twice, one tidying after the other: the first time, events
    with smaller numbers may not be written yet."""

    def __init__(self, database: Database) -> None:
        self._outbox = SqlOutbox(database)
        self._after = self._newest = 0

    def of_late(self) -> list[TranscriptDeleted]:
        """None that was delivered more than a week ago. Raises StorageUnavailable."""
        newest = self._outbox.newest()
        found = self._outbox.of_kind(TranscriptDeleted, after=self._after)
        self._after, self._newest = self._newest, newest
        return [one.event for one in found if isinstance(one.event, TranscriptDeleted)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingKeeper:
    """Deletes what nobody needs. All methods raise StorageFull and StorageUnavailable."""

    files: RecordingFiles
    database: Database
    deletions: Deletions

    def forget_of(self, owner: str, file_hash: FileHash) -> None:
        """Unless a transcript or an unfinished job of that owner needs it."""
        self.files.delete_unless(owner, file_hash, lambda: self._is_needed(owner, file_hash))

    def tidy(self) -> None:
        """Delete recordings that stopped coming, those whose transcripts were deleted elsewhere,
        and those that nothing came of."""
        self.files.drop_incoming(before=_ago(UNFINISHED_FOR_S))
        for deleted in self.deletions.of_late():
            untouched = self.files.settled_before(deleted.at, deleted.file_hash)
            if (deleted.owner, deleted.file_hash) in untouched:
                self.forget_of(deleted.owner, deleted.file_hash)
        for owner, file_hash in list(self.files.settled_before(_ago(UNUSED_FOR_S))):
            self.forget_of(owner, file_hash)

    def _is_needed(self, owner: str, file_hash: FileHash) -> bool:
        """In this order: a job that ends meanwhile leaves a transcript."""
        if jobs_of(self.database).need(file_hash, owner=owner):
            return True
        library = SqlTranscriptLibrary(self.database, outbox=OutboxWriter(), clock=now)
        return bool(library.page(Wanted(limit=1, file_hash=file_hash, owner=owner)).rows)


def keeper_of(settings: Settings, database: Database) -> RecordingKeeper:
    files = RecordingFiles(settings.recordings_path, clock=now)
    return RecordingKeeper(files=files, database=database, deletions=Deletions(database))


def _ago(seconds: float) -> Timestamp:
    return Timestamp(now().unix_s - seconds)
