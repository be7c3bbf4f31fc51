"""Reads a multipart form piece by piece: its file goes to the disk while it is hashed, and nothing
is ever held as a whole."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.processing.recordings import Recording
from stretto.interfaces.http.errors import HttpError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BATCH_BYTES: Final = 1 << 20
MOST_FIELDS: Final = 100
MOST_FIELD_BYTES: Final = 1 << 20
MOST_HEADER_BYTES: Final = 8 << 10
FORM_BYTES: Final = 2 << 20
"""What a body may have besides its file."""

"""So long a body may bring nothing."""


class Incoming(Protocol):
    """A recording on its way to the disk."""

    @property
    def size_bytes(self) -> int: ...

    def write(self, blocks: list[bytes]) -> None: ...

    def finish(self) -> Recording: ...

    def abandon(self) -> None: ...


class Receiving(Protocol):
    """Where recordings are received."""

    def receive(self, name: str, *, owner: str) -> Incoming: ...


@dataclass(slots=True)
class Form:
    """The fields by name, in their order, and the recording if there was one."""

    fields: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    recording: Recording | None = None

    def last(self, name: str) -> str | None:
        """Of several, the last; None without any."""
        found = self.fields.get(name)
        return found[-1] if found else None

    def all(self, *names: str) -> list[str]:
        return [value for name in names for value in self.fields.get(name, ())]


async def received_form(request: Request, files: Receiving, *, owner: str, most_bytes: int) -> Form:
    """The form of a request, with its part ``file`` kept for ``owner``.

    Raises HttpError: 413 as soon as it is more than ``most_bytes``, 415 for another type of body,
    400 for a damaged one, 408 for one that stops coming.
    """
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    boundary = parameters.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary or len(boundary) > 70:
        raise HttpError(
            415, "Send the recording as multipart/form-data.", code="unsupported_media_type"
        )
    refuse_large(request, most_bytes + FORM_BYTES, most_bytes)
    reader = _Reader(boundary, files, owner=owner, most_bytes=most_bytes)
    try:
        async for block in body_of(request):
            reader.feed(block)
            if reader.waiting_bytes >= BATCH_BYTES:
                await asyncio.to_thread(reader.flush)
        await asyncio.to_thread(reader.finish)
    except FormParserError as cause:
        raise HttpError(400, f"The form is damaged: {cause}.", code="damaged_form") from cause
    finally:
        await asyncio.shield(asyncio.to_thread(reader.abandon))
    return reader.form


def refuse_large(request: Request, most_bytes: int, named_bytes: int) -> None:
    """Raises HttpError when the request says itself that it is too large."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most_bytes:
        raise too_large(named_bytes, int(length))


def too_large(most_bytes: int, read_bytes: int) -> HttpError:
    return HttpError(
        413,
        f"Maximum content size limit ({most_bytes}) exceeded ({read_bytes} bytes read)",
        code="request_too_large",
        connection="close",
        x_should_retry="false",
    )


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises HttpError, and Refusal when nothing comes for a minute."""
    try:
        async for block in request.stream():
            if block:
                yield block
    except ClientDisconnect as cause:
        raise HttpError(400, "The connection broke off.", code="disconnected") from cause


class _Reader:
    """Takes the form apart. Files are written by ``flush``, which takes time."""

    def __init__(self, boundary: bytes, files: Receiving, *, owner: str, most_bytes: int) -> None:
        self.form = Form()
        self.waiting_bytes = 0
        self._files = files
        self._owner = owner
        self._most_bytes = most_bytes
        self._incoming: Incoming | None = None
        self._waiting: list[bytes] = []
        self._file_bytes = self._other_bytes = self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._header = [b"", b""]
        self._name = ""
        self._file_name: str | None = None
        self._text = bytearray()
        self._complete = False
        callbacks: Any = {
            "on_part_begin": self._part_begins,
            "on_header_field": lambda data, start, end: self._header_part(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._header_part(1, data[start:end]),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": lambda data, start, end: self._data(data[start:end]),
            "on_part_end": self._part_ends,
            "on_end": self._ends,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, block: bytes) -> None:
        self._parser.write(block)

    def flush(self) -> None:
        """Write what waits to the disk."""
        if self._waiting and self._incoming is not None:
            self._incoming.write(self._waiting)
        self._waiting, self.waiting_bytes = [], 0

    def finish(self) -> None:
        if not self._complete:
            raise HttpError(400, "The form ends in the middle.", code="damaged_form")
        self.flush()
        if self._incoming is not None:
            incoming, self._incoming = self._incoming, None
            try:
                self.form.recording = incoming.finish()
            except StrettoError:
                incoming.abandon()
                raise

    def abandon(self) -> None:
        """What was not finished is gone."""
        if self._incoming is not None:
            incoming, self._incoming = self._incoming, None
            incoming.abandon()

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MOST_FIELDS:
            raise HttpError(400, f"More than {MOST_FIELDS} fields.", code="too_many_fields")
        self._headers, self._header, self._text = {}, [b"", b""], bytearray()

    def _header_part(self, which: int, data: bytes) -> None:
        self._header[which] += data
        if len(self._header[which]) > MOST_HEADER_BYTES:
            raise HttpError(400, "The head of a field is too long.", code="damaged_form")

    def _header_ends(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _headers_end(self) -> None:
        _, parameters = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = parameters.get(b"name", b"").decode("utf-8", "replace")
        name = parameters.get(b"filename")
        self._file_name = None if name is None else _unescaped(name.decode("utf-8", "replace"))
        if self._is_file():
            if self._incoming is not None:
                raise HttpError(400, "Send one file at a time.", code="several_files", param="file")
            self._incoming = self._files.receive(self._file_name or "", owner=self._owner)

    def _is_file(self) -> bool:
        return self._name == "file" and self._file_name is not None

    def _data(self, data: bytes) -> None:
        if self._is_file():
            self._file_bytes += len(data)
            if self._file_bytes > self._most_bytes:
                raise too_large(self._most_bytes, self._file_bytes)
            self._waiting.append(data)
            self.waiting_bytes += len(data)
            return
        self._other_bytes += len(data)
        self._text += data
        if self._other_bytes > MOST_FIELD_BYTES:
            raise HttpError(413, "The fields are too long.", code="request_too_large")

    def _part_ends(self) -> None:
        if not self._is_file() and self._name:
            self.form.fields[self._name].append(self._text.decode("utf-8", "replace"))

    def _ends(self) -> None:
        self._complete = True


def _unescaped(name: str) -> str:
    """As it was before the client wrote it (WHATWG, multipart/form-data encoding algorithm)."""
    return name.replace("%0A", "\n").replace("%0D", "\r").replace("%22", '"')
