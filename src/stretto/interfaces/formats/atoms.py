"""Cuts text into the pieces between which a line may break, in scripts with and without blanks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_WITHOUT_BLANKS: Final = re.compile(
    "[\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u3000-\u30ff\u31f0-\u31ff"  # Chinese and Japanese punctuation, kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\uff00-\uffef]"  # full-width and half-width forms
)
_JOINS_BOTH_SIDES: Final = frozenset("\u200d\u2060\u17d2\u1039")
_WRITTEN_BEFORE: Final = frozenset("เแโใไເແໂໃໄ")
"""Thai and Lao vowels that stand before the consonant they are spoken after."""
_WRITTEN_AFTER: Final = frozenset("ะาำๅๆະາຳຽໆ")


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of text without blanks that stays on one line.

    ``width`` is in columns, at least 1; ``glued`` says that no blank stands before it.
    """

    text: str
    width: int
    glued: bool


def atoms_of(text: str) -> list[Atom]:
    """Words, and for scripts without blanks characters with the marks that belong to them."""
    return [
        Atom(piece, _width(piece), glued=index > 0)
        for word in text.split()
        for index, piece in enumerate(_pieces(word))
    ]


def joined(atoms: Iterable[Atom]) -> str:
    """The text of one line."""
    return "".join(f"{'' if atom.glued else ' '}{atom.text}" for atom in atoms).lstrip(" ")


def _pieces(word: str) -> Iterator[str]:
    if not _WITHOUT_BLANKS.search(word):
        yield word
        return
    start = 0
    for position, (before, after) in enumerate(pairwise(word), 1):
        if not _inseparable(before, after):
            yield word[start:position]
            start = position
    yield word[start:]


def _inseparable(before: str, after: str) -> bool:
    if before in _JOINS_BOTH_SIDES or after in _JOINS_BOTH_SIDES:
        return True
    if before in _WRITTEN_BEFORE or after in _WRITTEN_AFTER:
        return True
    if unicodedata.category(after).startswith("M"):
        return True
    return not (_WITHOUT_BLANKS.match(before) or _WITHOUT_BLANKS.match(after))


def _width(text: str) -> int:
    return len(text) if text.isascii() else max(1, sum(map(_columns, text)))


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
