"""How loud recordings are, for the server: each is decoded once, in a process of its own and for
all who ask, a few at a time; what cannot be drawn is not tried again with each request."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fastapi.concurrency import run_in_threadpool

from stretto.bootstrap.listening import Loudness, kept_beside
from stretto.contexts.core.errors import MediaNotRecognised
from stretto.contexts.processing.recordings import Recording

LONGEST_S: Final = 600.0
MOST_AT_ONCE: Final = 4
MOST_OF_ONE_OWNER: Final = 2
MOST_FAILURES: Final = 1000
FAILED_FOR_S: Final = 3600.0
"""So long a recording is not tried again: it may have been the disk that was at fault."""

State = tuple[Path, int, int]
"""A file with its size and when it was changed."""


async def measured_apart(path: Path) -> None:
    """Have its loudness written down beside it: whatever is wrong with the recording, the server
    goes on. The process ends with whoever waits for it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stretto.bootstrap.listening", str(path)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.wait_for(process.wait(), LONGEST_S)
    except TimeoutError:
        pass  # it is not drawn then
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Drawing:
    """Of one event loop. ``measure`` writes down how loud a recording is, if it can."""

    def __init__(
        self,
        measure: Callable[[Path], Awaitable[None]] = measured_apart,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._measure = measure
        self._clock = clock
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._rooms = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(MOST_OF_ONE_OWNER)
        )
        self._going_on: dict[State, asyncio.Task[Loudness | None]] = {}
        self._failed: OrderedDict[State, float] = OrderedDict()

    async def loudness(self, recording: Recording) -> Loudness:
        """Raises MediaNotRecognised."""
        state = await run_in_threadpool(_state, recording.path)
        kept = await run_in_threadpool(kept_beside, recording.path)
        if kept is not None:
            return kept
        found = None if self._has_failed(state) else await self._drawn(recording, state)
        if found is None:
            raise _not_drawn(recording.path)
        return found

    async def _drawn(self, recording: Recording, state: State) -> Loudness | None:
        """Whoever comes later waits for the same; whoever leaves takes it from nobody."""
        task = self._going_on.get(state)
        if task is None:
            task = asyncio.create_task(self._draw(recording, state))
            self._going_on[state] = task
        return await asyncio.shield(task)

    async def _draw(self, recording: Recording, state: State) -> Loudness | None:
        try:
            async with self._rooms[recording.owner], self._room:
                found = await run_in_threadpool(kept_beside, recording.path)
                if found is None:  # nobody was quicker
                    await self._measure(recording.path)
                    found = await run_in_threadpool(kept_beside, recording.path)
            if found is None:
                self._remember(state)
            return found
        finally:
            del self._going_on[state]

    def _remember(self, state: State) -> None:
        self._failed[state] = self._clock()
        self._failed.move_to_end(state)
        while len(self._failed) > MOST_FAILURES:
            self._failed.popitem(last=False)

    def _has_failed(self, state: State) -> bool:
        failed_at = self._failed.get(state)
        return failed_at is not None and self._clock() < failed_at + FAILED_FOR_S


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except OSError as cause:  # it was deleted just now
        raise _not_drawn(path) from cause
    return path, found.st_size, found.st_mtime_ns


def _not_drawn(path: Path) -> MediaNotRecognised:
    return MediaNotRecognised(f"{path.name} cannot be decoded to be drawn.")
