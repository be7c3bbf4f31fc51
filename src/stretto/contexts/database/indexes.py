"""Compares the indexes that are declared with those that there are, and repairs the difference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from stretto.contexts.core.errors import InvalidStatement
from stretto.contexts.database.advice import (
    Index,
    IndexDefinition,
    IndexFinding,
    IndexState,
    IndexStep,
    Table,
)
from stretto.contexts.database.ddl import create_index, drop_index, rename_index
from stretto.contexts.database.model import Dialect
from stretto.contexts.database.ports import Catalog, Explainer

ROWS_TO_JUDGE_USE: Final = 10_000
"""PostgreSQL reads a smaller table as a whole, whatever indexes it has."""

TRANSACTIONS_TO_JUDGE_USE: Final = 10_000
"""A younger index had no chance to be used yet."""

REPAIRED: Final = frozenset({IndexState.MISSING, IndexState.DIFFERENT, IndexState.INVALID})


class IndexManager:
    """Knows the declared indexes of all tables. Raises StorageUnavailable in all methods."""

    def __init__(
        self, definitions: Sequence[IndexDefinition], *, catalog: Catalog, explainer: Explainer
    ) -> None:
        self._definitions = {definition.name: definition for definition in definitions}
        self._catalog = catalog
        self._explainer = explainer

    def compare(self) -> tuple[IndexFinding, ...]:
        """One finding for each index that is declared or there, by table and name."""
        real = {index.definition.name: index for index in self._catalog.indexes()}
        names = {definition.table for definition in self._definitions.values()}
        tables = {table.name: table for table in self._catalog.tables(names)}
        found = [
            self._declared(definition, real, tables) for definition in self._definitions.values()
        ]
        found += [
            _undeclared(index, real)
            for name, index in real.items()
            if name not in self._definitions and not index.constraint
        ]
        return tuple(sorted(found, key=lambda f: (f.definition.table, f.definition.name)))

    def plan(self, findings: Sequence[IndexFinding]) -> tuple[IndexStep, ...]:
        """What creates the missing and replaces the broken ones. Nothing else is ever dropped."""
        return tuple(steps(findings, self._catalog.dialect))

    def apply(self) -> tuple[IndexStep, ...]:
        """Repair what ``compare`` finds now; returns what was done. Can be run again at any time.

        Raises StorageUnavailable for the first step that fails; those before it stay.
        """
        done = self.plan(self.compare())
        self._catalog.repair(done)
        return done

    def _declared(
        self,
        definition: IndexDefinition,
        real: Mapping[str, Index],
        tables: Mapping[str, Table],
    ) -> IndexFinding:
        index, table = real.get(definition.name), tables.get(definition.table)
        state, sentence = _difference(definition, index, table)
        if index is not None and state is IndexState.OK:
            covering = covered_by(index, real.values())
            if covering:
                state = IndexState.DUPLICATE
                sentence = f"{covering} begins with the same columns and answers as well."
            elif table is not None:
                twins = {name for name, one in real.items() if covered_by(one, [index])}
                state, sentence = self._use(definition, index, table, twins)
        return IndexFinding(state=state, definition=definition, index=index, sentence=sentence)

    def _use(
        self, definition: IndexDefinition, index: Index, table: Table, twins: set[str]
    ) -> tuple[IndexState, str]:
        """Whether it is used: what the server counted, and what the planner says of its query.

        If the planner takes one of ``twins``, it would take this one when they are gone.
        """
        serves = definition.serves or "Declared."
        if definition.unique or index.scans:
            return IndexState.OK, serves
        postgresql = self._catalog.dialect is Dialect.POSTGRESQL
        if postgresql and table.rows < ROWS_TO_JUDGE_USE:
            return IndexState.OK, serves
        if definition.query and self._planner_takes(definition, twins):
            return IndexState.OK, serves
        if definition.query:
            return IndexState.UNUSED, f"The planner does not use it for its query. {serves}"
        if index.scans == 0 and (index.age or 0) >= TRANSACTIONS_TO_JUDGE_USE:
            return IndexState.UNUSED, f"Never used since the server began to count. {serves}"
        return IndexState.OK, serves

    def _planner_takes(self, definition: IndexDefinition, twins: set[str]) -> bool:
        try:
            plan = self._explainer.plan(definition.query)
            return any(plan.uses(name) for name in {definition.name, *twins})
        except InvalidStatement:
            return False


def _difference(
    definition: IndexDefinition, index: Index | None, table: Table | None
) -> tuple[IndexState, str]:
    if table is None:
        where = f"There is no table {definition.table} yet; it comes with: stretto db upgrade."
        return IndexState.NO_TABLE, where
    if index is None:
        return IndexState.MISSING, f"It is not there. {definition.serves}".strip()
    if not index.valid:
        return IndexState.INVALID, "Its creation broke off; it costs writes and answers nothing."
    differences = list(_differences(definition, index.definition))
    if differences:
        return IndexState.DIFFERENT, f"It is not as declared: {'; '.join(differences)}."
    return IndexState.OK, definition.serves


def _differences(wanted: IndexDefinition, real: IndexDefinition) -> Iterator[str]:
    """Conditions are not compared word by word, because servers rewrite them."""
    if wanted.table != real.table:
        yield f"it lies on {real.table}"
    elif _plain(wanted.columns) != _plain(real.columns):
        yield f"its columns are ({', '.join(real.columns)})"
    if wanted.unique != real.unique:
        yield "it is unique" if real.unique else "it is not unique"
    if wanted.method != real.method:
        yield f"its kind is {real.method}"
    if bool(wanted.where) != bool(real.where):
        yield f"it is for rows with {real.where} only" if real.where else "it is for all rows"


def _plain(columns: Sequence[str]) -> list[str]:
    """For comparing: servers add casts, brackets and spaces to expressions."""
    without = (re.sub(r'::\w+(\s+varying)?|\s+asc\b|["()\s]', "", c.lower()) for c in columns)
    return list(without)


def covered_by(index: Index, others: Iterable[Index]) -> str:
    """The index that answers all that ``index`` answers, or ''.

    Of two that are the same, the one with the earlier name is kept.
    """
    mine = index.definition
    if mine.unique or index.constraint or mine.method != "btree":
        return ""
    for other in others:
        its = other.definition
        alike = (its.table, its.method, its.where) == (mine.table, mine.method, mine.where)
        begins = _plain(its.columns)[: len(mine.columns)] == _plain(mine.columns)
        if other is index or not alike or not begins or not other.valid:
            continue
        same = len(its.columns) == len(mine.columns) and not other.constraint and not its.unique
        if not same or its.name < mine.name:
            return its.name
    return ""


def _undeclared(index: Index, real: Mapping[str, Index]) -> IndexFinding:
    name = index.definition.name
    covering = covered_by(index, real.values())
    if not index.valid:
        state, sentence = IndexState.INVALID, "Nobody declared it, and its creation broke off."
    elif covering:
        state, sentence = IndexState.DUPLICATE, f"Nobody declared it, and {covering} does the same."
    else:
        state, sentence = IndexState.UNDECLARED, "Nobody declared it; somebody made it by hand."
    sentence += f" To remove it: {drop_index(name)}"
    return IndexFinding(state=state, definition=index.definition, index=index, sentence=sentence)


def steps(findings: Sequence[IndexFinding], dialect: Dialect) -> Iterator[IndexStep]:
    """On PostgreSQL without locking the table; each step leaves an index that can be used."""
    for finding in findings:
        declared = finding.index is None or finding.definition is not finding.index.definition
        if finding.state in REPAIRED and declared:
            yield IndexStep(
                name=finding.definition.name,
                statements=_repairing(finding, dialect),
                reason=finding.sentence,
            )


def _repairing(finding: IndexFinding, dialect: Dialect) -> tuple[str, ...]:
    definition, name = finding.definition, finding.definition.name
    concurrently = dialect is Dialect.POSTGRESQL
    create = create_index(definition, concurrently=concurrently)
    drop = drop_index(name, concurrently=concurrently)
    if finding.state is IndexState.MISSING:
        return (create,)
    if finding.state is IndexState.INVALID or not concurrently:
        return (drop, create)
    beside = f"{name}_new"
    return (
        drop_index(beside, concurrently=True),  # left over from a run that broke off
        create_index(definition, concurrently=True, name=beside),
        drop,
        rename_index(beside, to=name),
    )
