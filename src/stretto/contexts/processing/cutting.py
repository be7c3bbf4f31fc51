"""Decodes, plans and cuts in step: only the audio since the last cut is held in memory."""

from __future__ import annotations

import hashlib
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
    buffer: list[Samples] = []

    def take(planned: PlannedChunk) -> AudioChunk:
        nonlocal buffer
        joined = np.concatenate(buffer)
        wanted = len(planned.span)
        samples, rest = joined[:wanted].copy(), joined[wanted:].copy()
        buffer = [rest]
        digest = hashlib.sha256(np.ascontiguousarray(samples, dtype="<i2").data).hexdigest()
        return AudioChunk(planned=planned, audio=AudioHash(digest), samples=samples)

    for block in decoded.blocks():
        buffer.append(block)
        yield from map(take, planner.feed(block))
    yield from map(take, planner.finish())
