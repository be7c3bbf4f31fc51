"""Ids, hashes, languages and moments are what they claim to be, or are refused with a sentence."""

from __future__ import annotations

import uuid
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidHash, InvalidIdentifier, StrettoError
from stretto.contexts.core.identifiers import (
    AudioHash,
    ChunkId,
    FileHash,
    JobId,
    Sha256,
    Timestamp,
    TranscriptId,
)

DIGEST = "0123456789abcdef" * 4


def test_an_id_survives_being_written_down() -> None:
    new = TranscriptId.new()
    assert TranscriptId.parse(str(new)) == new


def test_new_ids_differ() -> None:
    assert len({TranscriptId.new() for _ in range(100)}) == 100


def test_two_kinds_of_ids_are_never_equal() -> None:
    value = uuid.UUID(int=1)
    assert TranscriptId(value) != JobId(value)
    assert FileHash(DIGEST) != AudioHash(DIGEST)


@pytest.mark.parametrize("text", ["", "1", "not-an-id", "x" * 10_000, "\x00" * 36, "é" * 32])
def test_what_is_no_id_is_refused_and_shown_in_part_only(text: str) -> None:
    with pytest.raises(InvalidIdentifier) as raised:
        TranscriptId.parse(text)
    assert len(raised.value.message) < 400


@pytest.mark.parametrize(
    "text", ["", "0", DIGEST[:-1], DIGEST + "0", DIGEST.upper(), DIGEST + "\n", "g" * 64, "٠" * 64]
)
@pytest.mark.parametrize("kind", [Sha256, FileHash, AudioHash])
def test_what_is_no_sha_256_in_lower_case_is_refused(kind: type[Sha256], text: str) -> None:
    with pytest.raises(InvalidHash):
        kind(text)


def test_a_hash_is_written_as_its_digits() -> None:
    assert str(FileHash(DIGEST)) == DIGEST


def test_a_chunk_is_named_by_its_place_and_its_content() -> None:
    assert str(ChunkId(3, AudioHash(DIGEST))) == "3-0123456789ab"


def test_moments_are_ordered() -> None:
    assert Timestamp(1.0) < Timestamp(1.5) < Timestamp(2.0)


@given(st.text(max_size=80))
def test_no_text_breaks_the_parsing_of_ids_and_hashes(text: str) -> None:
    for parse in (TranscriptId.parse, FileHash):
        with suppress(StrettoError):
            parse(text)
