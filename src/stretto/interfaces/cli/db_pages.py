"""Prints what the database's advisers say: tables and colours on a terminal, else plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, TextIO

from stretto.contexts.database.advice import Operation, PlanStep, QueryPlan

if TYPE_CHECKING:
    from rich.console import Console

STYLES: Final = {
    "ok": "green",
    "learned": "green",
    "pinned": "green",
    "missing": "red",
    "invalid": "red",
    "different": "red",
    "no table": "dim",
}
LONGEST_DETAIL: Final = 160
"""Characters of a step that are shown; --json has them all."""

_SIGNS: Final = {
    Operation.FULL_SCAN: "reads all",
    Operation.INDEX_SCAN: "by index",
    Operation.INDEX_WALK: "walks the index",
    Operation.AUTOMATIC_INDEX: "builds index",
    Operation.SORT: "sorts",
    Operation.OTHER: "",
}
Row = tuple[str, ...]


class Page:
    """What is said to a stream, from the top; foreign text is never taken for markup."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console: Console | None = None
        if stream.isatty():
            from rich.console import Console

            self._console = Console(file=stream, highlight=False)

    def say(self, line: str, *, style: str = "") -> None:
        if self._console is None:
            print(line, file=self._stream)
        else:
            self._console.print(line, style=style, markup=False, soft_wrap=True)

    def heading(self, line: str) -> None:
        self.say(line, style="bold underline")

    def table(self, heads: Row, rows: Sequence[Row]) -> None:
        """The first cell of a row is a state, and has its colour."""
        if self._console is None:
            for row in rows:
                print("\t".join(row).rstrip(), file=self._stream)
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None)
        for head in heads:
            table.add_column(head, overflow="fold")
        for row in rows:
            state = Text(row[0], style=STYLES.get(row[0], "yellow"))
            table.add_row(state, *(Text(cell) for cell in row[1:]))
        self._console.print(table)


def cells(*values: str) -> Row:
    return tuple(str(value) for value in values)


def plan_lines(plan: QueryPlan) -> Iterator[str]:
    """One line for each step, indented below the step it works for."""
    for step in plan.steps:
        yield from _step_lines(step, depth=0)


def _step_lines(step: PlanStep, *, depth: int) -> Iterator[str]:
    facts = [_SIGNS[step.operation]] if _SIGNS[step.operation] else []
    if step.rows is not None:
        facts.append(f"about {step.rows:,.0f} rows")
    if step.actual_rows is not None:
        facts.append(f"in fact {step.actual_rows:,.0f}")
    shown = f" ({', '.join(facts)})" if facts else ""
    detail = step.detail
    if len(detail) > LONGEST_DETAIL:
        detail = f"{detail[:LONGEST_DETAIL]}…"
    yield f"{'  ' * depth}{detail}{shown}"
    for child in step.children:
        yield from _step_lines(child, depth=depth + 1)


def shown_ms(milliseconds: float) -> str:
    """Example: 4.26 is ``4.3 ms``, 12345 is ``12.3 s``."""
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.1f} ms"
