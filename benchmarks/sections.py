"""The parts of a page that benchmarks write: between ``<!-- measured: NAME -->`` and the next
``<!-- end -->``. All else belongs to the page's authors."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping

from benchmarks import machine

SECTION = re.compile(r"(<!-- measured: ([a-z]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def rendered(page: str, name: str, body: str) -> str:
    """``page`` with one section written anew. Raises ValueError without exactly one."""
    found = [match for match in SECTION.finditer(page) if match[2] == name]
    if len(found) != 1:
        raise ValueError(f"The page needs one section {name}.")
    (match,) = found
    return f"{page[: match.start(3)]}\n{body}\n\n{page[match.end(3) :]}"


Row = tuple[str, float, str, str, float, bool, Mapping[str, object]]
"""What was measured, its value and unit, the sign before what is asked for, that, whether it is
met, and what else there is to say."""


def figures_table(rows: Iterable[Row]) -> str:
    lines = ["| | measured | asked for | | |", "| --- | ---: | ---: | --- | --- |"]
    for what, value, unit, sign, wanted, met, more in rows:
        said = ", ".join(f"{name}: {one}" for name, one in more.items())
        verdict = "met" if met else "**not met**"
        cells = (what, f"{value:.4g} {unit}".strip(), f"{sign} {wanted:g} {unit}".strip())
        lines.append(f"| {' | '.join(cells)} | {verdict} | {said} |")
    today = datetime.datetime.now(datetime.UTC).date()
    cpu, cores = machine.describe()["cpu"], machine.describe()["cores"]
    return "\n".join([*lines, "", f"{cpu}, {cores} cores, {today}."])
