"""The shape of a statement: what stays the same when only the values in it change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stretto.contexts.core.errors import InvalidStatement
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.statements import Token, TokenKind, tokens

PLACE: Final = "?"
LONGEST_SHAPE: Final = 4000
"""Characters of a shape that are kept; a statement beyond that is recognised by its beginning."""

_BEFORE_A_SIGN: Final = frozenset(
    {"select", "where", "having", "on", "by", "from", "set", "values", "limit", "offset", "return"}
    | {"and", "or", "not", "in", "is", "between", "like", "case", "when", "then", "else"}
    | {"returning"}
)


def shape(sql: str, dialect: Dialect) -> str:
    """``sql`` in lower case, without comments, every value a ``?``, every list of values one long.

    Example: ``SELECT a FROM t -- why`` / ``WHERE b IN (1, 2) AND c = -3`` becomes
    ``select a from t where b in (?) and c = ?``. A statement that cannot be read is its own shape.
    """
    try:
        found = _without_values(tokens(sql, dialect))
    except InvalidStatement:
        return " ".join(sql.split())[:LONGEST_SHAPE]
    return _joined(_one_row(_one_of_each_list(found)))[:LONGEST_SHAPE]


def _without_values(found: Sequence[Token]) -> list[str]:
    texts: list[str] = []
    for token in found:
        if token.is_value:
            if texts and texts[-1] in "+-" and _is_sign(texts[:-1]):
                texts.pop()
            texts.append(PLACE)
        elif token.text != ";":
            texts.append(token.text if token.kind is TokenKind.NAME else token.low)
    return texts


def _is_sign(before: Sequence[str]) -> bool:
    """Whether a minus that follows ``before`` belongs to the value, and subtracts nothing."""
    if not before:
        return True
    last = before[-1]
    is_word = last[0].isalnum() or last[0] in '_"`['
    return last in _BEFORE_A_SIGN or (not is_word and last not in {")", "]", PLACE})


def _one_of_each_list(texts: Sequence[str]) -> list[str]:
    """``in (?, ?, ?)`` is ``in (?)``, whatever is cast to whatever in it."""
    result: list[str] = []
    at = 0
    while at < len(texts):
        result.append(texts[at])
        at += 1
        if result[-1] == "in" and at < len(texts) and texts[at] == "(":
            end = _closing(texts, at)
            result += ["(", *_first_if_all_equal(texts[at + 1 : end]), *texts[end : end + 1]]
            at = end + 1
    return result


def _one_row(texts: Sequence[str]) -> list[str]:
    """``values (?, ?), (?, ?)`` is ``values (?, ?)``."""
    result: list[str] = []
    at = 0
    while at < len(texts):
        result.append(texts[at])
        at += 1
        if result[-1] == "values" and at < len(texts) and texts[at] == "(":
            end = _closing(texts, at)
            row = list(texts[at : end + 1])
            result += row
            at = end + 1
            while list(texts[at : at + 1 + len(row)]) == [",", *row]:
                at += 1 + len(row)
    return result


def _closing(texts: Sequence[str], at: int) -> int:
    """Where the bracket that opens at ``at`` is closed; the end when it never is."""
    depth = 0
    for here in range(at, len(texts)):
        depth += (texts[here] == "(") - (texts[here] == ")")
        if depth == 0:
            return here
    return len(texts)


def _first_if_all_equal(texts: Sequence[str]) -> list[str]:
    elements: list[list[str]] = [[]]
    depth = 0
    for text in texts:
        depth += (text == "(") - (text == ")")
        if text == "," and depth == 0:
            elements.append([])
        else:
            elements[-1].append(text)
    alike = PLACE in elements[0] and all(element == elements[0] for element in elements)
    return elements[0] if alike else list(texts)


def _joined(texts: Sequence[str]) -> str:
    line = ""
    for before, text in zip(["", *texts], texts, strict=False):
        tight = text in {",", ")", "]", ".", "::"} or before in {"(", "[", ".", "::", ""}
        line += text if tight else f" {text}"
    return line
