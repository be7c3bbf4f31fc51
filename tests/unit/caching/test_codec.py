"""A parcel gives back the answer that was put in, or nothing: never another one, never an error."""

from __future__ import annotations

import math
import pickle
import random
from dataclasses import asdict, replace

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.caching.adapters import codec
from stretto.contexts.caching.adapters.columns import columns_of
from stretto.contexts.core.recognition import Recognition
from stretto.contexts.core.transcript import Segment, Word
from tests.fakes.examples import A_GAP, a_recognition
from tests.unit.caching.strategies import anything


def parcel_of(content: bytes) -> bytes:
    return codec.pack(zstandard.compress(content), schema_version=1)


def to_the_thousandth(recognition: Recognition) -> Recognition:
    """Times and beliefs as they are kept: what is no whole thousandth becomes one."""
    return replace(
        recognition,
        segments=tuple(
            replace(
                segment,
                start=near(segment.start),
                end=near(segment.end),
                words=tuple(
                    replace(
                        word,
                        start=near(word.start),
                        end=near(word.end),
                        probability=near(word.probability),
                    )
                    for word in segment.words
                ),
            )
            for segment in recognition.segments
        ),
    )


def near(value: float) -> float:
    return round(value * 1000) / 1000 if abs(value) < 1e12 else value


@given(anything(Recognition))
def test_an_answer_comes_back_as_it_was_to_the_thousandth(recognition: Recognition) -> None:
    expected = to_the_thousandth(recognition)
    assert codec.decode(codec.encode(recognition)) == expected
    assert codec.decode(codec.encode(expected)) == expected


def test_what_the_engine_says_in_milliseconds_comes_back_as_it_was() -> None:
    assert codec.decode(codec.encode(a_recognition())) == a_recognition()


def test_a_parcel_of_the_first_version_is_read_too() -> None:
    assert codec.decode(parcel_of(msgspec.msgpack.encode(a_recognition()))) == a_recognition()


@pytest.mark.parametrize("changed", ["words", "starts", "tokens", "token_values"])
def test_columns_that_do_not_fit_together_are_not_read(changed: str) -> None:
    columns = columns_of(a_recognition())
    for value in ((*getattr(columns, changed), 3), getattr(columns, changed)[:-1]):
        broken = msgspec.structs.replace(columns, **{changed: value})
        content = zstandard.compress(msgspec.msgpack.encode(broken))
        assert codec.decode(codec.pack(content)) is None


def test_an_hour_of_words_takes_little_room() -> None:
    words = tuple(
        Word(start=i * 0.4178, end=i * 0.4178 + 0.3, text=" word", probability=1 / (i + 1.1))
        for i in range(1000)
    )
    parcel = codec.encode(Recognition(segments=(Segment(start=0, end=418, text="", words=words),)))
    assert len(parcel) < 6_000


def test_numbers_that_are_none_come_back_too() -> None:
    odd = Segment(start=0, end=1, text="", average_log_probability=math.nan, temperature=math.inf)
    back = codec.decode(codec.encode(Recognition(segments=(odd,))))
    assert back is not None
    assert math.isnan(back.segments[0].average_log_probability)
    assert math.isinf(back.segments[0].temperature)


def test_no_flipped_bit_goes_unnoticed() -> None:
    parcel = codec.encode(a_recognition("It was the best of times, it was the worst", A_GAP))
    bits = random.Random(7).sample(range(8 * len(parcel)), 200)
    for bit in bits:
        damaged = bytearray(parcel)
        damaged[bit // 8] ^= 1 << bit % 8
        assert codec.decode(bytes(damaged)) is None


def test_no_cut_off_parcel_is_read() -> None:
    parcel = codec.encode(a_recognition())
    assert not any(codec.decode(parcel[:length]) for length in range(len(parcel)))
    assert codec.decode(parcel + b"\0") is None


@given(st.binary(max_size=300))
def test_no_foreign_bytes_are_read(data: bytes) -> None:
    assert codec.decode(data) is None


@given(st.binary(max_size=100))
def test_bytes_with_a_right_checksum_and_wrong_content_are_not_read(data: bytes) -> None:
    assert codec.decode(codec.pack(data)) is None


@pytest.mark.parametrize("foreign", ["text", 7, None, bytearray(b"STRC"), [b"STRC"]])
def test_what_is_no_bytes_is_not_read(foreign: object) -> None:
    assert codec.decode(foreign) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        msgspec.msgpack.encode([1, 2, 3]),
        msgspec.msgpack.encode("a text"),
        msgspec.msgpack.encode(asdict(a_recognition()) | {"speech_s": "two"}),
        msgspec.msgpack.encode(asdict(a_recognition()) | {"language": {"code": "xx"}}),
        msgspec.msgpack.encode(a_recognition()) + b"\0",
        b"\x91" * 100_000,
        pickle.dumps(a_recognition()),
    ],
    ids=["empty", "list", "text", "wrong type", "no language", "more", "deep", "pickle"],
)
def test_content_that_is_no_answer_is_not_read(content: bytes) -> None:
    assert codec.decode(parcel_of(content)) is None


def test_a_parcel_of_another_schema_is_not_read() -> None:
    frame = zstandard.compress(msgspec.msgpack.encode(a_recognition()))
    assert codec.decode(codec.pack(frame, schema_version=1)) == a_recognition()
    assert codec.decode(codec.pack(frame, schema_version=codec.SCHEMA_VERSION + 1)) is None


def test_a_decompression_bomb_is_not_unpacked() -> None:
    bomb = zstandard.compress(bytes(codec.MAXIMUM_CONTENT_BYTES + 1))
    assert len(bomb) < 100_000
    assert codec.decode(codec.pack(bomb)) is None


def test_an_answer_far_longer_than_that_of_any_chunk_is_neither_written_nor_read() -> None:
    """Each number of three bytes would be an object of thirty and more."""
    segment = Segment(start=0.0, end=1.0, text="", tokens=(50_000,) * 3_000_000)
    endless = Recognition(segments=(segment,))
    with pytest.raises(ValueError, match="too large"):
        codec.encode(endless)
    content = msgspec.msgpack.encode(columns_of(endless))
    assert codec.decode(codec.pack(zstandard.compress(content))) is None


def test_a_bomb_that_hides_its_size_is_not_unpacked() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    content = compressor.compress(msgspec.msgpack.encode(a_recognition())) + compressor.flush()
    assert codec.decode(codec.pack(content)) is None
