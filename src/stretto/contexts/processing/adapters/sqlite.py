"""Keeps whole transcripts in a table: one row each, found again by what was asked for."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from statistics import median
from typing import Final, Protocol

import msgspec

from stretto.contexts.core.canonical import request_digest
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.recognition import EngineIdentity, TranscriptRequest
from stretto.contexts.core.transcript import Transcript, TranscriptStatus

SCHEMA_VERSION: Final = 1
"""Raise it when the same request must not find its old transcripts any more."""

_DECODER: Final = msgspec.msgpack.Decoder(Transcript)

SHORTEST_FOR_SPEED_S: Final = 30.0

logger = logging.getLogger(__name__)


class Database(Protocol):
    """What this adapter needs of a SQLite database."""

    def read(self) -> AbstractContextManager[sqlite3.Connection]: ...

    def write(self) -> AbstractContextManager[sqlite3.Connection]: ...

    def ensure(self, name: str, *, version: int, statements: Sequence[str]) -> None: ...


class SqliteTranscriptStore:
    """All methods raise StorageFull or StorageUnavailable when the database is in trouble.

    A row that cannot be read any more is passed over and named in the log.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, request: TranscriptRequest) -> Transcript | None:
        """The newest complete transcript for this very request, or None."""
        key = request_digest(request, schema_version=SCHEMA_VERSION)
        found = self._select(_FIND, (key, TranscriptStatus.COMPLETE.value), limit=1)
        return found[0] if found else None

    def get(self, transcript_id: TranscriptId) -> Transcript | None:
        """The transcript of that id, complete or not, or None."""
        found = self._select(_GET, (str(transcript_id),), limit=1)
        return found[0] if found else None

    def recent(self, limit: int) -> tuple[Transcript, ...]:
        """At most ``limit`` transcripts, partial ones too, the newest first."""
        return self._select(_RECENT, (), limit=limit)

    def keep(self, request: TranscriptRequest, transcript: Transcript) -> None:
        """On the disk when it returns. A transcript that is kept again replaces its older self."""
        transcript = replace(transcript, file=_printable(transcript.file))
        row = _row(request, transcript)
        self._ensure_tables()
        with self._database.write() as connection:
            connection.execute(_KEEP, row)

    def speed(self, engine: EngineIdentity) -> float | None:
        """The median of the last nine files that were computed as a whole; None without any."""
        self._ensure_tables()
        with self._database.read() as connection:
            rows = connection.execute(_SPEEDS, (_engine_column(engine),)).fetchall()
        return median(speed for (speed,) in rows) if rows else None

    def _select(
        self, statement: str, values: tuple[str, ...], *, limit: int
    ) -> tuple[Transcript, ...]:
        self._ensure_tables()
        found: list[Transcript] = []
        with self._database.read() as connection:
            rows = connection.execute(statement, values)
            while len(found) < limit and (row := rows.fetchone()):
                if (transcript := _decoded(*row)) is not None:
                    found.append(transcript)
            rows.close()  # an open cursor keeps writers waiting
        return tuple(found)

    def _ensure_tables(self) -> None:
        self._database.ensure("transcripts", version=1, statements=_TABLES)


def _row(
    request: TranscriptRequest, transcript: Transcript
) -> dict[str, str | float | bytes | None]:
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
    }


def _engine_column(engine: EngineIdentity) -> str:
    return f"{engine.engine}/{engine.model}/{engine.settings}"


def _speed(transcript: Transcript) -> float | None:
    """Of the engine, not of the cache: None unless all of a file long enough was computed."""
    whole = not transcript.cache.hits and transcript.cache.misses
    if not whole or transcript.duration_s < SHORTEST_FOR_SPEED_S or transcript.processing_s <= 0:
        return None
    return transcript.duration_s / transcript.processing_s


def _printable(file: str) -> str:
    """A file's name need not be UTF-8 on Linux, a text in a database has to be."""
    return file.encode("utf-8", "backslashreplace").decode()


def _decoded(transcript_id: str, document: object) -> Transcript | None:
    try:
        return _DECODER.decode(document) if isinstance(document, bytes) else None
    except (msgspec.MsgspecError, StrettoError, ValueError):
        logger.warning("The stored transcript %s cannot be read; it is passed over.", transcript_id)
        return None


_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS transcript (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        request_key TEXT NOT NULL,
        file_hash TEXT NOT NULL,
        file TEXT NOT NULL,
        language TEXT NOT NULL,
        status TEXT NOT NULL,
        duration_s REAL NOT NULL,
        created_at REAL NOT NULL,
        engine TEXT NOT NULL,
        speed REAL,
        document BLOB NOT NULL
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS transcript_request
    ON transcript (request_key, status, created_at, number)
    """,
    "CREATE INDEX IF NOT EXISTS transcript_created_at ON transcript (created_at, number)",
    "CREATE INDEX IF NOT EXISTS transcript_file_hash ON transcript (file_hash)",
    """
    CREATE INDEX IF NOT EXISTS transcript_speed ON transcript (engine, created_at)
    WHERE speed IS NOT NULL
    """,
)
_FIND: Final = """
    SELECT id, document FROM transcript WHERE request_key = ? AND status = ?
    ORDER BY created_at DESC, number DESC
"""
_SPEEDS: Final = """
    SELECT speed FROM transcript WHERE engine = ? AND speed IS NOT NULL
    ORDER BY created_at DESC LIMIT 9
"""
_GET: Final = "SELECT id, document FROM transcript WHERE id = ?"
_RECENT: Final = "SELECT id, document FROM transcript ORDER BY created_at DESC, number DESC"
_KEEP: Final = """
    INSERT INTO transcript (
        id, request_key, file_hash, file, language, status, duration_s, created_at, engine,
        speed, document
    ) VALUES (
        :id, :request_key, :file_hash, :file, :language, :status, :duration_s, :created_at,
        :engine, :speed, :document
    )
    ON CONFLICT (id) DO UPDATE SET
        request_key = excluded.request_key, file_hash = excluded.file_hash, file = excluded.file,
        language = excluded.language, status = excluded.status, duration_s = excluded.duration_s,
        created_at = excluded.created_at, engine = excluded.engine, speed = excluded.speed,
        document = excluded.document
"""
