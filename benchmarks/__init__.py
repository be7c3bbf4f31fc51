"""Measures Stretto beside other systems, so that anyone can check every claim about it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository: where ``python -m benchmarks...`` is started from."""

SCRATCH = ROOT / ".bench"
"""Where corpora and joined models lie; git ignores it, and it may be deleted at any time."""


class Unavailable(Exception):
    """Something that a measurement needs is not there; the message says what, and what to do."""
