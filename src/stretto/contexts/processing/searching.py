"""Finds words in texts: what is a word, when two are the same, and which text fits best.

The databases only find candidates; everything that a user can see of a search is decided here, so
that it is the same on all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from stretto.contexts.core.errors import InvalidOption

Stem = Callable[[str], str]
"""Cuts an ending off, so that forms of one word are the same; words are given in lower case."""

LONGEST_QUERY: Final = 1000
MOST_TERMS: Final = 16
LONGEST_WORD: Final = 60
MOST_WORDS_IN_SEGMENT: Final = 20_000
PASSAGE_CHARACTERS: Final = 200

_UNSPACED: Final = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Khmer, Japanese, Chinese: written without blanks, so each character is a word."""

_WORD: Final = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_][\u0300-\u036f]*)+")
_PIECE: Final = re.compile(r'["“”„«»]([^"“”„«»]*)["“”„«»]|([^\s"“”„«»]+)')

# Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the
# usual constants. Every hit holds every term, so that how rare a term is cannot tell hits apart.
_K1: Final = 1.2
_B: Final = 0.75
_USUAL_WORDS: Final = 15.0
_EXACT_FORM: Final = 0.5


@dataclass(frozen=True, slots=True)
class Token:
    """A word in a text: characters ``[start, end)``, in its plain form and as its stem."""

    start: int
    end: int
    plain: str
    stem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Words that have to follow each other; of a ``prefix`` the last is only a beginning."""

    words: tuple[str, ...]
    stems: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """All of ``terms`` have to be in a segment."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str, *, stem: Stem) -> Query:
        """Reads ``words "a phrase" begin*``; everything that is no word means nothing.

        Raises InvalidOption when there is no word in it, or too much of everything.
        """
        if len(text) > LONGEST_QUERY:
            raise InvalidOption(f"A search has at most {LONGEST_QUERY} characters.")
        terms = [term for found in _PIECE.finditer(text) if (term := _term(found, stem))]
        if not terms:
            raise InvalidOption(f"There is no word to search for in {text[:64]!r}.")
        return cls(tuple(dict.fromkeys(terms))[:MOST_TERMS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Where the terms stand in a text, in order, and how well it fits."""

    marks: tuple[tuple[int, int], ...]
    score: float


def tokens_of(text: str, *, stem: Stem) -> list[Token]:
    """The words of ``text`` in order. "It's 5°" has three: it, s and 5."""
    tokens = []
    for found in _WORD.finditer(text):
        if plain := _plain(found[0]):
            tokens.append(Token(found.start(), found.end(), plain, indexable(stem(plain))))
        if len(tokens) == MOST_WORDS_IN_SEGMENT:
            break
    return tokens


def indexable(stem: str) -> str:
    """The stem as every database takes it for one word.

    What counts as a letter differs between them for rare scripts and new versions of Unicode:
    outside of Latin, Greek and Cyrillic the bytes are written out, so that ``会`` is ``ue4bc9a``. A
    beginning of a word is still a beginning then.
    """
    usual = all(c < "\u0530" and (c.isalpha() or c.isdecimal()) for c in stem)
    return stem if usual else "u" + stem.encode().hex()


def promise(query: Query, stems: str) -> float | None:
    """What ``match`` will find a segment to be worth, or None when a term is not there.

    A quick look at the stems of the segment, joined by blanks: of many candidates only those that
    promise most are worth the trouble of a closer one. A beginning counts as being there once.
    """
    padded = f" {stems} "
    length = padded.count(" ") - 1
    score = 0.0
    for term in query.terms:
        count = 1 if term.prefix else padded.count(f" {' '.join(term.stems)} ")
        if not count:
            return None
        score += _worth(count, length)
    return score


def match(query: Query, tokens: Sequence[Token]) -> Match | None:
    """None unless every term is there."""
    marks: set[tuple[int, int]] = set()
    plain = {token.plain for token in tokens}
    score = 0.0
    for term in query.terms:
        places = _places(term, tokens)
        if not places:
            return None
        marks.update(places)
        score += _worth(len(places), len(tokens))
        score += _EXACT_FORM if plain.issuperset(term.words) else 0.0
    return Match(marks=tuple(sorted(marks)), score=score)


def passage(text: str, marks: Sequence[tuple[int, int]]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The part of ``text`` around the first mark, on one line, and the marks that lie in it."""
    text = "".join(" " if c.isspace() or not c.isprintable() else c for c in text)
    start, end = 0, len(text)
    if end > PASSAGE_CHARACTERS:
        first = marks[0][0] if marks else 0
        start = max(0, min(first - PASSAGE_CHARACTERS // 4, end - PASSAGE_CHARACTERS))
        start = text.rfind(" ", 0, start) + 1 if start - text.rfind(" ", 0, start) < 30 else start
        end = min(end, start + PASSAGE_CHARACTERS)
    before, after = "…" if start else "", "…" if end < len(text) else ""
    shift = len(before) - start
    inside = [(a + shift, b + shift) for a, b in marks if a >= start and b <= end]
    return f"{before}{text[start:end]}{after}", tuple(inside)


def _worth(count: int, length: int) -> float:
    return count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / _USUAL_WORDS))


def _term(found: re.Match[str], stem: Stem) -> Term | None:
    piece = found[2] or found[1] or ""
    tokens = tokens_of(piece, stem=stem)[:MOST_TERMS]
    if not tokens:
        return None
    return Term(
        words=tuple(token.plain for token in tokens),
        stems=tuple(token.stem for token in tokens),
        prefix=found[2] is not None and piece.endswith("*"),
    )


def _plain(word: str) -> str:
    """Lower case, composed, ё as е; letters and digits alone are left, of any script."""
    folded = unicodedata.normalize("NFKC", word).casefold().replace("ё", "е")
    return "".join(c for c in folded if c.isalnum() or unicodedata.combining(c))[:LONGEST_WORD]


def _places(term: Term, tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """Where the words of ``term`` follow each other, each by its own range of characters."""
    length = len(term.stems)
    found: list[tuple[int, int]] = []
    for first in range(len(tokens) - length + 1):
        run = tokens[first : first + length]
        if all(_same(term, index, token) for index, token in enumerate(run)):
            found.append((run[0].start, run[-1].end))
    return found


def _same(term: Term, index: int, token: Token) -> bool:
    if term.prefix and index == len(term.stems) - 1:
        return token.plain.startswith(term.words[index])
    return token.stem == term.stems[index]
