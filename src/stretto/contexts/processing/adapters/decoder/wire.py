"""The messages between this program and its decoder. What the decoder says is not believed.

A request is ``!c q ? i``: a command, the bytes of the file, whether a stream is named, its number.
A frame is ``!c I``, its kind and the length of what follows:

    R  ready            nothing
    L  looked           !i ? d 32s: stream, own choice, seconds or NaN, codec padded with zeros
    S  samples          16-bit samples in the order of this machine, at most ten seconds
    O  outcome          !q ? d q q i I: samples, cut off, promised seconds or NaN, paused, jumps,
                        errno, spans; then !q q for each of them
    F  fault            !i q: what is wrong with the file, and a number that belongs to it
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from stretto.contexts.core.audio import BYTES_PER_SAMPLE, BYTES_PER_SECOND, SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.adapters.findings import Findings, Look
from stretto.contexts.processing.adapters.media_faults import Fault, FaultKind

REQUEST: Final = struct.Struct("!cq?i")
HEADER: Final = struct.Struct("!cI")
_LOOKED: Final = struct.Struct("!i?d32s")
_OUTCOME: Final = struct.Struct("!q?dqqiI")
_SPAN: Final = struct.Struct("!qq")
_FAULT: Final = struct.Struct("!iq")

_CODEC: Final = re.compile(rb"([A-Za-z0-9_.-]{1,32})\0*")
_MOST_STREAMS: Final = 1_000
_LONGEST_CLAIM_S: Final = 366 * 86_400.0
_MOST_ERRNO: Final = 4_096


class Command(bytes, Enum):
    LOOK = b"L"
    DECODE = b"D"


class Kind(bytes, Enum):
    READY = b"R"
    LOOKED = b"L"
    SAMPLES = b"S"
    OUTCOME = b"O"
    FAULT = b"F"


MOST_BYTES: Final[Mapping[Kind, int]] = {
    Kind.READY: 0,
    Kind.LOOKED: _LOOKED.size,
    Kind.SAMPLES: 10 * BYTES_PER_SECOND,
    Kind.OUTCOME: _OUTCOME.size + 100_000 * _SPAN.size,
    Kind.FAULT: _FAULT.size,
}


class Lie(Exception):
    """The decoder said what no decoder says: it is broken, or no longer ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    command: Command
    size_bytes: int
    stream: int | None


def pack_request(request: Request) -> bytes:
    # Any number is allowed; no file has as many streams as fit into four bytes.
    number = min(max(request.stream or 0, -1), 2**31 - 1)
    return REQUEST.pack(request.command, request.size_bytes, request.stream is not None, number)


def unpack_request(data: bytes) -> Request:
    command, size_bytes, named, stream = REQUEST.unpack(data)
    return Request(
        command=Command(command), size_bytes=size_bytes, stream=stream if named else None
    )


def frame(kind: Kind, payload: bytes | bytearray = b"") -> bytes:
    return HEADER.pack(kind, len(payload)) + payload


def unpack_header(data: bytes | bytearray) -> tuple[Kind, int]:
    """Raises Lie for a kind that is not known or more bytes than it can have."""
    name, length = HEADER.unpack(data)
    try:
        kind = Kind(name)
    except ValueError as cause:
        raise Lie("a message of no known kind") from cause
    if length > MOST_BYTES[kind]:
        raise Lie("a message that is too long")
    return kind, length


def pack_look(seen: Look) -> bytes:
    return _LOOKED.pack(
        seen.stream_index, seen.own_choice, _number(seen.duration_s), seen.codec.encode()[:32]
    )


def unpack_look(data: bytes | bytearray) -> Look:
    """Raises Lie."""
    _check(len(data) == _LOOKED.size)
    stream, own_choice, duration_s, codec = _LOOKED.unpack(data)
    named = _CODEC.fullmatch(codec)
    _check(0 <= stream < _MOST_STREAMS and named is not None)
    assert named is not None
    return Look(
        stream_index=stream,
        own_choice=own_choice,
        duration_s=_seconds(duration_s),
        codec=named[1].decode("ascii"),
    )


def check_samples(data: bytes | bytearray) -> None:
    """Raises Lie for no samples or half a one."""
    _check(len(data) > 0 and len(data) % BYTES_PER_SAMPLE == 0)


def pack_findings(found: Findings) -> bytes:
    head = _OUTCOME.pack(
        found.samples,
        found.cut_off,
        _number(found.promised_s),
        found.paused,
        found.jumps,
        found.failure,
        len(found.unreadable),
    )
    return head + b"".join(_SPAN.pack(span.start, span.end) for span in found.unreadable)


def unpack_findings(data: bytes | bytearray, *, samples: int) -> Findings:
    """What was found in ``samples`` that have arrived. Raises Lie."""
    _check(len(data) >= _OUTCOME.size)
    said, cut_off, promised_s, paused, jumps, failure, count = _OUTCOME.unpack_from(data)
    _check(len(data) == _OUTCOME.size + count * _SPAN.size)
    _check(said == samples > 0 and 0 <= paused <= samples)
    _check(jumps >= 0 and 0 <= failure < _MOST_ERRNO)
    bounds = list(_SPAN.iter_unpack(memoryview(data)[_OUTCOME.size :]))
    _check(all(0 <= start < end <= samples for start, end in bounds))
    _check(all(before[1] <= after[0] for before, after in pairwise(bounds)))
    promised = _seconds(promised_s)
    _check(promised is None or promised * SAMPLE_RATE_HZ > samples)
    return Findings(
        samples=samples,
        cut_off=cut_off,
        promised_s=promised,
        unreadable=tuple(Span(start, end) for start, end in bounds),
        paused=paused,
        jumps=jumps,
        failure=failure,
    )


def pack_fault(fault: Fault) -> bytes:
    return _FAULT.pack(fault.kind, fault.number)


def unpack_fault(data: bytes | bytearray) -> Fault:
    """Raises Lie."""
    _check(len(data) == _FAULT.size)
    kind, number = _FAULT.unpack(data)
    _check(kind in set(FaultKind) and 0 <= number < _MOST_ERRNO)
    return Fault(FaultKind(kind), number)


def _number(seconds: float | None) -> float:
    return math.nan if seconds is None else seconds


def _seconds(number: float) -> float | None:
    if math.isnan(number):
        return None
    _check(0 < number < _LONGEST_CLAIM_S)
    return number


def _check(true: bool) -> None:
    if not true:
        raise Lie("a message that makes no sense")
