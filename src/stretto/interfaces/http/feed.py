"""Follows the events of all jobs for any number of listeners, each of whom hears of their own."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from threading import Lock
from typing import Final

from stretto.contexts.core.errors import StrettoError, UnknownJob
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.service import QueueService
from stretto.interfaces.http.lines import Line, line_of, set_within

POLL_S: Final = 0.1
REMEMBERED: Final = 1024
"""So many events are kept for listeners; whoever is further behind reads from the database."""

OWNERS_REMEMBERED: Final = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """An event, and whose job it is about."""

    owner: str
    line: Line


class Feed:
    """One reader for all listeners; it sleeps while there are none."""

    def __init__(self, queue: QueueService) -> None:
        self._queue = queue
        self._posts: deque[Post] = deque()
        self._floor = self._newest = 0
        self._listeners = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._owners: OrderedDict[JobId, str | None] = OrderedDict()
        self._lock = Lock()

    async def follow(
        self, owner: str | None, *, after: int, beat_s: float
    ) -> AsyncIterator[list[Line]]:
        """What happens to the jobs of ``owner`` (None: to all) behind the event ``after``; an empty
        list every ``beat_s`` without news. Ends with the server."""
        await self._join()
        reached = after
        try:
            while not self._closed:
                changed = self._changed
                if reached < self._floor:
                    before = reached
                    reached, posts = await asyncio.to_thread(self._read, reached)
                    if reached == before:  # what was missing is not kept any more
                        reached = self._floor
                else:
                    posts = [one for one in self._posts if one.line.number > reached]
                    reached = max(reached, self._newest)
                if lines := [one.line for one in posts if owner in {None, one.owner}]:
                    yield lines
                elif not posts and not await set_within(changed, beat_s):
                    yield []
        finally:
            self._listeners -= 1

    def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._wake()

    async def _join(self) -> None:
        self._listeners += 1
        if self._task is not None and not self._task.done():
            return
        try:
            newest = await asyncio.to_thread(self._queue.newest)
        except BaseException:
            self._listeners -= 1
            raise
        if self._task is None or self._task.done():  # nobody else was quicker
            self._posts.clear()
            self._floor = self._newest = newest
            self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while self._listeners:
            try:
                self._newest, posts = await asyncio.to_thread(self._read, self._newest)
                self._posts.extend(posts)
                while len(self._posts) > REMEMBERED:
                    self._floor = self._posts.popleft().line.number
                if posts:
                    self._wake()
            except StrettoError as trouble:
                logger.warning("Events wait: %s", trouble)
            except Exception:  # a bug: they hear of nothing, but are not left waiting for ever
                logger.exception("Events wait.")
            await asyncio.sleep(POLL_S)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _read(self, after: int) -> tuple[int, list[Post]]:
        reached, heard = self._queue.overheard(after=after)
        owned = [(self._owner_of(one.event.job_id), one) for one in heard]  # type: ignore[attr-defined]
        return reached, [Post(owner=o, line=line_of(one)) for o, one in owned if o is not None]

    def _owner_of(self, job_id: JobId) -> str | None:
        """None: it is forgotten, or a part of another one."""
        with self._lock:
            if job_id in self._owners:
                return self._owners[job_id]
        try:
            job = self._queue.get(job_id)
        except UnknownJob:
            return None
        owner = None if job.parent else job.owner
        with self._lock:
            self._owners[job_id] = owner
            while len(self._owners) > OWNERS_REMEMBERED:
                self._owners.popitem(last=False)
        return owner
