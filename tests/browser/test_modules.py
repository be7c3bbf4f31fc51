"""The page's pure modules, in the browser that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.serving import Site


@pytest.fixture
def called(opened: Callable[..., Page], idle: Site) -> Callable[..., Any]:
    """Calls a function of a module of the page."""
    page = opened(idle.url)

    def calling(module: str, function: str, *arguments: Any) -> Any:
        script = "async ([m, f, a]) => (await import(m))[f](...a)"
        return page.evaluate(script, [f"/js/{module}.js", function, list(arguments)])

    return calling


def test_words_are_found_in_the_text_however_it_parts_them(called: Callable[..., Any]) -> None:
    words = [{"word": word, "start": 0, "end": 1} for word in (" 世", "界", " Hi!", "lost", "Hi!")]
    parts = called("layout", "parts", {"text": "世界, Hi! (Hi!)", "words": words})
    assert [part["text"] for part in parts] == ["世", "界", ", ", "Hi!", " (", "Hi!", ")"]
    assert [bool(part.get("word")) for part in parts] == [
        True,
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    assert "".join(part["text"] for part in parts) == "世界, Hi! (Hi!)"


def test_a_search_knows_no_case_and_no_dots_of_yo(called: Callable[..., Any]) -> None:
    texts = ["Ещё раз, еще", "", "ЕЩЕ (x"]
    found = called("layout", "occurrences", texts, " ещё ")
    assert [(hit["index"], hit["from"], hit["to"]) for hit in found] == [
        (0, 0, 3),
        (0, 9, 12),
        (2, 0, 3),
    ]
    assert called("layout", "occurrences", texts, "(x") == [{"index": 2, "from": 4, "to": 6}]
    assert called("layout", "occurrences", texts, "  ") == []


def test_the_word_that_is_said_is_the_last_that_began(called: Callable[..., Any]) -> None:
    items = [{"start": start} for start in (1, 2, 2, 5)]
    said = [called("layout", "lastBegun", items, at) for at in (0.5, 1, 2, 4.9, 99)]
    assert said == [-1, 0, 2, 2, 3]
    assert called("layout", "lastBegun", [], 3) == -1


def test_a_correction_is_told_word_by_word(called: Callable[..., Any]) -> None:
    told = called("layout", "changes", "the best of times", "the very best of tunes")
    assert told == [
        ["same", "the"], ["new", "very"], ["same", "best of"], ["gone", "times"], ["new", "tunes"]
    ]  # fmt: skip
    assert called("layout", "changes", "same", "same") == [["same", "same"]]


def test_the_top_of_an_axis_is_round_and_holds_everything(called: Callable[..., Any]) -> None:
    tops = [called("chart", "ceiling", value) for value in (0, 0.03, 1, 1.2, 7, 2300)]
    assert tops == [1, 0.05, 1, 2, 10, 2500]
