"""Makes recognised text and times harmless before they enter a file somebody else will parse."""

from __future__ import annotations

import math
import re
from typing import Final

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BYTE_ORDER_MARK: Final = "\ufeff"

_LATEST_S: Final = 1e9
"""Thirty years: later times are a fault, and would only make the numbers unreadable."""


def one_line(text: str) -> str:
    """The words of ``text`` with single blanks between them and no control characters."""
    return " ".join(_CONTROLS.sub(" ", text.replace(_BYTE_ORDER_MARK, "")).split())


def well_formed(text: str) -> str:
    """``text`` as it can be written in UTF-8: U+FFFD stands for every half surrogate pair."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def finite(value: float, *, otherwise: float = 0.0) -> float:
    """``value`` rounded to 3 decimals; ``otherwise`` for NaN and the infinities, never -0.0."""
    return round(float(value), 3) + 0.0 if math.isfinite(value) else otherwise


def milliseconds(seconds: float) -> int:
    """The nearest whole millisecond, 0 at least; 0 for NaN."""
    if math.isnan(seconds):
        return 0
    return round(min(max(seconds, 0.0), _LATEST_S) * 1000)
