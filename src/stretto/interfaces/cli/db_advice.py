"""The commands `stretto db indexes`, `stretto db explain` and `stretto db advise`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from stretto.contexts.database.advice import (
    Explanation,
    IndexDefinition,
    IndexFinding,
    IndexState,
    IndexStep,
)
from stretto.contexts.database.advisers import Advisers
from stretto.contexts.database.observations import (
    LearnedLoading,
    LoadingState,
    RepeatedStatement,
    SlowStatement,
)
from stretto.interfaces.cli.db_documents import (
    advice_document,
    explanation_document,
    finding_document,
)
from stretto.interfaces.cli.db_pages import Page, cells, plan_lines, shown_ms

NOTHING_TO_DO = frozenset({IndexState.OK, IndexState.NO_TABLE})


def show_indexes(advisers: Advisers, *, apply: bool, as_json: bool) -> int:
    """Declared against real. Returns 0 when there is nothing to do any more, else 1."""
    done: Sequence[IndexStep] = advisers.indexes.apply() if apply else ()
    findings = advisers.indexes.compare()
    left = [finding for finding in findings if finding.state not in NOTHING_TO_DO]
    if as_json:
        steps = [{"name": s.name, "statements": s.statements, "reason": s.reason} for s in done]
        found = [finding_document(finding) for finding in findings]
        print(json.dumps({"database": advisers.place, "done": steps, "indexes": found}, indent=2))
    else:
        _print_indexes(advisers, findings, done)
    return 1 if left else 0


def explain(advisers: Advisers, sql: str, *, measure: bool, as_json: bool) -> int:
    """The plan of one statement that reads. Returns 0; raises InvalidStatement."""
    explanation = advisers.optimizer.explain(sql, measure=measure)
    if as_json:
        print(json.dumps(explanation_document(explanation), indent=2))
        return 0
    page = Page(sys.stdout)
    _print_explanation(page, explanation)
    return 0


def advise(
    advisers: Advisers, *, decisions: Sequence[tuple[str, LoadingState]], as_json: bool
) -> int:
    """What was slow, and what was asked row by row. ``decisions`` come first. Returns 0."""
    for loading_id, state in decisions:
        advisers.loading.set_state(loading_id, state)
    slow = advisers.optimizer.advise()
    loadings = advisers.loading.loadings()
    repeated = advisers.loading.repeated_statements()
    if as_json:
        document = advice_document(slow, loadings, repeated)
        print(json.dumps({"database": advisers.place, **document}, indent=2))
        return 0
    page = Page(sys.stdout)
    _print_slow(page, slow)
    _print_loadings(page, loadings)
    _print_repeated(page, repeated)
    return 0


def decisions(
    *, pin: Sequence[str], off: Sequence[str], unpin: Sequence[str]
) -> tuple[tuple[str, LoadingState], ...]:
    """What was typed, as ids of loadings with the state that each shall have."""
    return (
        *((one, LoadingState.PINNED) for one in pin),
        *((one, LoadingState.OFF) for one in off),
        *((one, LoadingState.LEARNED) for one in unpin),
    )


def _print_indexes(
    advisers: Advisers, findings: Sequence[IndexFinding], done: Sequence[IndexStep]
) -> None:
    page = Page(sys.stdout)
    for step in done:
        page.say(f"Repaired {step.name}: {'; '.join(step.statements)}")
    rows = [
        cells(f.state, f.definition.table, f.definition.name, _columns(f.definition), f.sentence)
        for f in findings
    ]
    page.table(("", "table", "index", "on", "what it is for, or what is wrong"), rows)
    to_repair = advisers.indexes.plan(findings)
    other = [f for f in findings if f.state not in NOTHING_TO_DO]
    if to_repair:
        page.say(f"{len(to_repair)} to create or replace: stretto db indexes --apply")
    elif other:
        page.say("None is missing. What is unused, double or undeclared is for you to remove.")
    else:
        page.say("All declared indexes are there, and no others.")


def _columns(definition: IndexDefinition) -> str:
    return ", ".join(definition.columns) + (f" where {definition.where}" * bool(definition.where))


def _print_explanation(page: Page, explanation: Explanation) -> None:
    for line in plan_lines(explanation.plan):
        page.say(line)
    if explanation.plan.cost is not None:
        page.say(f"Cost in the planner's units: {explanation.plan.cost:,.0f}")
    if explanation.result is not None:
        result = explanation.result
        page.say(f"It was run: {result.rows:,} rows in {shown_ms(result.duration_ms)}.")
    page.say("")
    _print_verdict(page, explanation)


def _print_verdict(page: Page, explanation: Explanation, *, indent: str = "") -> None:
    for finding in explanation.findings:
        page.say(f"{indent}{finding.kind}: {finding.sentence}", style="yellow")
    for advice in explanation.advice:
        page.say(f"{indent}would help: {advice.create}", style="green")
    if explanation.advice:
        page.say(f"{indent}{explanation.proof}")
    if explanation.trial is not None:
        page.say(f"{indent}The plan would be:")
        for line in plan_lines(explanation.trial.after):
            page.say(f"{indent}  {line}", style="dim")
    if explanation.findings and not explanation.advice:
        page.say(f"{indent}No index that was thought of would make it much faster.")
    if not explanation.findings:
        page.say(f"{indent}Nothing in this plan costs more than it has to.")


def _print_slow(page: Page, slow: Sequence[tuple[SlowStatement, Explanation | None]]) -> None:
    page.heading(f"Slow statements: {len(slow) or 'none seen'}")
    for one, explanation in slow:
        page.say(f"  {one.shape}", style="bold")
        page.say(
            f"  {_times(one.count)}, {shown_ms(one.total_ms)} in all, {shown_ms(one.worst_ms)} "
            f"at worst; asked for by {one.site}"
        )
        if explanation is None:
            page.say("    It cannot be explained any more: its tables are gone or others now.")
        else:
            _print_verdict(page, explanation, indent="    ")


def _print_loadings(page: Page, loadings: Sequence[LearnedLoading]) -> None:
    page.heading(f"Relationships asked for row by row: {len(loadings) or 'none seen'}")
    rows = [
        cells(one.state, one.path, f"{one.site}, line {one.line}", str(one.most_statements), one.id)
        for one in loadings
    ]
    if rows:
        page.table(("", "relationship", "queried at", "statements", "id"), rows)
        page.say(
            "What is learned or pinned is loaded with one statement for all rows. To keep one so: "
            "--pin ID; to have it never: --off ID; to leave it to what is seen: --unpin ID."
        )


def _print_repeated(page: Page, repeated: Sequence[RepeatedStatement]) -> None:
    page.heading(f"Statements asked for row by row: {len(repeated) or 'none seen'}")
    for one in repeated:
        page.say(f"  {one.shape}", style="bold")
        page.say(
            f"  {_times(one.most_statements)} in one unit of work, by {one.site}, line {one.line}. "
            "Ask once for all rows, with IN or a join."
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
