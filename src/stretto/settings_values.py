"""Which values settings may have, and how that is said: the vocabulary of settings.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from stretto.contexts.core.errors import InvalidLanguage, InvalidOption
from stretto.contexts.core.identifiers import Language
from stretto.contexts.database.model import ConnectionString

DEVICES: Final = ("auto", "cpu", "cuda")
COMPUTE_TYPES: Final = (
    "auto",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
)
REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")
ONE_WORD: Final = "empty or printable characters without spaces"
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
ENGINE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def about(
    doc: str, *, allowed: str, check: Callable[[Any], bool], shown: str | None = None
) -> dict[str, Any]:
    """What is known of a field: ``allowed`` ends the sentence "NAME must be …", ``check`` says
    whether a value is, and ``shown`` is how the reference page writes the default."""
    return {"doc": doc, "allowed": allowed, "check": check, "shown": shown}


def number(default: int, doc: str, lowest: int, highest: int, *, unit: str = "") -> Any:
    """A setting that is a whole number."""
    allowed = f"a whole number{unit and f' of {unit}'} from {lowest} to {highest}"
    check = lambda number: lowest <= number <= highest  # noqa: E731
    return field(default=default, metadata=about(doc, allowed=allowed, check=check))


def is_no_file(path: Path) -> bool:
    try:
        return not path.is_file()
    except OSError:  # whoever writes there will say what is wrong with it
        return True


def is_database(url: str) -> bool:
    try:
        return not url or bool(ConnectionString.parse(url))
    except InvalidOption:
        return False


def is_language(code: str) -> bool:
    try:
        return not code or bool(Language(code))
    except InvalidLanguage:
        return False


def is_one_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def text(doc: str, *, allowed: str, check: Callable[[str], bool], secret: bool = False) -> Any:
    """A setting that is a text, empty unless somebody sets it."""
    return field(default="", repr=not secret, metadata=about(doc, allowed=allowed, check=check))
