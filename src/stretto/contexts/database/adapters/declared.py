"""Reads the declared indexes from where they are declared: the tables as SQLAlchemy sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Dialect as SqlDialect
from sqlalchemy import Index, MetaData

from stretto.contexts.database.advice import IndexDefinition


def declared_indexes(
    declarations: Iterable[MetaData], dialect: SqlDialect
) -> tuple[IndexDefinition, ...]:
    """Every ``Index`` of every table, by name.

    What an index is there for stands in its ``info``: ``Index("transcript_status", "status",
    info={"serves": "Lists by status.", "query": "SELECT … WHERE status = :status"})``. An index
    with ``info={"dialects": ("postgresql",)}`` is wanted there only.
    """
    found = [
        _definition(index, dialect)
        for metadata in declarations
        for table in metadata.tables.values()
        for index in table.indexes
        if dialect.name in index.info.get("dialects", (dialect.name,))
    ]
    return tuple(sorted(found, key=lambda definition: definition.name))


def _definition(index: Index, dialect: SqlDialect) -> IndexDefinition:
    compiler = dialect.statement_compiler(dialect, None)

    def written(expression: Any) -> str:
        text: str = compiler.process(expression, include_table=False, literal_binds=True)
        return text

    options = index.dialect_options[dialect.name]
    where = options["where"]
    postgresql = dialect.name == "postgresql"
    storage = options["with"] if postgresql else {}
    return IndexDefinition(
        name=str(index.name),
        table="" if index.table is None else index.table.name,
        columns=tuple(written(expression) for expression in index.expressions),
        unique=bool(index.unique),
        where="" if where is None else where if isinstance(where, str) else written(where),
        method=(options["using"] or "btree") if postgresql else "btree",
        storage=", ".join(f"{name} = {value}" for name, value in storage.items()),
        serves=index.info.get("serves", ""),
        query=index.info.get("query", ""),
    )
