"""A key is the whole question: whatever differs in it, differs in the key."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, get_type_hints

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stretto.contexts.caching.addressing import ContentAddresser, hash_stream
from stretto.contexts.caching.model import CacheKey
from stretto.contexts.core.canonical import canonical_bytes
from stretto.contexts.core.errors import InvalidHash
from stretto.contexts.core.identifiers import AudioHash, FileHash
from stretto.contexts.core.recognition import RecognitionRequest
from tests.fakes.examples import a_recognition_request
from tests.unit.caching.strategies import anything

Path = tuple[str, ...]
REQUESTS = anything(RecognitionRequest)


def paths_to_leaves(kind: Any, prefix: Path = ()) -> Iterator[Path]:
    """Every field of ``kind``, down through the dataclasses in it."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if not field.compare:
            continue
        here = (*prefix, field.name)
        if is_dataclass(hints[field.name]):
            yield from paths_to_leaves(hints[field.name], here)
        else:
            yield here


def value_at(value: Any, path: Path) -> Any:
    for name in path:
        value = getattr(value, name)
    return value


def with_value_at(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    inner = with_value_at(getattr(value, path[0]), path[1:], new)
    return replace(value, **{path[0]: inner})


def key_of(request: RecognitionRequest) -> CacheKey:
    return ContentAddresser().key(request)


LEAVES = sorted(paths_to_leaves(RecognitionRequest))


def test_the_fields_are_those_that_decide_about_a_text() -> None:
    assert ("audio", "value") in LEAVES
    assert ("engine", "model_revision") in LEAVES
    assert ("options", "prompt") in LEAVES
    assert ("scope",) in LEAVES


@given(one=REQUESTS, other=REQUESTS)
def test_the_file_that_the_audio_came_from_does_not_matter(
    one: RecognitionRequest, other: RecognitionRequest
) -> None:
    assert key_of(replace(one, source=other.source)) == key_of(one)


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
@given(one=REQUESTS, other=REQUESTS)
def test_requests_that_differ_in_one_field_only_have_different_keys(
    path: Path, one: RecognitionRequest, other: RecognitionRequest
) -> None:
    changed = with_value_at(one, path, value_at(other, path))
    assume(plain(value_at(one, path)) != plain(value_at(changed, path)))
    assert key_of(changed) != key_of(one)


def plain(value: Any) -> Any:
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


@given(REQUESTS)
def test_equal_requests_have_equal_keys(request: RecognitionRequest) -> None:
    assert key_of(replace(request)) == key_of(request)


def test_a_prompt_has_one_key_however_its_letters_are_composed() -> None:
    composed, decomposed = (
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "cafe\N{COMBINING ACUTE ACCENT}",
    )
    one, other = (a_recognition_request(prompt=prompt) for prompt in (composed, decomposed))
    assert key_of(one) == key_of(other)


def test_a_scope_is_taken_byte_by_byte_so_that_no_tenant_can_look_like_another() -> None:
    one = replace(a_recognition_request(), scope="caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    other = replace(a_recognition_request(), scope="cafe\N{COMBINING ACUTE ACCENT}")
    assert key_of(one) != key_of(other)


def test_text_cannot_slip_from_one_field_into_its_neighbour() -> None:
    engine = a_recognition_request().engine
    one = replace(a_recognition_request(), engine=replace(engine, engine="ab", model="c"))
    other = replace(a_recognition_request(), engine=replace(engine, engine="a", model="bc"))
    assert key_of(one) != key_of(other)


def test_another_schema_version_has_other_keys() -> None:
    one, other = (ContentAddresser(schema_version=version) for version in (1, 2))
    assert one.key(a_recognition_request()) != other.key(a_recognition_request())


def test_a_key_is_the_same_in_every_process() -> None:
    script = (
        "from tests.fakes.examples import a_recognition_request as request\n"
        "from stretto.contexts.caching.addressing import ContentAddresser\n"
        "print(ContentAddresser().key(request(prompt='é', detected=True)))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path = {sys.path!r}\n{script}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert told == str(key_of(a_recognition_request(prompt="é", detected=True)))


def test_a_key_reads_as_transcript_and_hash() -> None:
    key = key_of(a_recognition_request())
    assert str(key) == f"transcript:{key.value}"
    assert CacheKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "transcript:", "transcript:" + "A" * 64, "0" * 64])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidHash):
        CacheKey.parse(text)


class Colour(StrEnum):
    RED = "red"


class Taste(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Pair:
    a: object
    b: object


def test_values_that_only_look_alike_are_rendered_apart() -> None:
    values: list[object] = [
        *(None, "", "None", b"", (), ((),), frozenset(), {}, False, 0, 0.0, "0", b"0"),
        *(True, 1, 1.0, "1", "True", ("ab",), ("a", "b"), (("a",), "b"), ("a", ("b",)), "red"),
        *(Colour.RED, Taste.RED, float("inf"), float("-inf"), float("nan"), "nan", 1e300, 10**300),
        *(Pair(1, 2), Pair(2, 1), {"a": 1, "b": 2}, {"a": 2, "b": 1}, ("a", 1, "b", 2)),
    ]
    assert len({canonical_bytes(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (float("nan"), -float("nan")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x", "y", "z"}, frozenset({"z", "y", "x"})),
    ],
)
def test_values_that_mean_the_same_are_rendered_alike(one: object, other: object) -> None:
    assert canonical_bytes(one) == canonical_bytes(other)


def test_the_order_in_which_fields_are_declared_does_not_count() -> None:
    one = make_dataclass("Thing", [("a", int), ("b", int)])(a=1, b=2)
    other = make_dataclass("Thing", [("b", int), ("a", int)])(a=1, b=2)
    assert canonical_bytes(one) == canonical_bytes(other)


def test_a_type_without_a_rendering_is_refused_rather_than_guessed() -> None:
    with pytest.raises(TypeError, match="object"):
        canonical_bytes(("a", object()))


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_a_hash_does_not_depend_on_how_the_stream_was_cut(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    blocks = (memoryview(data)[a:b] for a, b in pairwise(edges))
    assert hash_stream(blocks, kind=AudioHash).value == hashlib.sha256(data).hexdigest()


def test_a_hash_has_the_type_that_was_asked_for() -> None:
    assert type(hash_stream([b"a"], kind=FileHash)) is FileHash
    assert hash_stream([], kind=FileHash).value == hashlib.sha256().hexdigest()
