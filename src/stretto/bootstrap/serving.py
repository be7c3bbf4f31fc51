"""Wires what a server needs: what was kept, the queue, recordings that are handed in, and keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from stretto.application import Archive
from stretto.bootstrap import build_archive, build_model_library
from stretto.bootstrap.caching import build_caching
from stretto.bootstrap.clock import now
from stretto.bootstrap.database import Database, build_database
from stretto.bootstrap.disk_check import MEGABYTE, DiskCheck
from stretto.bootstrap.fetching import RecordingFetcher
from stretto.bootstrap.queueing import build_queue
from stretto.bootstrap.recordings import RecordingKeeper, keeper_of
from stretto.bootstrap.slow_statements import SlowStatements
from stretto.bootstrap.watching import LaterMonitoring
from stretto.contexts.caching.management import CacheManagement
from stretto.contexts.core.access import (
    AccessKey,
    AccessKeyId,
    Scope,
    hash_of_secret,
    new_secret,
)
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import InvalidOption, StrettoError
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.database.adapters.access_keys import SqlAccessKeys
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.recording_files import RecordingFiles
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.editing import TextEdit, edited, request_of
from stretto.contexts.processing.library import TranscriptSummary
from stretto.contexts.queue.adapters.bell import LocalBell
from stretto.contexts.queue.service import QueueService
from stretto.settings import Settings

if TYPE_CHECKING:
    from stretto.contexts.processing.adapters.models import ModelLibrary


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Everything that requests are answered with; safe to use from many threads at once.

    ``key_needed`` says whether callers need a key; ``checks`` say, by the name of a part, what is
    wrong with it: nothing for one that works.
    """

    settings: Settings
    archive: Archive
    transcripts: SqlTranscriptStore
    queue: QueueService
    cache: CacheManagement
    keys: SqlAccessKeys
    keeper: RecordingKeeper
    fetcher: RecordingFetcher
    models: ModelLibrary
    monitoring: LaterMonitoring
    key_needed: bool
    checks: Mapping[str, Callable[[], str]]
    close: Callable[[], None]

    def edit(self, summary: TranscriptSummary, changes: Sequence[TextEdit]) -> Transcript:
        """A new version of a transcript, which is kept. Raises InvalidOption."""
        before = self.archive.get(summary.id)
        new = edited(before, changes, new_id=TranscriptId.new(), at=now())
        self.transcripts.keep(request_of(before, scope=summary.owner), new)
        self.archive.deliver()
        return new

    @property
    def recordings(self) -> RecordingFiles:
        return self.keeper.files

    @property
    def most_bytes(self) -> int:
        """Of a recording."""
        return self.settings.serve_upload_mb * MEGABYTE


def build_serving(settings: Settings, *, key_needed: bool | None = None) -> Serving:
    """Opens nothing. ``key_needed`` None means: as the settings say.

    Raises InvalidOption for settings under which anybody could come in.
    """
    slow, due = SlowStatements(settings), Event()
    database = build_database(settings, slow=slow.runs, left_behind=due.set)
    events = EventBus()
    archive = build_archive(settings, database=database, due=due, events=events)
    monitoring = LaterMonitoring(settings, database, events, due=due)
    monitoring.deliver = archive.wake
    slow.counted = monitoring.slow_statement
    bell = LocalBell()
    queue = build_queue(settings, database, publish=events.publish, bell=bell, wrote=due.set)
    cache = build_caching(settings, database, events, observer=monitoring).management
    keys = SqlAccessKeys(database)
    keeper = keeper_of(settings, database)
    alone = is_loopback(settings.serve_host) and not settings.serve_names
    always = settings.serve_keys == "always" or not alone

    def close() -> None:
        monitoring.close()
        cache.close()
        slow.close()
        archive.close()

    return Serving(
        settings=settings,
        archive=archive,
        transcripts=SqlTranscriptStore(database, outbox=OutboxWriter(wrote=due.set)),
        queue=queue,
        cache=cache,
        keys=keys,
        keeper=keeper,
        fetcher=RecordingFetcher(settings, keeper.files),
        models=build_model_library(settings),
        monitoring=monitoring,
        key_needed=always if key_needed is None else key_needed,
        checks={
            "database": lambda: _trouble_with_database(database),
            "disk": DiskCheck(keeper.files),
            "workers": lambda: _trouble_with_workers(queue),
            "engine": lambda: _trouble_with_engine(settings),
        },
        close=close,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def create_key(
    settings: Settings, *, owner: str, scopes: frozenset[Scope]
) -> tuple[str, AccessKey]:
    """A new key, and what is kept of it. Raises InvalidOption."""
    secret = new_secret()
    key = AccessKey(
        id=AccessKeyId.new(),
        sha256=hash_of_secret(secret),
        owner=owner,
        scopes=scopes,
        created_at=now(),
    )
    with_keys(settings, lambda keys: keys.add(key))
    return secret, key


def list_keys(settings: Settings) -> tuple[AccessKey, ...]:
    """Revoked ones too, the newest first."""
    found: list[AccessKey] = []
    with_keys(settings, lambda keys: found.extend(keys.all()))
    return tuple(found)


def revoke_key(settings: Settings, key_id: str) -> None:
    """Raises InvalidOption when there is no such key."""
    wanted, done = AccessKeyId.parse(key_id), []
    with_keys(settings, lambda keys: done.append(keys.revoke(wanted, at=now())))
    if not done[0]:
        raise InvalidOption(
            f"There is no valid key {wanted}. See which there are: stretto keys list"
        )


def with_keys(settings: Settings, work: Callable[[SqlAccessKeys], object]) -> None:
    database = build_database(settings)
    try:
        work(SqlAccessKeys(database))
    finally:
        database.close()


def _trouble_with_database(database: Database) -> str:
    try:
        with database.read() as connection:
            connection.execute("SELECT 1").fetchone()
    except StrettoError as error:
        return error.message
    return ""


def _trouble_with_workers(queue: QueueService) -> str:
    try:
        return "" if queue.nodes() else "No worker is running."
    except StrettoError as error:
        return error.message


def _trouble_with_engine(settings: Settings) -> str:
    """Whether the engine is installed; it is loaded by the workers, not here."""
    from importlib import metadata

    found = metadata.entry_points(group="stretto.engines", name=settings.engine)
    return "" if found else f"There is no engine {settings.engine!r}."
