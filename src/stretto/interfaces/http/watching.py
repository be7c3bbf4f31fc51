"""Follows the events of jobs for any number of listeners: each job is read once for all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.core.errors import StrettoError, UnknownJob
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.service import QueueService
from stretto.interfaces.http.feed import Feed
from stretto.interfaces.http.lines import Line, line_of, portion, set_within

POLL_S: Final = 0.1
POLL_SLOWLY_S: Final = 2.0
"""How often it is looked whether a job is still there of which nothing is heard."""

REMEMBERED: Final = 256
"""So many events of a job are kept for its listeners; whoever is further behind reads them again
from the database, so that a slow listener costs no memory."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Channel:
    """One job with listeners. ``floor`` is the number behind which every event is in ``lines``."""

    job_id: JobId
    floor: int
    newest: int
    listeners: int = 0
    ended: bool = False
    looked_at: float = 0.0
    lines: deque[Line] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, lines: Sequence[Line]) -> None:
        self.lines.extend(lines)
        self.newest = lines[-1].number
        while len(self.lines) > REMEMBERED:
            self.floor = self.lines.popleft().number
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def since(self, after: int) -> list[Line] | None:
        """None: that far back only the database knows."""
        if after < self.floor:
            return None
        return [line for line in self.lines if line.number > after]


class Watch:
    """All channels, and the one task that reads for them; it sleeps while nobody listens.
    ``everything`` is the same for all jobs together."""

    def __init__(self, queue: QueueService) -> None:
        self._queue = queue
        self._channels: dict[JobId, _Channel] = {}
        self._task: asyncio.Task[None] | None = None
        self.everything = Feed(queue)

    async def follow(
        self, job_id: JobId, *, after: int, beat_s: float
    ) -> AsyncIterator[list[Line]]:
        """What happens to a job behind the event ``after``; an empty list every ``beat_s`` without
        news. Ends with the job. Raises UnknownJob when it is not there."""
        channel = self._join(job_id, after)
        try:
            while True:
                changed = channel.changed
                lines = channel.since(after)
                if lines is None:
                    lines = await asyncio.to_thread(self._read, job_id, after)
                if lines := portion(lines):
                    after = lines[-1].number
                    yield lines
                    if lines[-1].is_last and after >= channel.newest:
                        return
                elif channel.ended:
                    return
                elif after < channel.floor:  # what was missing is not kept any more
                    after = channel.floor
                elif not await set_within(changed, beat_s):
                    yield []
        finally:
            self._leave(channel)

    async def ended(self, job_id: JobId, *, beat_s: float = 5.0) -> None:
        """Returns when the job is over."""
        newest = 0
        async for lines in self.follow(job_id, after=newest, beat_s=beat_s):
            newest = lines[-1].number if lines else newest

    async def close(self) -> None:
        self.everything.close()
        if self._task is not None:
            self._task.cancel()
        for channel in self._channels.values():
            channel.ended = True
            channel.wake()

    def _join(self, job_id: JobId, after: int) -> _Channel:
        channel = self._channels.get(job_id)
        if channel is None:
            channel = self._channels[job_id] = _Channel(job_id, floor=after, newest=after)
        channel.listeners += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        return channel

    def _leave(self, channel: _Channel) -> None:
        channel.listeners -= 1
        if not channel.listeners and self._channels.get(channel.job_id) is channel:
            del self._channels[channel.job_id]

    async def _poll(self) -> None:
        while self._channels:
            begun = time.monotonic()
            try:
                await self._turn(begun)
            except StrettoError as trouble:
                logger.warning("Events wait: %s", trouble)
            except Exception:  # a bug: they hear of nothing, but are not left waiting for ever
                logger.exception("Events wait.")
            await asyncio.sleep(max(POLL_S, time.monotonic() - begun))

    async def _turn(self, now: float) -> None:
        channels = list(self._channels.values())
        asked = [(channel.job_id, channel.newest) for channel in channels]
        found = await asyncio.to_thread(self._read_all, asked)
        idle = []
        for channel in channels:
            if lines := found.get(channel.job_id):
                channel.add(lines)
                channel.looked_at = now
            elif now - channel.looked_at > POLL_SLOWLY_S and not channel.ended:
                channel.looked_at = now
                idle.append(channel)
        over = await asyncio.to_thread(self._over_among, idle) if idle else frozenset()
        for channel in idle:
            if channel.job_id in over:
                channel.ended = True
                channel.wake()

    def _over_among(self, idle: Sequence[_Channel]) -> frozenset[JobId]:
        """What was deleted or forgotten is never heard of again. What is over is looked at after
        that was known: nothing is written later."""
        return frozenset(
            channel.job_id
            for channel in idle
            if self._is_over(channel.job_id) and not self._read(channel.job_id, channel.newest)
        )

    def _is_over(self, job_id: JobId) -> bool:
        try:
            return self._queue.get(job_id).is_over
        except UnknownJob:
            return True

    def _read_all(self, asked: Sequence[tuple[JobId, int]]) -> dict[JobId, list[Line]]:
        return {job_id: lines for job_id, after in asked if (lines := self._read(job_id, after))}

    def _read(self, job_id: JobId, after: int) -> list[Line]:
        return [line_of(heard) for heard in self._queue.heard(job_id, after=after)]
