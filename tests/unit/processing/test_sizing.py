"""The sizer's decision fits the file and the engine, and its sentence says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stretto.contexts.core.audio import BYTES_PER_SECOND, AudioFile
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import FileHash
from stretto.contexts.processing.model import (
    MEGABYTE,
    ChunkSize,
    ConcurrencyLimit,
    EngineLimits,
    SizeDecision,
)
from stretto.contexts.processing.sizing import DynamicChunkSizer, estimated_duration_s

NO_LIMITS = EngineLimits()


def a_file(
    duration_s: float | None, *, size_bytes: int = 0, bitrate_bps: int | None = None
) -> AudioFile:
    return AudioFile(
        path=Path("talk.mp3"),
        size_bytes=size_bytes,
        file_hash=FileHash("0" * 64),
        stream_index=0,
        container="mp3",
        codec="mp3",
        claimed_duration_s=duration_s,
        bitrate_bps=bitrate_bps,
    )


def decide(
    duration_s: float | None = 1_800.0,
    *,
    limits: EngineLimits = NO_LIMITS,
    concurrency: int = 4,
    sizer: DynamicChunkSizer | None = None,
) -> SizeDecision:
    chosen = sizer or DynamicChunkSizer()
    return chosen.decide(
        a_file(duration_s), limits=limits, concurrency=ConcurrencyLimit(concurrency)
    )


def test_an_hour_is_spread_over_small_chunks_and_a_day_gets_larger_ones() -> None:
    hour, day, crowded = decide(3_600.0), decide(86_400.0), decide(86_400.0, concurrency=16)
    assert hour.target.bytes == 10 * MEGABYTE
    assert hour.target < crowded.target < day.target
    assert "60 min" in hour.reason
    assert "16 chunks at once" in crowded.reason


def test_a_day_gets_small_chunks_where_large_ones_are_no_quicker() -> None:
    day = decide(86_400.0, limits=EngineLimits(calls_are_free=True))
    assert day.target.bytes == 10 * MEGABYTE
    assert "1440 min" in day.reason


def test_ten_minutes_more_do_not_change_the_size_that_is_aimed_at() -> None:
    assert decide(3_600.0).target == decide(4_200.0).target
    assert decide(20_000.0).target == decide(20_600.0).target


def test_a_file_without_a_known_duration_is_judged_by_size_and_bitrate() -> None:
    day = a_file(None, size_bytes=1_382_400_000, bitrate_bps=128_000)
    decision = DynamicChunkSizer().decide(day, limits=NO_LIMITS, concurrency=ConcurrencyLimit())
    assert decision.target == decide(86_400.0).target
    assert estimated_duration_s(a_file(None, size_bytes=12_000_000, bitrate_bps=128_000)) == 750.0


@pytest.mark.parametrize("bitrate_bps", [None, 0])
def test_a_file_of_which_nothing_is_known_gets_small_chunks(bitrate_bps: int | None) -> None:
    unknown = a_file(None, size_bytes=10**12, bitrate_bps=bitrate_bps)
    decision = DynamicChunkSizer().decide(unknown, limits=NO_LIMITS, concurrency=ConcurrencyLimit())
    assert decision.target.bytes == ChunkSize.MINIMUM_BYTES


def test_no_chunk_is_larger_than_the_engine_takes_with_room_for_the_rest_of_the_body() -> None:
    decision = decide(limits=EngineLimits(max_bytes=25 * 1024 * 1024))
    assert decision.maximum_s * BYTES_PER_SECOND <= 25 * 1024 * 1024 - 500_000
    assert "26.2 MB a call" in decision.reason


def test_of_two_limits_the_tighter_one_rules() -> None:
    limits = EngineLimits(max_bytes=25 * MEGABYTE, max_seconds=120.0)
    decision = decide(limits=limits)
    assert decision.maximum_s == 120.0
    assert decision.minimum_s <= 30.0
    assert "120 s a call" in decision.reason


def test_an_engine_that_refused_a_chunk_for_its_size_gets_smaller_ones() -> None:
    sizer = DynamicChunkSizer()
    before = decide(86_400.0, sizer=sizer)
    sizer.report_too_large()
    after = decide(86_400.0, sizer=sizer)
    assert after.target < before.target
    assert "refused" in after.reason


@pytest.mark.parametrize("size_bytes", [10 * MEGABYTE - 1, 30 * MEGABYTE + 1, 0, -1])
def test_a_chunk_size_outside_its_range_is_refused(size_bytes: int) -> None:
    with pytest.raises(InvalidOption):
        ChunkSize(size_bytes)


@pytest.mark.parametrize("value", [0, -1, 65])
def test_a_concurrency_outside_its_range_is_refused(value: int) -> None:
    with pytest.raises(InvalidOption):
        ConcurrencyLimit(value)


@settings(max_examples=200, deadline=None)
@given(
    duration_s=st.none() | st.floats(0, 1e6),
    max_bytes=st.none() | st.integers(2 * MEGABYTE, 10**9),
    max_seconds=st.none() | st.floats(5.0, 1e5),
    concurrency=st.integers(1, 64),
)
def test_every_decision_can_be_carried_out(
    duration_s: float | None, max_bytes: int | None, max_seconds: float | None, concurrency: int
) -> None:
    limits = EngineLimits(max_bytes=max_bytes, max_seconds=max_seconds)
    decision = decide(duration_s, limits=limits, concurrency=concurrency)
    assert 0 < decision.minimum_s < decision.maximum_s
    assert decision.maximum_s <= ChunkSize.MAXIMUM_BYTES / BYTES_PER_SECOND
    assert decision.maximum_s <= (max_seconds or 1e9)
    assert decision.maximum_s * BYTES_PER_SECOND <= (max_bytes or 10**9)
    assert decision.reason


@pytest.mark.parametrize(
    ("duration_s", "maximum_s", "opening"),
    [(7_200.0, None, True), (313.0, None, True), (312.0, None, False), (7_200.0, 30.0, False)],
)
def test_what_is_longer_than_a_chunk_has_an_opening_unless_all_chunks_are_short(
    duration_s: float, maximum_s: float | None, opening: bool
) -> None:
    limits = EngineLimits(max_seconds=maximum_s)
    assert decide(duration_s, limits=limits).opening is opening


def test_a_recording_of_unknown_length_has_no_opening() -> None:
    assert not decide(None).opening


@pytest.mark.parametrize(
    ("duration_s", "limits", "shared"),
    [
        (20 * 60.0, NO_LIMITS, False),
        (21 * 60.0, NO_LIMITS, True),
        (24.0, EngineLimits(max_seconds=6.0), False),
        (25.0, EngineLimits(max_seconds=6.0), True),
        (None, NO_LIMITS, False),
    ],
)
def test_a_file_of_more_than_four_chunks_is_worth_sharing(
    duration_s: float | None, limits: EngineLimits, shared: bool
) -> None:
    size = decide(duration_s, limits=limits)
    assert DynamicChunkSizer().is_worth_sharing(a_file(duration_s), size) is shared
