"""The files of the page: small, in two languages, and without a way for data to become a script."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

import stretto

PAGE: Final = Path(stretto.__file__).parent / "interfaces" / "http" / "page"
SCRIPTS: Final = sorted(PAGE.rglob("*.js"))
SHEETS: Final = sorted(PAGE.rglob("*.css"))
EVERYTHING: Final = sorted(path for path in PAGE.rglob("*") if path.is_file())
BYTES_IN_ALL: Final = 150_000
LONGEST_SCRIPT: Final = 300

UNSAFE: Final = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTMLUnsafe|parseFromString|srcdoc"
    r"|createContextualFragment|\beval\b|new Function|setTimeout\(\s*[\"'`]|javascript:"
)
ELSEWHERE: Final = re.compile(r"(?:https?:)?//[\w-]+\.\w+|@import|@font-face")
IMPORTED: Final = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")
SAID: Final = re.compile(r"""\b(?:t|known)\(\s*(?:[\w ]+\? )?["'`]([\w.$\{}]+)["'`]""")
OTHERWISE: Final = re.compile(r"""\? ["'`]([\w.]+)["'`] : ["'`]([\w.]+)["'`]""")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def table(language: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text_of(PAGE / "i18n" / f"{language}.json"))
    return read


def sentences(language: str) -> dict[str, str]:
    """All forms of a sentence as one text."""
    found = table(language)
    return {
        key: said if isinstance(said, str) else " ".join(said.values())
        for key, said in found.items()
    }


def test_the_page_is_small() -> None:
    assert len(EVERYTHING) > 20
    assert sum(path.stat().st_size for path in EVERYTHING) < BYTES_IN_ALL


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(PAGE)))
def test_a_script_makes_no_markup_of_data_and_says_what_it_is_for(path: Path) -> None:
    script = text_of(path)
    assert UNSAFE.findall(script) == []
    assert script.startswith("// ")
    assert len(script.splitlines()) <= LONGEST_SCRIPT


@pytest.mark.parametrize(
    "markup", ["a.innerHTML = x", "eval(x)", "setTimeout('x')", "new Function(x)"]
)
def test_what_would_make_markup_of_data_is_noticed(markup: str) -> None:
    assert UNSAFE.search(markup)


def test_nothing_comes_from_elsewhere() -> None:
    namespaces = {"http://www.w3"}
    for path in EVERYTHING:
        assert set(ELSEWHERE.findall(text_of(path))) <= namespaces, path.name


def test_nothing_is_inline() -> None:
    markup = text_of(PAGE / "index.html")
    assert re.findall(r"<style|\sstyle=|\son\w+=", markup) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)", markup) == []


def test_every_module_that_is_imported_is_there() -> None:
    for path in SCRIPTS:
        for name in IMPORTED.findall(text_of(path)):
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"
    for name in re.findall(r'(?:href|src)="([^"]+)"', text_of(PAGE / "index.html")):
        assert (PAGE / name).is_file(), name


def test_both_languages_say_the_same_with_the_same_places() -> None:
    english, russian = sentences("en"), sentences("ru")
    # The titles of charts come from the server, in English.
    given = {key for key in russian if key.partition(".")[0] in {"board", "chart", "line"}}
    assert english.keys() == russian.keys() - given
    for key, said in english.items():
        assert set(re.findall(r"\{\w+}", said)) == set(re.findall(r"\{\w+}", russian[key])), key


def test_plurals_have_the_forms_that_each_language_needs() -> None:
    forms = {"en": {"one", "other"}, "ru": {"one", "few", "many", "other"}}
    for language, needed in forms.items():
        for key, said in table(language).items():
            assert isinstance(said, str) or said.keys() == needed, key


def test_every_sentence_is_there_and_none_is_there_for_nothing() -> None:
    scripts = "\n".join(text_of(path) for path in SCRIPTS)
    asked = set(SAID.findall(scripts)) | {
        name for pair in OTHERWISE.findall(scripts) for name in pair
    }
    whole = {name for name in asked if "$" not in name and "." in name}
    known = set(sentences("en"))
    assert whole - known == set()
    patterns = [
        re.sub(r"\\\$\\\{[^}]*}", r"[\\w-]+", re.escape(name)) for name in asked if "$" in name
    ]
    computed = {key for key in known for pattern in patterns if re.fullmatch(pattern, key)}
    assert known - whole - computed == set()
