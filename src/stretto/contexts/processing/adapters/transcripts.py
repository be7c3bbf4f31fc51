"""Keeps whole transcripts in a table: one row each, found again by what was asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any, Final

import msgspec

from stretto.contexts.core.audio import AudioFile
from stretto.contexts.core.canonical import request_digest
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.events import TranscriptKept
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.recognition import EngineIdentity, TranscriptRequest
from stretto.contexts.core.text import storable
from stretto.contexts.core.transcript import Transcript, TranscriptStatus
from stretto.contexts.processing.adapters import stemming
from stretto.contexts.processing.adapters.audio_files import keep_audio_file
from stretto.contexts.processing.adapters.connections import (
    Connection,
    Database,
    Outbox,
)
from stretto.contexts.processing.adapters.segments import segment_rows, write_segments
from stretto.contexts.processing.library import BEGINNING

SCHEMA_VERSION: Final = 1
"""Raise it when the same request must not find its old transcripts any more."""

_DECODER: Final = msgspec.msgpack.Decoder(Transcript)

SHORTEST_FOR_SPEED_S: Final = 30.0

logger = logging.getLogger(__name__)


class SqlTranscriptStore:
    """All methods raise StorageFull or StorageUnavailable when the database is in trouble.

    A row that cannot be read any more is passed over and named in the log.
    """

    def __init__(self, database: Database, *, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def prepare(self) -> None:
        with self._database.read():
            pass

    def find(self, request: TranscriptRequest) -> Transcript | None:
        """The newest complete transcript for this very request, or None."""
        key = request_digest(request, schema_version=SCHEMA_VERSION)
        values = {"request_key": key, "status": TranscriptStatus.COMPLETE.value}
        found = self._newest(_FIND, values, limit=1)
        return found[0] if found else None

    def get(self, transcript_id: TranscriptId) -> Transcript | None:
        """The transcript of that id, complete or not, or None."""
        with self._database.read() as connection:
            row = connection.execute(_GET, {"id": str(transcript_id)}).fetchone()
        return decoded(*row) if row else None

    def recent(self, limit: int) -> tuple[Transcript, ...]:
        """At most ``limit`` transcripts, partial ones too, the newest first."""
        return self._newest(_RECENT, {}, limit=limit)

    def keep(
        self, request: TranscriptRequest, transcript: Transcript, *, file: AudioFile | None = None
    ) -> None:
        """On the disk when it returns. A transcript that is kept again replaces its older self,
        but never another one; ``file`` says more of the recording than the transcript does."""
        transcript = replace(transcript, file=storable(transcript.file))
        row, segments = _row(request, transcript), segment_rows(transcript)

        def work(connection: Connection) -> None:
            keep_audio_file(connection, transcript, file)
            version = _version(connection, row)
            connection.execute(_KEEP, row | {"version": version})
            (number,) = connection.execute(_NUMBER, {"id": row["id"]}).fetchone()
            write_segments(connection, number, segments)
            self._outbox.append(connection, row["id"], _kept(transcript, version))

        self._database.transact(work)

    def speed(self, engine: EngineIdentity) -> float | None:
        """The median of the last nine files that were computed as a whole; None without any."""
        with self._database.read() as connection:
            rows = connection.execute(_SPEEDS, {"engine": _engine_column(engine)}).fetchall()
        return median(speed for (speed,) in rows) if rows else None

    def _newest(
        self, statement: str, values: Mapping[str, Any], *, limit: int
    ) -> tuple[Transcript, ...]:
        """One statement, and another one for each damaged row."""
        found: list[Transcript] = []
        at, number = BEGINNING.created_at_s, BEGINNING.number
        while (missing := limit - len(found)) > 0:
            page = {**values, "at": at, "number": number, "limit": missing}
            with self._database.read() as connection:
                rows = connection.execute(statement, page).fetchall()
            for at, number, transcript_id, document in rows:  # noqa: B007 - the last goes on
                if (transcript := decoded(transcript_id, document)) is not None:
                    found.append(transcript)
            if len(rows) < missing:
                break
        return tuple(found)


def _version(connection: Connection, row: Mapping[str, Any]) -> int:
    """The one it has already, or the next that its owner has of its file, whose row is locked by
    now. One number for all owners would tell each that others have the same recording."""
    which = {name: row[name] for name in ("id", "file_hash", "owner")}
    (own, newest) = connection.execute(_VERSIONS, which).fetchone()
    return int(own if own is not None else (newest or 0) + 1)


def _kept(transcript: Transcript, version: int) -> TranscriptKept:
    return TranscriptKept(
        at=transcript.created_at,
        transcript_id=transcript.id,
        file_hash=transcript.file_hash,
        version=version,
        status=transcript.status,
    )


def _row(request: TranscriptRequest, transcript: Transcript) -> dict[str, Any]:
    return {
        "id": str(transcript.id),
        "request_key": request_digest(request, schema_version=SCHEMA_VERSION),
        "file_hash": transcript.file_hash.value,
        "file": transcript.file,
        "language": transcript.language.code if transcript.language else "",
        "status": transcript.status.value,
        "duration_s": transcript.duration_s,
        "created_at": transcript.created_at.unix_s,
        "engine": _engine_column(request.engine),
        "speed": _speed(transcript),
        "document": msgspec.msgpack.encode(transcript),
        "indexed": stemming.VERSION,
        "owner": request.scope,
    }


def _engine_column(engine: EngineIdentity) -> str:
    return f"{engine.engine}/{engine.model}/{engine.settings}"


def _speed(transcript: Transcript) -> float | None:
    """Of the engine, not of the cache: None unless all of a file long enough was computed."""
    whole = not transcript.cache.hits and transcript.cache.misses
    if not whole or transcript.duration_s < SHORTEST_FOR_SPEED_S or transcript.processing_s <= 0:
        return None
    return transcript.duration_s / transcript.processing_s


def decoded(transcript_id: str, document: object) -> Transcript | None:
    """None for a document that is damaged; the log names it."""
    try:
        return _DECODER.decode(document) if isinstance(document, bytes) else None
    except (msgspec.MsgspecError, StrettoError, ValueError):
        logger.warning("The stored transcript %s cannot be read; it is passed over.", transcript_id)
        return None


_FIND: Final = """
    SELECT created_at, number, id, document FROM transcript
    WHERE request_key = :request_key AND status = :status AND (created_at, number) < (:at, :number)
    ORDER BY created_at DESC, number DESC LIMIT :limit
"""
_RECENT: Final = """
    SELECT created_at, number, id, document FROM transcript
    WHERE (created_at, number) < (:at, :number)
    ORDER BY created_at DESC, number DESC LIMIT :limit
"""
_SPEEDS: Final = """
    SELECT speed FROM transcript WHERE engine = :engine AND speed IS NOT NULL
    ORDER BY created_at DESC LIMIT 9
"""
_GET: Final = "SELECT id, document FROM transcript WHERE id = :id"
_NUMBER: Final = "SELECT number FROM transcript WHERE id = :id"
_VERSIONS: Final = """
    SELECT
        (SELECT version FROM transcript WHERE id = :id),
        (SELECT max(version) FROM transcript WHERE file_hash = :file_hash AND owner = :owner)
"""
_KEEP: Final = """
    INSERT INTO transcript (
        id, request_key, file_hash, file, language, status, duration_s, created_at, engine,
        speed, document, version, indexed, owner
    ) VALUES (
        :id, :request_key, :file_hash, :file, :language, :status, :duration_s, :created_at,
        :engine, :speed, :document, :version, :indexed, :owner
    )
    ON CONFLICT (id) DO UPDATE SET
        request_key = excluded.request_key, file_hash = excluded.file_hash, file = excluded.file,
        language = excluded.language, status = excluded.status, duration_s = excluded.duration_s,
        created_at = excluded.created_at, engine = excluded.engine, speed = excluded.speed,
        document = excluded.document, indexed = excluded.indexed, owner = excluded.owner
"""
