"""What a connection over HTTP/2 is made of: the frames that come in, and one request on its way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.external.model import (
    APIResponse,
    CallFailed,
    Phase,
    Timeouts,
    announced_bytes,
    too_long,
)

FRAME_HEAD_BYTES: Final = 9
GOAWAY: Final = 7
LARGEST_STREAM: Final = 2**31 - 1


class Frames:
    """Puts together what arrives in pieces. h2 never sees a GOAWAY: it takes the connection for
    closed then, and the streams that are still answered for broken."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        self._bytes += data

    def next(self, longest_bytes: int) -> bytes:
        """A whole frame (RFC 9113, section 4.1), or nothing yet; of one that is too long, what is
        there, so that h2 refuses it."""
        if len(self._bytes) < FRAME_HEAD_BYTES:
            return b""
        length = int.from_bytes(self._bytes[:3], "big")
        end = FRAME_HEAD_BYTES + length
        if length <= longest_bytes and len(self._bytes) < end:
            return b""
        frame = bytes(self._bytes[:end])
        del self._bytes[:end]
        return frame


def last_stream_of(frame: bytes) -> int | None:
    """The last stream that a GOAWAY names (RFC 9113, section 6.8); None for another frame."""
    if frame[3] != GOAWAY:
        return None
    return int.from_bytes(frame[FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + 4], "big") & LARGEST_STREAM


@dataclass(slots=True, eq=False)
class Stream:
    """One request on its way. ``moved_at`` is when anything last happened to it."""

    done: asyncio.Future[APIResponse]
    longest_bytes: int
    phase: Phase = Phase.SENDING
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    moved_at: float = field(default_factory=time.monotonic)

    def moved(self, phase: Phase | None = None) -> None:
        self.phase, self.moved_at = phase or self.phase, time.monotonic()

    def begun(self, headers: dict[str, str]) -> None:
        """The head of the answer is there; a second one is its trailer."""
        self.headers |= headers
        status = self.headers.pop(":status", "")
        self.status = int(status) if status.isdecimal() else 0
        self.moved(Phase.RECEIVING)
        if announced_bytes(self.headers) > self.longest_bytes:
            self.fail(too_long(self.longest_bytes))

    def received(self, data: bytes) -> None:
        if self.done.done():
            return
        self.moved()
        if len(self.body) + len(data) > self.longest_bytes:
            self.fail(too_long(self.longest_bytes))
        else:
            self.body += data

    def ended(self, protocol: str) -> None:
        if not self.done.done():
            self.done.set_result(
                APIResponse(
                    status=self.status,
                    headers=self.headers,
                    body=bytes(self.body),
                    protocol=protocol,
                )
            )

    def give_up(self, why: str, *, unseen: bool = False) -> None:
        self.fail(CallFailed(why, phase=self.phase, unseen=unseen))

    def fail(self, error: CallFailed) -> None:
        """Nothing of the answer is kept."""
        if not self.done.done():
            self.done.set_exception(error)
            self.body.clear()

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        if not self.done.cancel() and not self.done.cancelled():
            self.done.exception()  # known to nobody if the caller was cancelled at that moment

    async def answer(self, timeouts: Timeouts) -> APIResponse:
        """Waits for the end of the answer, as long as things move at the pace of their phase.
        Raises CallFailed."""
        while not self.done.done():
            waiting = self.phase is Phase.WAITING
            patience_s = timeouts.answer_s if waiting else timeouts.stall_s
            left_s = self.moved_at + patience_s - time.monotonic()
            if left_s <= 0:
                raise CallFailed(
                    f"Nothing happened for {patience_s:.0f} s while {self.phase}.",
                    phase=self.phase,
                )
            # Patience is another in each phase, so it is looked after whenever one may begin.
            await asyncio.wait({self.done}, timeout=min(left_s, timeouts.stall_s))
        return self.done.result()
