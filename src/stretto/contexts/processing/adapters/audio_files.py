"""Keeps what is known of recordings: one row for each content, whatever its files are called."""

from __future__ import annotations

from typing import Final

from stretto.contexts.core.audio import AudioFile
from stretto.contexts.core.identifiers import FileHash, Timestamp
from stretto.contexts.core.text import storable
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.processing.adapters.connections import Connection, Database
from stretto.contexts.processing.library import KnownFile


class SqlAudioFiles:
    """Raises StorageFull or StorageUnavailable when the database is in trouble."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, file_hash: FileHash) -> KnownFile | None:
        with self._database.read() as connection:
            row = connection.execute(_GET, {"file_hash": file_hash.value}).fetchone()
        return _known(*row) if row else None


def keep_audio_file(connection: Connection, transcript: Transcript, file: AudioFile | None) -> None:
    """Part of the caller's transaction. Until that ends, nobody else can write the same row."""
    connection.execute(
        _KEEP,
        {
            "file_hash": transcript.file_hash.value,
            "name": storable(file.path.name if file else transcript.file),
            "duration_s": transcript.duration_s,
            "size_bytes": file.size_bytes if file else None,
            "container": file.container if file else "",
            "codec": file.codec if file else "",
            "bitrate_bps": file.bitrate_bps if file else None,
            "now": transcript.created_at.unix_s,
        },
    )


def _known(
    file_hash: str,
    name: str,
    duration_s: float,
    size_bytes: int | None,
    container: str,
    codec: str,
    bitrate_bps: int | None,
    first_seen_at: float,
    last_seen_at: float,
) -> KnownFile:
    return KnownFile(
        file_hash=FileHash(file_hash),
        name=name,
        duration_s=duration_s,
        size_bytes=size_bytes,
        container=container,
        codec=codec,
        bitrate_bps=bitrate_bps,
        first_seen_at=Timestamp(first_seen_at),
        last_seen_at=Timestamp(last_seen_at),
    )


_GET: Final = """
    SELECT file_hash, name, duration_s, size_bytes, container, codec, bitrate_bps,
        first_seen_at, last_seen_at
    FROM audio_file WHERE file_hash = :file_hash
"""
_KEEP: Final = """
    INSERT INTO audio_file (
        file_hash, name, duration_s, size_bytes, container, codec, bitrate_bps,
        first_seen_at, last_seen_at
    ) VALUES (
        :file_hash, :name, :duration_s, :size_bytes, :container, :codec, :bitrate_bps, :now, :now
    )
    ON CONFLICT (file_hash) DO UPDATE SET
        name = excluded.name, duration_s = excluded.duration_s,
        size_bytes = coalesce(excluded.size_bytes, audio_file.size_bytes),
        container = coalesce(nullif(excluded.container, ''), audio_file.container),
        codec = coalesce(nullif(excluded.codec, ''), audio_file.codec),
        bitrate_bps = coalesce(excluded.bitrate_bps, audio_file.bitrate_bps),
        last_seen_at = excluded.last_seen_at
"""
