"""The nouns of advice: indexes as they are wanted and as they are, plans, findings.

They stand apart from ``model``, which every start of the program pays for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from stretto.contexts.database.model import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDefinition:
    """An index as it is wanted: what it lies on, and the query it is there for.

    A column is a name, a name followed by ``DESC``, or an expression. ``where`` makes the index
    partial; ``storage`` are parameters such as ``fillfactor = 70``. ``serves`` says in words which
    question the index answers; ``query`` is that question in SQL, with parameters as ``:name``, so
    that the planner can be asked whether it would use it.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    unique: bool = False
    where: str = ""
    method: str = "btree"
    storage: str = ""
    serves: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index as it is in the database.

    ``scans`` counts how often it was used since the server's statistics began, and ``age`` the
    transactions since it was made; None where nobody counts. ``valid`` is False for one whose
    creation broke off. ``constraint`` marks those of a primary key or a unique constraint.
    """

    definition: IndexDefinition
    valid: bool = True
    constraint: bool = False
    scans: int | None = None
    age: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``rows`` is exact up to a bound and an estimate above it; see the adapter."""

    name: str
    columns: tuple[str, ...]
    rows: int


class IndexState(StrEnum):
    """How a declared index and the real ones agree."""

    OK = "ok"
    NO_TABLE = "no table"
    MISSING = "missing"
    DIFFERENT = "different"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    UNUSED = "unused"
    UNDECLARED = "undeclared"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFinding:
    """What is to be said of one index; ``index`` is None when there is only a declaration."""

    state: IndexState
    definition: IndexDefinition
    index: Index | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStep:
    """Statements that repair one index, to be run in this order, and why."""

    name: str
    statements: tuple[str, ...]
    reason: str


class Operation(StrEnum):
    """What a step of a plan does, as far as it matters here.

    A scan of an index looks for something; a walk goes through it from end to end.
    """

    FULL_SCAN = "full-scan"
    INDEX_SCAN = "index-scan"
    INDEX_WALK = "index-walk"
    AUTOMATIC_INDEX = "automatic-index"
    SORT = "sort"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One node of a plan; ``detail`` is the server's own wording, ``alias`` the statement's name
    for the table.

    ``rows`` is what the planner expects from one run of the step and ``actual_rows`` what one run
    gave on average, None where nobody knows. ``cost`` is in the planner's units, for the step with
    everything below it. ``sort_bytes`` is what a sort will hold, or held; ``on_disk`` whether that
    is more than fits in memory.
    """

    operation: Operation
    detail: str
    table: str = ""
    alias: str = ""
    index: str = ""
    rows: float | None = None
    actual_rows: float | None = None
    cost: float | None = None
    sort_bytes: int | None = None
    on_disk: bool = False
    children: tuple[PlanStep, ...] = ()

    def walk(self) -> Iterator[PlanStep]:
        """This step and all below it, from the top."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan:
    """How a database means to answer a statement. ``cost`` is None where planners name none."""

    dialect: Dialect
    statement: str
    steps: tuple[PlanStep, ...]
    cost: float | None = None

    def walk(self) -> Iterator[PlanStep]:
        for step in self.steps:
            yield from step.walk()

    def uses(self, index: str) -> bool:
        return any(step.index == index for step in self.walk())


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """What came of running a statement once, with the plan that was followed."""

    plan: QueryPlan
    rows: int
    duration_ms: float


class FindingKind(StrEnum):
    FULL_SCAN = "full-scan"
    EXTERNAL_SORT = "external-sort"
    ESTIMATE_OFF = "estimate-off"
    AUTOMATIC_INDEX = "automatic-index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a plan that costs time, in one sentence."""

    kind: FindingKind
    table: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexTrial:
    """The plan without some indexes, and with them. Nothing of them stays in the database."""

    before: QueryPlan
    after: QueryPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexAdvice:
    """An index that would help; ``create`` is the statement that makes it."""

    definition: IndexDefinition
    create: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A plan, what is wrong with it, and what would help.

    ``trial`` shows what all of ``advice`` together changes, and ``proof`` says it in a sentence;
    where there was no trial, ``proof`` says why.
    """

    plan: QueryPlan
    findings: tuple[Finding, ...]
    advice: tuple[IndexAdvice, ...] = ()
    trial: IndexTrial | None = None
    proof: str = ""
    result: QueryResult | None = None
