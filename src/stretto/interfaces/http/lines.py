"""Events as lines of a stream, written once for all who listen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec

from stretto.contexts.core.events import JobCancelled, JobCompleted, JobFailed
from stretto.contexts.queue.service import Heard
from stretto.interfaces.http.documents import of_event

LAST: Final = (JobCompleted, JobFailed, JobCancelled)
"""After these nothing is to come, unless somebody has the job tried again."""


BLOCK_BYTES: Final = 8 << 10
"""What is sent at once waits here for as long as it is not read, for each listener."""


@dataclass(frozen=True, slots=True)
class Line:
    """An event, and as it is sent to everybody."""

    heard: Heard
    sent: bytes

    @property
    def number(self) -> int:
        return self.heard.number

    @property
    def is_last(self) -> bool:
        return isinstance(self.heard.event, LAST)


def line_of(heard: Heard) -> Line:
    document = of_event(heard.event)
    data = msgspec.json.encode(document).decode()
    text = f"id: {heard.number}\nevent: {document['event']}\ndata: {data}\n\n"
    return Line(heard, text.encode())


def portion(lines: list[Line]) -> list[Line]:
    """As many of them as are sent with one block, in their order; of any, one at least."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line.sent)
        if size > BLOCK_BYTES:
            return lines[: max(1, count)]
    return lines


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came in that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
