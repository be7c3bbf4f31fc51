"""Text as every store takes it."""

from __future__ import annotations


def storable(text: str) -> str:
    """Without lone surrogates and NULs.

    A file's name need not be UTF-8 on Linux, a text in a database has to be.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\ufffd")
