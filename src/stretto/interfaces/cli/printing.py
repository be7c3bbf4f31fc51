"""What others have named or written, as it is shown: it commands no terminal, and adds no line."""

from __future__ import annotations


def printable(text: str) -> str:
    """On one line. Example: ``a\\x1b[2J.mp3`` is ``a�[2J.mp3``."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def printable_lines(text: str) -> str:
    """On as many lines as it has."""
    return "\n".join(map(printable, text.splitlines()))
