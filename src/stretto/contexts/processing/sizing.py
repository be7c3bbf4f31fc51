"""Chooses how large the chunks of a file are to be, and says why in one sentence."""

from __future__ import annotations

from typing import Final

from stretto.contexts.core.audio import BYTES_PER_SECOND, AudioFile
from stretto.contexts.processing.model import (
    MEGABYTE,
    ChunkSize,
    ConcurrencyLimit,
    EngineLimits,
    SizeDecision,
)

BODY_OVERHEAD_BYTES: Final = 1 * MEGABYTE
"""Multipart headers, the prompt and the container around the samples of one request."""

LONG_RECORDING_S: Final = 4 * 3600.0
SHORTEST_CHUNK_S: Final = 20.0
SHORTEST_WITH_OPENING_S: Final = 60.0
"""An engine that takes less at a time has its first words early anyway."""

FEWEST_CHUNKS_PER_WORKER: Final = 2
MOST_CHUNKS_IN_ONE_JOB: Final = 4


class DynamicChunkSizer:
    """Looks at the file, at what the engine takes, and at the errors it has met.

    The answer moves in coarse steps (10, 15 or 20 MB), never in proportion to the duration:
    cuts depend on the size that is aimed at, and a recording that grew by ten minutes must keep
    the chunks it had.
    """

    def __init__(self) -> None:
        self._too_large = 0

    def report_too_large(self) -> None:
        """An engine refused a chunk for its size; the next files get smaller ones."""
        self._too_large += 1

    def decide(
        self, file: AudioFile, *, limits: EngineLimits, concurrency: ConcurrencyLimit
    ) -> SizeDecision:
        target, why = self._wish(file, limits, concurrency)
        maximum_s = ChunkSize.MAXIMUM_BYTES / BYTES_PER_SECOND
        for limit_s, name in _limits_s(limits):
            if limit_s < maximum_s:
                maximum_s, why = limit_s, f"{why}; {name}"
        # A backend may take less than the smallest chunk: then its limit rules.
        target = min(target, max(ChunkSize.MINIMUM_BYTES, int(maximum_s * BYTES_PER_SECOND)))
        return SizeDecision(
            target=ChunkSize(target),
            minimum_s=min(SHORTEST_CHUNK_S, maximum_s / 4),
            maximum_s=maximum_s,
            opening=_duration_s(file) > ChunkSize(ChunkSize.MINIMUM_BYTES).duration_s
            and maximum_s >= SHORTEST_WITH_OPENING_S,
            reason=f"{target / MEGABYTE:.0f} MB ({target / BYTES_PER_SECOND:.0f} s): {why}",
        )

    def is_worth_sharing(self, file: AudioFile, size: SizeDecision) -> bool:
        """Whether many workers together are worth that each of them decodes the file."""
        return _duration_s(file) > MOST_CHUNKS_IN_ONE_JOB * min(
            size.target.duration_s, size.maximum_s
        )

    def _wish(
        self, file: AudioFile, limits: EngineLimits, concurrency: ConcurrencyLimit
    ) -> tuple[int, str]:
        duration_s = _duration_s(file)
        minutes = duration_s / 60
        if 0 < duration_s <= ChunkSize(ChunkSize.MINIMUM_BYTES).duration_s:
            return ChunkSize.MINIMUM_BYTES, f"{duration_s:.0f} s fit into one chunk"
        if self._too_large:
            return ChunkSize.MINIMUM_BYTES, "an engine refused larger chunks"
        if duration_s < LONG_RECORDING_S:
            at_once = concurrency.value * FEWEST_CHUNKS_PER_WORKER
            return (
                ChunkSize.MINIMUM_BYTES,
                f"{minutes:.0f} min is best spread over {at_once} or more small chunks",
            )
        if limits.calls_are_free:
            return ChunkSize.MINIMUM_BYTES, f"{minutes:.0f} min, and small chunks are as quick here"
        if concurrency.value > 8:
            return 15 * MEGABYTE, f"{minutes:.0f} min, and {concurrency.value} chunks at once"
        return 20 * MEGABYTE, f"{minutes:.0f} min is long enough for larger chunks"


def _duration_s(file: AudioFile) -> float:
    return file.claimed_duration_s or estimated_duration_s(file)


def _limits_s(limits: EngineLimits) -> list[tuple[float, str]]:
    """The engine's limits in seconds of audio, each with its name."""
    found = []
    if limits.max_bytes is not None:
        seconds = (limits.max_bytes - BODY_OVERHEAD_BYTES) / BYTES_PER_SECOND
        found.append((seconds, f"the engine takes {limits.max_bytes / MEGABYTE:.1f} MB a call"))
    if limits.max_seconds is not None:
        found.append((limits.max_seconds, f"the engine takes {limits.max_seconds:.0f} s a call"))
    return found


def estimated_duration_s(file: AudioFile) -> float:
    """From size and bitrate where the header names no duration; 0 when neither is known.

    Example: 12,000,000 bytes at 128,000 bit/s are 750 s.
    """
    return file.size_bytes * 8 / file.bitrate_bps if file.bitrate_bps else 0.0
