"""What a statement asks of each of its tables: the columns it compares and sorts by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.core.errors import InvalidStatement
from stretto.contexts.database.advice import Table
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.statements import Token, TokenKind, tokens

_CLAUSES: Final = frozenset(
    {"select", "from", "where", "on", "having", "group", "order", "limit", "offset", "set"}
    | {"window", "union", "except", "intersect", "returning", "values", "join", "for", "fetch"}
)
_NOT_AN_ALIAS: Final = _CLAUSES | {
    *("inner", "left", "right", "full", "cross", "natural", "outer", "using", "as", "indexed"),
    *("not", "lateral", "tablesample", "only", "collate"),
}
_RANGES: Final = frozenset({"<", "<=", ">", ">=", "between"})
_EQUALS: Final = frozenset({"=", "==", "in", "is"})
_TOUCHING: Final = frozenset({"+", "-", "*", "/", "||", "%", "::", "->", "->>"})
"""What is done to a column before it is compared: an index on the column does not serve that."""

_MIRRORED: Final = frozenset({"=", "==", "<", "<=", ">", ">="})


@dataclass(slots=True, kw_only=True)
class Need:
    """Columns of one table: compared with a value, with a column of another table, with a range,
    and sorted by (name, DESC)."""

    equal: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    ranged: list[str] = field(default_factory=list)
    ordered: list[str] = field(default_factory=list)

    @property
    def compared(self) -> list[str]:
        return [*self.equal, *(column for column in self.ranged if column not in self.equal)]


@dataclass(frozen=True, slots=True)
class _Place:
    """A token with the brackets it stands in and the clause of its SELECT."""

    token: Token
    path: tuple[int, ...]
    clause: str


def aliases(sql: str, dialect: Dialect) -> dict[str, str]:
    """Each name under which a statement speaks of a table, and the table. Empty if unreadable."""
    try:
        return _aliases(_placed(tokens(sql, dialect)))
    except InvalidStatement:
        return {}


def needs(sql: str, dialect: Dialect, tables: Mapping[str, Table]) -> dict[str, Need]:
    """By alias. What stands beside an OR is left out, since one index seldom serves both sides."""
    try:
        places = list(_placed(tokens(sql, dialect)))
    except InvalidStatement:
        return {}
    known = {alias: table for alias, table in _aliases(places).items() if table in tables}
    resolver = _Resolver(known, tables)
    found: dict[str, Need] = {}
    _collect_comparisons(places, resolver, found)
    _collect_orders(places, resolver, found)
    return found


def _placed(found: Sequence[Token]) -> Iterator[_Place]:
    path: tuple[int, ...] = ()
    clauses = [""]
    for number, token in enumerate(found):
        word = token.low if token.kind is TokenKind.WORD else token.text
        if word == ")" and path:
            path = path[:-1]
            clauses.pop()
        if token.kind is TokenKind.WORD and word in _CLAUSES:
            clauses[-1] = "from" if word == "join" else word
        yield _Place(token, path, clauses[-1])
        if word == "(":
            path = (*path, number)
            clauses.append(clauses[-1])


def _aliases(places: Sequence[_Place] | Iterator[_Place]) -> dict[str, str]:
    found: dict[str, str] = {}
    all_places = list(places)
    for number, place in enumerate(all_places):
        starts = place.token.low in {"from", "join", "update", "into"} or (
            place.token.text == "," and place.clause == "from"
        )
        name = _at(all_places, number + 1)
        if not starts or name is None or not name.is_name or name.low in _NOT_AN_ALIAS:
            continue
        after, table = number + 2, name.low
        while (dot := _at(all_places, after)) and dot.text == ".":  # a schema before the table
            qualified = _at(all_places, after + 1)
            table, after = qualified.low if qualified else table, after + 2
        alias = _at(all_places, after)
        if alias and alias.low == "as":
            alias = _at(all_places, after + 1)
        if alias and alias.text == "(":  # a function, not a table
            continue
        named = alias and alias.is_name and alias.low not in _NOT_AN_ALIAS
        found.setdefault(alias.low if alias and named else table, table)
    return found


def _at(places: Sequence[_Place], number: int) -> Token | None:
    return places[number].token if number < len(places) else None


class _Resolver:
    """Finds the column that is meant."""

    def __init__(self, known: Mapping[str, str], tables: Mapping[str, Table]) -> None:
        self._known = known
        self._tables = tables

    def column(self, places: Sequence[_Place], end: int) -> tuple[str, str] | None:
        """The (alias, column) that ends just before ``end``, if it is one and stands alone."""
        name = _before(places, end, 1)
        if name is None or not name.is_name:
            return None
        dotted = _before(places, end, 2)
        if dotted is not None and dotted.text == ".":
            owner = _before(places, end, 3)
            alias, edge = owner.low if owner else "", _before(places, end, 4)
        else:
            owning = [a for a, t in self._known.items() if name.low in self._tables[t].columns]
            alias, edge = owning[0] if len(owning) == 1 else "", dotted
        alone = edge is None or edge.text not in _TOUCHING
        table = self._tables.get(self._known.get(alias, ""))
        return (alias, name.low) if table and alone and name.low in table.columns else None

    def starting(self, places: Sequence[_Place], start: int) -> tuple[str, str] | None:
        """The same for a column that begins at ``start``, with nothing done to it after."""
        dot = _at(places, start + 1)
        end = start + 3 if dot is not None and dot.text == "." else start + 1
        after = _at(places, end)
        touched = after is not None and after.text in {"(", *_TOUCHING}
        return None if touched else self.column(places[:end], end)


def _before(places: Sequence[_Place], end: int, back: int) -> Token | None:
    return places[end - back].token if end - back >= 0 else None


def _collect_comparisons(
    places: Sequence[_Place], resolver: _Resolver, found: dict[str, Need]
) -> None:
    conditions = {"where", "on"}
    spoilt = {p.path for p in places if p.token.low == "or" and p.clause in conditions}
    for number, place in enumerate(places):
        sign = place.token.low
        if place.clause not in conditions or sign not in _RANGES | _EQUALS:
            continue
        if any(place.path[: len(path)] == path for path in spoilt):
            continue
        following = _at(places, number + 1)
        if sign == "is" and (following is None or following.low != "null"):
            continue
        left = resolver.column(places, number)
        right = resolver.starting(places, number + 1) if sign in _MIRRORED else None
        if left and right:
            if sign not in _RANGES and left[0] != right[0]:
                _add(found, left, "joined")
                _add(found, right, "joined")
        elif left or right:
            _add(found, left or right, "ranged" if sign in _RANGES else "equal")


def _add(found: dict[str, Need], column: tuple[str, str] | None, how: str) -> None:
    if column is not None:
        chosen: list[str] = getattr(found.setdefault(column[0], Need()), how)
        if column[1] not in chosen:
            chosen.append(column[1])


def _collect_orders(places: Sequence[_Place], resolver: _Resolver, found: dict[str, Need]) -> None:
    """Only an order by columns of one table can be had from an index."""
    for number, place in enumerate(places):
        if place.clause != "order" or place.token.low != "by" or place.path:
            continue
        columns: list[tuple[str, str]] = []
        at = number + 1
        while (column := resolver.starting(places, at)) is not None:
            dot = _at(places, at + 1)
            at += 3 if dot is not None and dot.text == "." else 1
            direction = _at(places, at)
            if direction is not None and direction.low in {"asc", "desc"}:
                at += 1
            descends = direction is not None and direction.low == "desc"
            columns.append((column[0], f"{column[1]} DESC" if descends else column[1]))
            comma = _at(places, at)
            if comma is None or comma.text != ",":
                break
            at += 1
        if len({alias for alias, _ in columns}) == 1:
            ordered = _forwards([column for _, column in columns])
            found.setdefault(columns[0][0], Need()).ordered = ordered
        return


def _forwards(columns: list[str]) -> list[str]:
    """An index can be read backwards, so that all columns downwards need no mention."""
    if all(column.endswith(" DESC") for column in columns):
        return [column.removesuffix(" DESC") for column in columns]
    return columns
