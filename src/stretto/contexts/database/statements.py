"""Reads SQL just well enough: its words, its shape without the values, whether it only reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from stretto.contexts.core.errors import InvalidStatement
from stretto.contexts.database.model import Dialect

LONGEST_STATEMENT: Final = 100_000
"""Characters of a statement that somebody may ask about."""

READING: Final = frozenset({"select", "with", "values", "table"})
WRITING: Final = frozenset({"insert", "update", "delete", "merge", "replace"})
FORBIDDEN: Final = frozenset(
    {"insert", "delete", "merge", "into", "create", "alter", "drop", "truncate", "attach"}
    | {"detach", "vacuum", "pragma", "grant", "revoke", "copy", "execute"}
)
"""Words that no reading statement needs, except as quoted names."""


class TokenKind(StrEnum):
    WORD = "word"
    NAME = "name"
    LITERAL = "literal"
    PARAMETER = "parameter"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` is as written, ``start`` and ``end`` are offsets into the statement."""

    kind: TokenKind
    text: str
    start: int
    end: int

    @property
    def low(self) -> str:
        """For comparing: a word in lower case, a quoted name without its quotes."""
        if self.kind is TokenKind.NAME:
            return self.text[1:-1].replace('""', '"')
        return self.text.lower() if self.kind is TokenKind.WORD else self.text

    @property
    def is_name(self) -> bool:
        return self.kind in {TokenKind.WORD, TokenKind.NAME}

    @property
    def is_value(self) -> bool:
        return self.kind in {TokenKind.LITERAL, TokenKind.PARAMETER}


_COMMON: Final = r"""
    (?P<space>\s+|--[^{newline}]*)
  | (?P<comment>/\*)
  | (?P<literal>{literal}'(?:[^']|'')*+' | 0[xX][0-9a-fA-F_]+
      | (?:\d[\d_]*+(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+)
  | (?P<name>"(?:[^"]|"")*+"{name})
  | (?P<cast>::)
  | (?P<parameter>:[^\W\d]\w*+{parameter})
  | (?P<word>[^\W\d][\w$]*+)
  | (?P<sign><=|>=|<>|!=|==|\|\||->>?|[^'"])
"""
_PATTERNS: Final = {
    Dialect.SQLITE: re.compile(
        _COMMON.format(
            newline=r"\n",
            literal="",
            name=r"|`[^`]*+`|\[[^\]]*+\]",
            parameter=r"|[@$][^\W\d]\w*+|\?\d*+",
        ),
        re.VERBOSE,
    ),
    Dialect.POSTGRESQL: re.compile(
        _COMMON.format(
            newline=r"\n\r",
            literal=r"[eE]'(?:[^'\\]|\\.|'')*+' | (?P<dollar>\$(?:[^\W\d]\w*+)?+\$) | ",
            name="",
            parameter=r"|\$\d++|\?(?![|&])",
        ),
        re.VERBOSE | re.DOTALL,
    ),
}
_KINDS: Final = {
    "literal": TokenKind.LITERAL,
    "name": TokenKind.NAME,
    "parameter": TokenKind.PARAMETER,
    "word": TokenKind.WORD,
    "cast": TokenKind.SIGN,
    "sign": TokenKind.SIGN,
}


def tokens(sql: str, dialect: Dialect) -> tuple[Token, ...]:
    """The words of a statement without spaces and comments.

    Raises InvalidStatement for a quote or comment that is never closed.
    """
    return tuple(_scan(sql, dialect))


def _scan(sql: str, dialect: Dialect) -> Iterator[Token]:
    pattern, at = _PATTERNS[dialect], 0
    while at < len(sql):
        match = pattern.match(sql, at)
        if match is None:
            raise InvalidStatement(f"A quote is opened and never closed: {sql[at : at + 40]!r}.")
        kind, end = str(match.lastgroup), match.end()
        if kind == "comment":
            end = _comment_end(sql, at, nested=dialect is Dialect.POSTGRESQL)
        elif "dollar" in match.groupdict() and match["dollar"]:
            kind, end = "literal", _closing(sql, match["dollar"], end)
        if kind in _KINDS:
            yield Token(_KINDS[kind], sql[at:end], at, end)
        at = end


def _comment_end(sql: str, at: int, *, nested: bool) -> int:
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(sql, at):
        if mark[0] == "*/":
            depth -= 1
        elif nested or depth == 0:
            depth += 1
        if depth == 0:
            return mark.end()
    raise InvalidStatement(f"A comment is opened and never closed: {sql[at : at + 40]!r}.")


def _closing(sql: str, quote: str, start: int) -> int:
    end = sql.find(quote, start)
    if end < 0:
        raise InvalidStatement(f"A quote is opened and never closed: {quote!r}.")
    return end + len(quote)


def reading_statement(sql: str, dialect: Dialect) -> str:
    """The one statement in ``sql``, without what stands around it, if it does nothing but read.

    Raises InvalidStatement with the reason otherwise. This is the first of three locks: the
    adapters put EXPLAIN before the statement, and open the transaction for reading only.
    """
    if len(sql) > LONGEST_STATEMENT or "\0" in sql:
        raise InvalidStatement(
            f"A statement has at most {LONGEST_STATEMENT:,} characters, and no zero character."
        )
    found = list(tokens(sql, dialect))
    while found and found[-1].text == ";":
        found.pop()
    if not found:
        raise InvalidStatement("There is no statement to explain. Give one that begins SELECT.")
    if any(token.text == ";" for token in found):
        raise InvalidStatement("Only one statement can be explained at a time; here are several.")
    _refuse_all_but_reading(found)
    return sql[found[0].start : found[-1].end]


def _refuse_all_but_reading(found: Sequence[Token]) -> None:
    first = next((token for token in found if token.text != "("), found[0])
    if first.low in {"explain", "analyze", "analyse"}:
        raise InvalidStatement(
            f"Give the statement itself, without {first.text.upper()}: it is explained, not run."
        )
    if first.low not in READING or first.kind is not TokenKind.WORD:
        raise InvalidStatement(
            "Only a statement that reads is explained (SELECT, WITH, VALUES or TABLE); "
            f"this one begins with {first.text[:20]!r}."
        )
    for before, token in pairwise(found):
        locks_rows = token.low == "update" and before.low in {"for", "key"}
        if token.kind is TokenKind.WORD and (
            token.low in FORBIDDEN or (token.low == "update" and not locks_rows)
        ):
            raise InvalidStatement(
                f"Only a statement that reads is explained; this one says {token.text.upper()}. "
                "If that is the name of a column, put it in double quotes."
            )


def explainable(sql: str, dialect: Dialect) -> bool:
    """Whether a statement that a program ran has a plan: it reads, or changes rows."""
    try:
        found = tokens(sql, dialect)
    except InvalidStatement:
        return False
    several = any(token.text == ";" for token in found[:-1])
    return bool(found) and not several and found[0].low in READING | WRITING


def numbered(sql: str, dialect: Dialect) -> tuple[str, int]:
    """``sql`` with parameters the way the server counts them, and how many there are.

    ``?`` on SQLite, ``$1`` on PostgreSQL, where a repeated name keeps its number. Nobody knows the
    values, so a page is taken to be the first one, of 20 rows. Example, on PostgreSQL: ``a = :a
    LIMIT :n`` becomes ``a = $1 LIMIT 20``.
    """
    parts, at, numbers, before = [], 0, dict[str, int](), ""
    for token in tokens(sql, dialect):
        if _is_bound(token, dialect):
            place = _PAGE.get(before) or _place(token, dialect, numbers)
            parts += [sql[at : token.start], place]
            at = token.end
        before = token.low
    return "".join([*parts, sql[at:]]), len(numbers)


_PAGE: Final = {"limit": "20", "offset": "0"}


def _is_bound(token: Token, dialect: Dialect) -> bool:
    """On PostgreSQL a question mark is an operator."""
    operator = dialect is Dialect.POSTGRESQL and token.text.startswith("?")
    return token.kind is TokenKind.PARAMETER and not operator


def _place(token: Token, dialect: Dialect, numbers: dict[str, int]) -> str:
    if dialect is Dialect.SQLITE:
        numbers[f"{token.start}"] = len(numbers) + 1
        return "?"
    return f"${numbers.setdefault(token.text, len(numbers) + 1)}"
