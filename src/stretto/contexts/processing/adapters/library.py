"""Lists what was kept, page by page, and deletes it with everything that came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stretto.contexts.core.events import TranscriptDeleted
from stretto.contexts.core.identifiers import FileHash, Language, Timestamp, TranscriptId
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.processing.adapters.connections import Connection, Database, Outbox
from stretto.contexts.processing.library import Cursor, Page, TranscriptSummary, Wanted


class SqlTranscriptLibrary:
    """All methods raise StorageFull or StorageUnavailable when the database is in trouble."""

    def __init__(
        self, database: Database, *, outbox: Outbox, clock: Callable[[], Timestamp]
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    def page(self, wanted: Wanted) -> Page:
        """One statement, however long the list is and however far down the page."""
        statement, values = _page_query(wanted)
        with self._database.read() as connection:
            rows = connection.execute(statement, values).fetchall()
        shown = rows[: wanted.limit]
        following = Cursor(shown[-1][1], shown[-1][0]) if len(rows) > wanted.limit else None
        return Page(rows=tuple(_summary(*row) for row in shown), next=following)

    def summary(self, transcript_id: TranscriptId) -> TranscriptSummary | None:
        with self._database.read() as connection:
            row = connection.execute(_SUMMARY, {"id": str(transcript_id)}).fetchone()
        return _summary(*row) if row else None

    def delete(self, transcript_id: TranscriptId) -> TranscriptDeleted | None:
        """Delete the transcript, its segments, and what is known of its file when no
        other transcript of that is left. None when there is no such transcript.

        What other contexts hold of it they delete when they hear of the event, which is written
        in the same transaction.
        """

        def work(connection: Connection) -> TranscriptDeleted | None:
            row = connection.execute(_FOR_DELETION, {"id": str(transcript_id)}).fetchone()
            if row is None:
                return None
            number, file_hash, owner = row
            _delete_rows(connection, {"number": number})
            left = connection.execute(_OWNERS_OF_FILE, {"file_hash": file_hash}).fetchall()
            if not left:
                connection.execute(_DELETE_FILE, {"file_hash": file_hash})
            event = TranscriptDeleted(
                at=self._clock(),
                transcript_id=transcript_id,
                file_hash=FileHash(file_hash),
                last_of_file=(owner,) not in [tuple(other) for other in left],
                owner=owner,
            )
            self._outbox.forget(connection, str(transcript_id))
            self._outbox.append(connection, str(transcript_id), event)
            return event

        return self._database.transact(work)


def _delete_rows(connection: Connection, which: dict[str, Any]) -> None:
    connection.execute("DELETE FROM segment WHERE transcript = :number", which)
    connection.execute("DELETE FROM transcript WHERE number = :number", which)


def _page_query(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Made of fixed parts alone; whatever was given is a value."""
    given = {
        "language": wanted.language.code if wanted.language else None,
        "status": wanted.status.value if wanted.status else None,
        "file_hash": wanted.file_hash.value if wanted.file_hash else None,
        "owner": wanted.owner,
    }
    values = {name: value for name, value in given.items() if value is not None}
    conditions = "".join(f" AND {_CONDITIONS[name]}" for name in values)
    place = {"at": wanted.after.created_at_s, "before": wanted.after.number}
    return _PAGE.format(conditions=conditions), {**values, **place, "limit": wanted.limit + 1}


def _summary(
    _: int,
    created_at: float,
    transcript_id: str,
    file: str,
    file_hash: str,
    version: int,
    language: str,
    status: str,
    duration_s: float,
    engine: str,
    owner: str,
) -> TranscriptSummary:
    name, _slash, rest = engine.partition("/")
    return TranscriptSummary(
        id=TranscriptId.parse(transcript_id),
        file=file,
        file_hash=FileHash(file_hash),
        version=version,
        language=Language(language) if language else None,
        status=TranscriptStatus(status),
        duration_s=duration_s,
        engine=name,
        model=rest.rpartition("/")[0],
        created_at=Timestamp(created_at),
        owner=owner,
    )


_COLUMNS: Final = (
    "number, created_at, id, file, file_hash, version, language, status, duration_s, engine, owner"
)
_CONDITIONS: Final = {
    "language": "language = :language",
    "status": "status = :status",
    "file_hash": "file_hash = :file_hash",
    "owner": "owner = :owner",
}
# Put together of constants alone.
_PAGE: Final = f"""
    SELECT {_COLUMNS} FROM transcript
    WHERE (created_at, number) < (:at, :before){{conditions}}
    ORDER BY created_at DESC, number DESC LIMIT :limit
"""  # noqa: S608
_SUMMARY: Final = f"SELECT {_COLUMNS} FROM transcript WHERE id = :id"  # noqa: S608
_FOR_DELETION: Final = "SELECT number, file_hash, owner FROM transcript WHERE id = :id"
_OWNERS_OF_FILE: Final = "SELECT DISTINCT owner FROM transcript WHERE file_hash = :file_hash"
_DELETE_FILE: Final = "DELETE FROM audio_file WHERE file_hash = :file_hash"
