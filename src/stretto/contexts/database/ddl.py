"""Writes the statements that make and drop indexes."""

from __future__ import annotations

import re
from typing import Final

from stretto.contexts.database.advice import IndexDefinition

_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)((?: DESC| ASC)?)\Z", re.IGNORECASE)


def create_index(
    index: IndexDefinition, *, concurrently: bool = False, if_missing: bool = True, name: str = ""
) -> str:
    """``concurrently`` is for PostgreSQL, and outside a transaction; ``name`` replaces its own."""
    unique = "UNIQUE " if index.unique else ""
    method = f" USING {index.method}" if index.method != "btree" else ""
    words = [
        f"CREATE {unique}INDEX",
        *(["CONCURRENTLY"] if concurrently else []),
        *(["IF NOT EXISTS"] if if_missing else []),
        f"{quoted(name or index.name)} ON {quoted(index.table)}{method}",
        f"({', '.join(_column(column) for column in index.columns)})",
        *([f"WITH ({index.storage})"] if index.storage else []),
        *([f"WHERE {index.where}"] if index.where else []),
    ]
    return " ".join(words)


def drop_index(name: str, *, concurrently: bool = False) -> str:
    return f"DROP INDEX {'CONCURRENTLY ' * concurrently}IF EXISTS {quoted(name)}"


def rename_index(name: str, *, to: str) -> str:
    return f"ALTER INDEX {quoted(name)} RENAME TO {quoted(to)}"


def quoted(name: str) -> str:
    """Plain names stay as they are, so that a person can read the statement."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def _column(column: str) -> str:
    """A name is quoted where that is needed; everything else is an expression."""
    match = _NAME.match(column)
    return quoted(match[1]) + match[2] if match else column


_RESERVED: Final = frozenset(
    {"all", "and", "as", "case", "check", "column", "create", "default", "desc", "end", "from"}
    | {"grant", "group", "in", "index", "limit", "not", "null", "offset", "on", "or", "order"}
    | {"primary", "references", "select", "table", "then", "to", "union", "unique", "user"}
    | {"using", "values", "when", "where", "with"}
)
