"""The setting of the decoder: where FFmpeg runs."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from stretto.settings_values import about

PLACES: Final = ("process", "inside")

DECODER: Final = field(
    default="process",
    metadata=about(
        "Where recordings are decoded: in a process of its own, which can do nothing else, or "
        "inside this one. On Windows always inside. See [Reliability](../reliability.md).",
        allowed="process or inside",
        check=lambda place: place in PLACES,
    ),
)
