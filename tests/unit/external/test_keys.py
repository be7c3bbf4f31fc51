"""A service that repeats the key that it refuses is quoted without it, however it writes it."""

from __future__ import annotations

import json

import pytest

from stretto.contexts.external.model import APIEndpoint, APIRequest

KEY = "sk-a/b+c.(d)"


def spelled_out(key: str) -> str:
    return "".join(f"\\u{ord(letter):04X}" for letter in key)


@pytest.mark.parametrize(
    "written", [KEY, KEY.replace("/", "\\/"), KEY.replace("+", "\\u002B"), spelled_out(KEY)]
)
def test_a_key_in_any_spelling_of_json_is_left_out(written: str) -> None:
    request = APIRequest(
        endpoint=APIEndpoint("https://api.example.org/v1"),
        method="POST",
        path="/audio/transcriptions",
        headers=(("authorization", f"Bearer {KEY}"),),
    )
    said = f'{{"error": "The key {written} is not known, sk-axb is another."}}'
    assert KEY in json.loads(said)["error"]
    assert json.loads(request.without_key(said.encode())) == {
        "error": "The key *** is not known, sk-axb is another."
    }
