"""Generates any frozen value of the core, field by field, the fields of tomorrow included."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from stretto.contexts.core.identifiers import Language, Sha256
from stretto.contexts.core.languages import ENGLISH_NAMES

SHA256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
NUMBERS = st.floats(allow_nan=False, width=64)


def anything(kind: Any) -> st.SearchStrategy[Any]:
    """Values of the type ``kind``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return st.one_of([anything(option) for option in arguments])
    if origin is tuple:
        return st.lists(anything(arguments[0]), max_size=3).map(tuple)
    if kind is Language:
        return st.sampled_from(sorted(ENGLISH_NAMES)).map(Language)
    if isinstance(kind, type) and issubclass(kind, Sha256):
        return SHA256.map(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{f.name: anything(hints[f.name]) for f in fields(kind)})
    if kind is float:
        return NUMBERS
    if kind is int:
        return st.integers(min_value=-(2**63), max_value=2**63)
    if kind is str:
        return st.text(max_size=20)
    return st.from_type(kind)
