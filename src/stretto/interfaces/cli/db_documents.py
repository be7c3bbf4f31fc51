"""What the database's advisers say, as JSON documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from stretto.contexts.database.advice import Explanation, IndexFinding, PlanStep, QueryPlan
from stretto.contexts.database.observations import (
    LearnedLoading,
    RepeatedStatement,
    SlowStatement,
)


def finding_document(finding: IndexFinding) -> dict[str, Any]:
    definition, index = finding.definition, finding.index
    return {
        "state": str(finding.state),
        "table": definition.table,
        "name": definition.name,
        "columns": list(definition.columns),
        "where": definition.where,
        "unique": definition.unique,
        "serves": definition.serves,
        "sentence": finding.sentence,
        "scans": index.scans if index else None,
        "size_bytes": index.size_bytes if index else None,
    }


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    result, trial = explanation.result, explanation.trial
    return {
        "statement": explanation.plan.statement,
        "plan": plan_document(explanation.plan),
        "findings": [
            {"kind": str(f.kind), "table": f.table, "sentence": f.sentence}
            for f in explanation.findings
        ],
        "advice": [{"name": a.definition.name, "create": a.create} for a in explanation.advice],
        "proof": explanation.proof,
        "before": plan_document(trial.before) if trial else None,
        "after": plan_document(trial.after) if trial else None,
        "result": {"rows": result.rows, "duration_ms": result.duration_ms} if result else None,
    }


def advice_document(
    slow: Sequence[tuple[SlowStatement, Explanation | None]],
    loadings: Sequence[LearnedLoading],
    repeated: Sequence[RepeatedStatement],
) -> dict[str, Any]:
    return {
        "slow_statements": [
            {**asdict(one), "explanation": explanation_document(why) if why else None}
            for one, why in slow
        ],
        "loadings": [{"id": one.id, **asdict(one), "state": str(one.state)} for one in loadings],
        "repeated_statements": [asdict(one) for one in repeated],
    }


def plan_document(plan: QueryPlan) -> dict[str, Any]:
    return {
        "dialect": str(plan.dialect),
        "cost": plan.cost,
        "steps": [_step(step) for step in plan.steps],
    }


def _step(step: PlanStep) -> dict[str, Any]:
    return {
        "operation": str(step.operation),
        "detail": step.detail,
        "table": step.table,
        "index": step.index,
        "rows": step.rows,
        "actual_rows": step.actual_rows,
        "cost": step.cost,
        "steps": [_step(child) for child in step.children],
    }
