"""Cuts words down to their stems: English ones in Latin letters, Russian ones in Cyrillic."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import Final, Protocol, cast

VERSION = 1
"""Goes into ``transcript.indexed``. Raise it when words get other stems: with a migration that sets
it back to 0, everything is indexed anew."""


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - the library's name


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """The same for every form of a word, whatever the language of the recording is.

    By the script, not by a language that somebody would have to know when searching: "meetings" is
    ``meet``, "встречами" is ``встреч``. Words of other scripts stay as they are.
    """
    first = word[0]
    if first.isascii():
        return word if first.isdigit() else _stemmed("english", word)
    if "\u0400" <= first <= "\u04ff":
        return _stemmed("russian", word)
    return word


def _stemmed(language: str, word: str) -> str:
    with _TURN:
        return _stemmer(language).stemWord(word)


_TURN: Final = Lock()
"""A stemmer keeps the word it works on in itself: two threads would cut each other's."""


@lru_cache(maxsize=2)
def _stemmer(language: str) -> _Stemmer:
    import snowballstemmer  # not before somebody needs it: a recall does not

    return cast(_Stemmer, snowballstemmer.stemmer(language))
