"""What the fake speech service does with each call: the script that a test writes for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from enum import StrEnum
from typing import Final

REFUSED_STREAM: Final = 0x7
INTERNAL_ERROR: Final = 0x2


class Fault(StrEnum):
    """What goes wrong below HTTP, beside or instead of an answer."""

    NONE = "none"
    NEVER_ANSWERS = "never answers"
    SILENT = "as if the network had forgotten the connection"
    RESET = "reset"
    REFUSED = "refused stream"
    RESET_IN_BODY = "reset in the body"
    CLOSED = "connection closed"
    GOAWAY_BELOW = "goaway, this stream was not looked at"
    GOAWAY_ABOVE = "goaway, this stream is still answered"
    GOAWAY_AND_CLOSED = "goaway, then closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, as the script sees it. ``number`` counts calls of the whole backend from 0,
    ``attempt`` those with this key from 1."""

    number: int
    attempt: int
    key: str
    headers: Mapping[str, str]
    fields: Mapping[str, str]
    audio: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """``takes_s`` runs from the head of the request; ``drip_s`` is the pause between the pieces of
    the body of the answer. ``body`` None is an ordinary transcript of what was sent."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    takes_s: float = 0.0
    drip_s: float = 0.0
    pieces: int = 1
    fault: Fault = Fault.NONE

    @property
    def executed(self) -> bool:
        """Whether the service did, and charged for, the work that was asked for."""
        not_looked_at = {Fault.REFUSED, Fault.GOAWAY_BELOW, Fault.CLOSED, Fault.RESET}
        return self.status == 200 and self.fault not in not_looked_at


Script = Callable[[Call], Reply]


def in_turn(*replies: Reply, then: Reply = Reply()) -> Script:
    """The first calls get ``replies``, one each; all later ones get ``then``."""
    return lambda call: replies[call.number] if call.number < len(replies) else then


def refused(status: int, message: str, **headers: str) -> Reply:
    """An error in the shape of the API."""
    error = {"message": message, "type": "server_error", "param": None, "code": None}
    given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status=status, headers=given, body=json.dumps({"error": error}).encode())


def form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The text fields of a multipart form, and the bytes of its file."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    fields: dict[str, str] = {}
    audio = b""
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        headers = BytesParser(policy=HTTP).parsebytes(head + b"\r\n\r\n", headersonly=True)
        name = headers["content-disposition"].params["name"]
        if headers["content-disposition"].params.get("filename") is None:
            fields[name] = content.decode()
        else:
            audio = content
            fields[f"{name}.name"] = headers["content-disposition"].params["filename"]
            fields[f"{name}.type"] = headers.get_content_type()
    return fields, audio


def transcript_of(fields: Mapping[str, str], audio: bytes) -> bytes:
    """What a server that knows no times answers: two sentences about the audio it was sent."""
    text = f"The recording has {len(audio)} bytes. It was sent as {fields.get('file.name')}."
    if fields.get("response_format") == "text":
        return text.encode()
    return json.dumps({"text": text}).encode()
