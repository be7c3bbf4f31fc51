"""Cuts depend on the sound around them alone, so an edit changes only the chunks it touches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stretto.contexts.core.audio import BYTES_PER_SECOND, SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.cuts import natural_cuts
from stretto.contexts.processing.cutting import cut
from stretto.contexts.processing.model import (
    MEGABYTE,
    ChunkSize,
    Pause,
    PlannedChunk,
    Samples,
    SizeDecision,
)
from stretto.contexts.processing.planning import OPENING, ChunkPlanner
from tests.fakes.audio import MemoryStream, silence, speechlike, tone

TEN_MEGABYTES = SizeDecision(
    target=ChunkSize(10 * MEGABYTE),
    minimum_s=20.0,
    maximum_s=ChunkSize.MAXIMUM_BYTES / BYTES_PER_SECOND,
    reason="a test",
)
BLOCK = 10 * SAMPLE_RATE_HZ


def plan(
    samples: Samples, *, block: int = BLOCK, size: SizeDecision = TEN_MEGABYTES
) -> list[PlannedChunk]:
    planner = ChunkPlanner(size)
    found = []
    for start in range(0, len(samples), block):
        found += planner.feed(samples[start : start + block])
    return found + planner.finish()


def assert_tiles(chunks: Sequence[PlannedChunk], length: int) -> None:
    """Chunks tile the recording, pauses lie inside them, and none is longer than allowed."""
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    edges = [0, *(chunk.span.end for chunk in chunks)]
    assert [chunk.span.start for chunk in chunks] == edges[:-1]
    assert edges[-1] == length
    for chunk in chunks:
        assert 0 < len(chunk.span) <= TEN_MEGABYTES.maximum_s * SAMPLE_RATE_HZ
        positions = [chunk.span.start, *(p.position for p in chunk.pauses), chunk.span.end]
        assert positions == sorted(set(positions))


def hash_of(samples: Samples, span: Span) -> str:
    return hashlib.sha256(samples[span.start : span.end].tobytes()).hexdigest()


def chunk_hashes(samples: Samples, chunks: Sequence[PlannedChunk]) -> list[str]:
    return [hash_of(samples, chunk.span) for chunk in chunks]


@pytest.fixture(scope="module")
def talk() -> Samples:
    return speechlike(30 * 60.0, seed=11)


@pytest.fixture(scope="module")
def planned(talk: Samples) -> list[PlannedChunk]:
    return plan(talk)


def test_chunks_tile_the_recording(talk, planned) -> None:
    assert_tiles(planned, len(talk))
    assert len(planned) >= 4


def test_a_talk_is_cut_in_its_pauses(talk, planned) -> None:
    assert not any(chunk.forced for chunk in planned)
    for chunk in planned[:-1]:
        around = talk[chunk.span.end - 800 : chunk.span.end + 800].astype(float)
        assert np.sqrt(np.mean(around**2)) < 100
        assert chunk.loudness_dbfs < -45.0


@pytest.mark.parametrize("block", [3_333, SAMPLE_RATE_HZ, 123_457, 10**9])
def test_the_size_of_the_blocks_changes_nothing(talk, planned, block: int) -> None:
    assert plan(talk, block=block) == planned


def _without_seven_seconds(talk: Samples) -> Samples:
    return talk[round(7.3 * SAMPLE_RATE_HZ) :]


def _with_an_intro(talk: Samples) -> Samples:
    return np.concatenate([speechlike(7.3, seed=3), talk])


def _with_a_minute_inserted(talk: Samples) -> Samples:
    half = len(talk) // 2
    return np.concatenate([talk[:half], speechlike(60.0, seed=4), talk[half:]])


def _with_ten_minutes_more(talk: Samples) -> Samples:
    return np.concatenate([talk, speechlike(600.0, seed=5)])


@pytest.mark.parametrize(
    "edit",
    [_without_seven_seconds, _with_an_intro, _with_a_minute_inserted, _with_ten_minutes_more],
)
def test_an_edit_changes_two_chunks_at_most(talk, planned, edit) -> None:
    edited = edit(talk)
    again = plan(edited)
    assert_tiles(again, len(edited))
    new_chunks = set(chunk_hashes(edited, again))
    kept = [h in new_chunks for h in chunk_hashes(talk, planned)]
    assert sum(kept) >= len(kept) - 2


@pytest.mark.parametrize("count", [1, 2, 160, 1_600, 3_200, 3_201, SAMPLE_RATE_HZ])
def test_a_moment_is_one_chunk(count: int) -> None:
    (chunk,) = plan(np.full(count, 1_000, dtype=np.int16))
    assert chunk.span == Span(0, count)


def test_nothing_is_no_chunk() -> None:
    assert plan(np.zeros(0, dtype=np.int16)) == []
    assert ChunkPlanner(TEN_MEGABYTES).finish() == []


def test_an_hour_of_digital_silence_is_tiled() -> None:
    assert_tiles(plan(silence(3_600.0)), 3_600 * SAMPLE_RATE_HZ)


def test_a_cut_into_digital_silence_is_not_called_a_cut_into_sound() -> None:
    chunks = plan(silence(3_600.0))
    assert len(chunks) > 1
    assert not any(chunk.forced for chunk in chunks)
    assert all(chunk.loudness_dbfs <= -60.0 for chunk in chunks)


def test_a_tone_without_any_pause_is_cut_and_every_such_seam_is_marked() -> None:
    samples = tone(20 * 60.0)
    chunks = plan(samples)
    assert_tiles(chunks, len(samples))
    assert len(chunks) == 2
    assert chunks[0].forced
    assert not chunks[-1].forced


@pytest.mark.parametrize("sound", [silence, tone], ids=["digital silence", "a constant tone"])
def test_sound_without_a_pause_is_cut_while_it_is_read(sound) -> None:
    """Else an hour of it would be held in memory."""
    planner = ChunkPlanner(TEN_MEGABYTES)
    block = sound(10.0)
    emitted = [chunk for _ in range(200) for chunk in planner.feed(block)]
    assert emitted
    held = 200 * len(block) - emitted[-1].span.end
    reach_s = TEN_MEGABYTES.target.duration_s / 2
    assert held / SAMPLE_RATE_HZ <= TEN_MEGABYTES.maximum_s + reach_s + 30


def test_a_talk_is_cut_while_it_is_read(talk) -> None:
    planner = ChunkPlanner(TEN_MEGABYTES)
    read = end = 0
    for start in range(0, len(talk), BLOCK):
        read = min(start + BLOCK, len(talk))
        for chunk in planner.feed(talk[start:read]):
            end = chunk.span.end
        held_s = (read - end) / SAMPLE_RATE_HZ
        assert held_s <= TEN_MEGABYTES.maximum_s + TEN_MEGABYTES.target.duration_s / 2 + 30


@pytest.mark.parametrize("maximum_s", [30.0, 60.0, 299.5])
def test_no_chunk_is_longer_than_the_engine_takes(maximum_s: float) -> None:
    size = SizeDecision(
        target=ChunkSize(10 * MEGABYTE),
        minimum_s=min(20.0, maximum_s / 4),
        maximum_s=maximum_s,
        reason="a test",
    )
    for samples in (
        speechlike(600.0, seed=2),
        speechlike(600.0, seed=2, pauses=False),
        tone(600.0),
    ):
        chunks = plan(samples, size=size)
        assert_tiles(chunks, len(samples))
        assert max(len(chunk.span) for chunk in chunks) <= maximum_s * SAMPLE_RATE_HZ


def test_no_chunk_is_a_sliver(talk, planned) -> None:
    assert all(chunk.span.duration_s >= TEN_MEGABYTES.minimum_s for chunk in planned)


def test_the_pieces_that_are_cut_are_the_recording_and_carry_their_hash(talk) -> None:
    samples = talk[: 12 * 60 * SAMPLE_RATE_HZ]
    chunks = list(cut(MemoryStream(samples, block=123_457), ChunkPlanner(TEN_MEGABYTES)))
    assert len(chunks) >= 2
    assert np.array_equal(np.concatenate([chunk.samples for chunk in chunks]), samples)
    for chunk in chunks:
        assert chunk.audio.value == hash_of(samples, chunk.span)
        assert all(0 < pause.position < len(chunk.samples) for pause in chunk.pauses)


def a_pause(position: int, loudness: int) -> Pause:
    return Pause(position, loudness, level_dbfs=-50.0, surroundings_dbfs=-20.0)


pauses = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), max_size=40).map(
    lambda steps: [
        a_pause(position, loudness)
        for position, (_, loudness) in zip(
            np.cumsum([step for step, _ in steps]).tolist(), steps, strict=True
        )
    ]
)


def natural_by_definition(
    given_pauses: list[Pause], reach: int, certain: int, *, at_end: bool
) -> list[Pause]:
    def beaten_by(pause: Pause, other: Pause) -> bool:
        near = other is not pause and abs(other.position - pause.position) <= reach
        earlier = other.position < pause.position
        return near and (
            other.loudness < pause.loudness or (other.loudness == pause.loudness and earlier)
        )

    return [
        pause
        for pause in given_pauses
        if not any(beaten_by(pause, other) for other in given_pauses)
        and (at_end or pause.position + reach <= certain)
    ]


@settings(max_examples=300, deadline=None)
@given(pauses, st.integers(1, 30), st.integers(0, 200), st.booleans())
def test_natural_cuts_are_what_their_definition_says(
    given_pauses: list[Pause], reach: int, certain: int, at_end: bool
) -> None:
    found = natural_cuts(given_pauses, reach, certain, at_end=at_end)
    assert found == natural_by_definition(given_pauses, reach, certain, at_end=at_end)


# -- the opening

WITH_OPENING = replace(TEN_MEGABYTES, opening=True)


@pytest.mark.parametrize("block", [BLOCK, 4_001])
def test_a_long_recording_begins_with_a_short_chunk_that_changes_no_other_cut(block: int) -> None:
    talk = speechlike(1800.0, seed=5)
    without, chunks = plan(talk), plan(talk, block=block, size=WITH_OPENING)
    assert_tiles(chunks, len(talk))
    assert [chunk.opening for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
    assert OPENING.start <= len(chunks[0].span) < OPENING.end
    assert not chunks[0].forced
    assert [chunk.span.end for chunk in chunks[1:]] == [chunk.span.end for chunk in without]
    assert len(without) > 2


def test_the_opening_is_known_when_half_a_minute_is_read() -> None:
    planner = ChunkPlanner(WITH_OPENING)
    found: list[PlannedChunk] = []
    talk = speechlike(60.0, seed=5)
    for start in range(0, 27 * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ):
        found += planner.feed(talk[start : start + SAMPLE_RATE_HZ])
    assert [chunk.opening for chunk in found] == [True]


@pytest.mark.parametrize("sound", [tone(60.0), speechlike(60.0, pauses=False), silence(5.0)])
def test_without_a_pause_or_with_little_sound_there_is_no_opening(sound: Samples) -> None:
    assert not any(chunk.opening for chunk in plan(sound, size=WITH_OPENING))


def test_appending_to_a_recording_leaves_its_opening() -> None:
    talk = speechlike(600.0, seed=5)
    short, long = (plan(t, size=WITH_OPENING)[0] for t in (talk[: 400 * SAMPLE_RATE_HZ], talk))
    assert short.span == long.span
