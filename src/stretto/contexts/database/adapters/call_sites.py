"""Finds the line outside the libraries that caused a statement."""

from __future__ import annotations

import re
import sys
from typing import Final

LIBRARIES: Final = ("sqlalchemy", "psycopg", "sqlite3", "contextlib", __name__.rpartition(".")[0])
_INNER: Final = re.compile(r"\.<locals>\.<\w+>.*")
"""What a comprehension or lambda adds to the name of its function."""


def calling_line() -> tuple[str, str, int]:
    """Module, function and line of the innermost frame that is in no library.

    Example: ``("shop.orders", "Orders.show", 12)``.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_library(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    module = str(frame.f_globals.get("__name__", "?"))
    return module, _INNER.sub("", frame.f_code.co_qualname), frame.f_lineno


def _is_library(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in LIBRARIES)
