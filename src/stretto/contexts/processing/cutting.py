"""Decodes, plans and cuts in step: only the audio since the last cut is held in memory."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator

import numpy as np

from stretto.contexts.core.identifiers import AudioHash
from stretto.contexts.processing.model import AudioChunk, PlannedChunk, Samples
from stretto.contexts.processing.planning import ChunkPlanner
from stretto.contexts.processing.ports import AudioStream


def cut(decoded: AudioStream, planner: ChunkPlanner) -> Iterator[AudioChunk]:
    """The chunks of a recording in order, each as soon as its end is certain.

    Holds the audio from the last cut to one reach beyond the next, and nothing before it.
    """
    blocks: deque[Samples] = deque()

    def take(planned: PlannedChunk) -> AudioChunk:
        samples = np.empty(len(planned.span), np.int16)
        filled = 0
        while filled < len(samples):
            block = blocks.popleft()
            part = block[: len(samples) - filled]
            samples[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) < len(block):
                blocks.appendleft(block[len(part) :])
        digest = hashlib.sha256(np.ascontiguousarray(samples, dtype="<i2").data).hexdigest()
        return AudioChunk(planned=planned, audio=AudioHash(digest), samples=samples)

    for block in decoded.blocks():
        blocks.append(block)
        yield from map(take, planner.feed(block))
    yield from map(take, planner.finish())
