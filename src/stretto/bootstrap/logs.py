"""Sets up the log: lines for people, or JSON by structlog; with the ids of what is worked on, and
without secrets."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import fields
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from stretto.contexts.core import log_context
from stretto.contexts.core.events import (
    ChunkProcessingCompleted,
    ChunkProcessingStarted,
    FileProcessingCompleted,
    FileProcessingStarted,
)

if TYPE_CHECKING:
    from stretto.contexts.core.bus import EventBus
    from stretto.settings import Settings

MASK: Final = "***"
SHORTEST_SECRET: Final = 4
"""What is shorter would be masked in the middle of words."""

MOST_FILES: Final = 1000


def set_up_logging(settings: Settings) -> None:
    """The log goes to standard error, in the settings' format and from their level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter_of(settings))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)


def set_up_plain_logging(settings: Settings, *, level: str = "") -> None:
    """For commands that people type: lines on standard error, unless a log is set up already."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter(secrets_of(settings)))
    logging.basicConfig(level=level or settings.log_level, handlers=[handler])


def formatter_of(settings: Settings) -> logging.Formatter:
    """For handlers that somebody else has set up."""
    secrets = secrets_of(settings)
    return _json_formatter(secrets) if settings.log_format == "json" else PlainFormatter(secrets)


def follow(events: EventBus) -> None:
    """Log lines of a thread carry the ids of the file and chunk that it works on."""
    FollowedWork().subscribe(events)


class FollowedWork:
    """Chunks are worked on by other threads than their file: what is known of the file's thread
    goes along."""

    def __init__(self) -> None:
        self._files: OrderedDict[object, Mapping[str, str]] = OrderedDict()
        self._lock = Lock()

    def subscribe(self, events: EventBus) -> None:
        events.subscribe(FileProcessingStarted, self._file_started)
        events.subscribe(FileProcessingCompleted, self._file_completed)
        events.subscribe(ChunkProcessingStarted, self._chunk_started)
        events.subscribe(ChunkProcessingCompleted, self._chunk_completed)

    def _file_started(self, event: FileProcessingStarted) -> None:
        with self._lock:
            self._files[event.transcript_id] = log_context.ids()
            while len(self._files) > MOST_FILES:
                self._files.popitem(last=False)

    def _file_completed(self, event: FileProcessingCompleted) -> None:
        with self._lock:
            self._files.pop(event.transcript_id, None)

    def _chunk_started(self, event: ChunkProcessingStarted) -> None:
        log_context.work_for(**self._of(event))

    def _chunk_completed(self, event: ChunkProcessingCompleted) -> None:
        known = self._of(event)
        log_context.work_for(**{name: known[name] for name in known if name == "job"})

    def _of(self, event: ChunkProcessingStarted | ChunkProcessingCompleted) -> dict[str, str]:
        with self._lock:
            above = self._files.get(event.transcript_id, {})
        return {**above, "file": str(event.transcript_id), "chunk": str(event.chunk_id)}


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """What must be in no log line: the values of secret settings, and the passwords in them."""
    found: set[str] = set()
    for one in fields(settings):
        value = getattr(settings, one.name)
        if one.repr or not isinstance(value, str) or not value:
            continue
        found.add(value)
        for url in value.split():
            found |= _passwords(url)
    return tuple(sorted((s for s in found if len(s) >= SHORTEST_SECRET), key=len, reverse=True))


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return set()
    return {password, unquote(password)}


def masked(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


class PlainFormatter(logging.Formatter):
    """One line for a message, whatever somebody put into it; a traceback follows it."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        record.message = one_line(record.message)
        words = " ".join(f"{name}={value}" for name, value in log_context.ids().items())
        return super().formatMessage(record) + (f" [{words}]" if words else "")

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        return "\n".join(map(one_line, super().formatException(ei).split("\n")))

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record), self._secrets)


def one_line(text: str) -> str:
    """Control characters as they are written in Python: a file's name cannot forge a log line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _json_formatter(secrets: tuple[str, ...]) -> logging.Formatter:
    import structlog

    def with_ids(_: object, __: str, line: Any) -> Any:
        return {**line, **log_context.ids()}

    def without_secrets(_: object, __: str, line: Any) -> Any:
        return {k: masked(v, secrets) if isinstance(v, str) else v for k, v in line.items()}

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            with_ids,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            without_secrets,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
