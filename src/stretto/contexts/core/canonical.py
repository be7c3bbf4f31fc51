"""One unambiguous rendering of frozen values: equal requests hash alike, others never do."""

from __future__ import annotations

import hashlib
import math
import struct
import unicodedata
import uuid
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final, TypeVar

from stretto.contexts.core.recognition import RecognitionRequest, TranscriptRequest

Request = TypeVar("Request", RecognitionRequest, TranscriptRequest)


def _float_bytes(value: float) -> bytes:
    return b"nan" if math.isnan(value) else struct.pack(">d", value + 0.0)  # -0.0 + 0.0 is 0.0


_SCALARS: Final[dict[type, tuple[bytes, Any]]] = {
    type(None): (b"N", lambda _: b""),
    bool: (b"T", lambda value: b"1" if value else b"0"),
    int: (b"I", lambda value: str(value).encode()),
    float: (b"R", _float_bytes),
    str: (b"S", lambda value: value.encode("utf-8", "surrogatepass")),
    bytes: (b"B", bytes),
    uuid.UUID: (b"U", lambda value: value.bytes),
}
"""The letter and the payload of each type that has no parts."""


def canonical_bytes(value: object) -> bytes:
    """Render ``value`` so that two values have the same bytes exactly when they are equal.

    Every item is a letter for its type, the payload's length in decimal, a colon and the payload,
    as in a netstring; ``"ab"`` is ``S2:ab`` and ``("a", "b")`` is ``L8:S1:aS1:b``. A dataclass is
    its class name and its fields by name in alphabetical order, so that moving a field changes
    nothing and a field added later is always part of it, unless it does not count for equality.
    0.0 and -0.0 are one value, so are all NaNs; 1, 1.0 and True are three.

    Raises TypeError for a type that has no rendering.
    """
    if type(value) in _SCALARS:
        letter, render = _SCALARS[type(value)]
        return _item(letter, render(value))
    if is_dataclass(value) and not isinstance(value, type):
        return _item(b"D", _dataclass_bytes(value))
    if isinstance(value, Enum):
        name = canonical_bytes(type(value).__name__)
        return _item(b"E", name + canonical_bytes(value.value))
    if isinstance(value, tuple | list):
        return _item(b"L", b"".join(map(canonical_bytes, value)))
    if isinstance(value, frozenset | set):
        return _item(b"F", b"".join(sorted(map(canonical_bytes, value))))
    if isinstance(value, dict):
        pairs = [canonical_bytes(key) + canonical_bytes(value[key]) for key in value]
        return _item(b"M", b"".join(sorted(pairs)))
    raise TypeError(f"{type(value).__name__} has no canonical rendering; add one here.")


def request_digest(request: Request, *, schema_version: int) -> str:
    """SHA-256 over everything in ``request``, as 64 lower-case hexadecimal digits.

    Prompts that look the same are the same (Unicode NFC); everything else counts byte by byte.
    Raise ``schema_version`` when the meaning of an answer changes: no older one is found then.
    """
    prompt = unicodedata.normalize("NFC", request.options.prompt)
    plain = replace(request, options=replace(request.options, prompt=prompt))
    return hashlib.sha256(canonical_bytes((schema_version, plain))).hexdigest()


def _item(letter: bytes, payload: bytes) -> bytes:
    return b"%s%d:%s" % (letter, len(payload), payload)


def _dataclass_bytes(value: object) -> bytes:
    kind = type(value)
    if kind not in _LAYOUTS:
        _LAYOUTS[kind] = _layout(kind)
    name, members = _LAYOUTS[kind]
    return name + b"".join(
        [rendered + canonical_bytes(getattr(value, member)) for member, rendered in members]
    )


def _layout(kind: type[Any]) -> _Layout:
    names = sorted(member.name for member in fields(kind) if member.compare)
    members = tuple((name, canonical_bytes(name)) for name in names)
    return canonical_bytes(kind.__name__), members


_Layout = tuple[bytes, tuple[tuple[str, bytes], ...]]
"""The rendered name of a dataclass, and its members that count, with theirs."""

_LAYOUTS: Final[dict[type, _Layout]] = {}
"""Of the dataclasses that were rendered before; there are a handful."""
