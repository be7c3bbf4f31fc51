"""Languages by their codes and names, as people and programs write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidLanguage
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.languages import ALIASES, ENGLISH_NAMES

# openai/whisper, whisper/tokenizer.py, LANGUAGES.
WHISPER = """
    en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th
    ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr
    pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt
    haw ln ha ba jw su yue
"""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("en", "en"),
        (" EN ", "en"),
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("zh-Hant-TW", "zh"),
        ("English", "en"),
        ("russian", "ru"),
        ("jw", "jv"),
        ("iw", "he"),
        ("yue", "yue"),
        ("Scottish Gaelic", "gd"),
    ],
)
def test_a_language_is_understood_as_people_write_it(text: str, code: str) -> None:
    assert Language.parse(text) == Language(code)


@pytest.mark.parametrize("text", ["", " ", "xx", "e", "eng", "klingon", "en\x00", "x" * 10_000])
def test_what_is_no_language_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidLanguage, match="such as en") as raised:
        Language.parse(text)
    assert len(raised.value.message) < 250


def test_a_code_is_taken_as_it_is_without_parsing() -> None:
    with pytest.raises(InvalidLanguage):
        Language("EN")


@pytest.mark.parametrize("code", WHISPER.split())
def test_every_language_of_whisper_is_known(code: str) -> None:
    assert Language.parse(code).english_name


@pytest.mark.parametrize("code", ENGLISH_NAMES)
def test_every_code_and_every_name_leads_to_the_same_language(code: str) -> None:
    language = Language(code)
    assert Language.parse(code) == language
    assert Language.parse(language.english_name) == language
    assert str(language) == code


def test_withdrawn_codes_lead_to_known_ones() -> None:
    assert set(ALIASES.values()) <= set(ENGLISH_NAMES)
    assert not set(ALIASES) & set(ENGLISH_NAMES)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsing(text: str) -> None:
    with suppress(InvalidLanguage):
        assert Language.parse(text).code in ENGLISH_NAMES
