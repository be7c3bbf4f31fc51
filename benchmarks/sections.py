"""The parts of a page that benchmarks write: between ``<!-- measured: NAME -->`` and the next
``<!-- end -->``. All else belongs to the page's authors."""

from __future__ import annotations

import re

SECTION = re.compile(r"(<!-- measured: ([a-z]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def rendered(page: str, name: str, body: str) -> str:
    """``page`` with one section written anew. Raises ValueError without exactly one."""
    found = [match for match in SECTION.finditer(page) if match[2] == name]
    if len(found) != 1:
        raise ValueError(f"The page needs one section {name}.")
    (match,) = found
    return f"{page[: match.start(3)]}\n{body}\n\n{page[match.end(3) :]}"
