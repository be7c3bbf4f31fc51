"""Settings of the engine: which one, with which model, and what computes it."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from stretto.settings_values import COMPUTE_TYPES, DEVICES, ENGINE_NAME, about

ENGINE: Final = field(
    default="whisper",
    metadata=about(
        "The engine that transcribes.",
        allowed="the name of an engine: letters, digits, dots, hyphens, underscores",
        check=lambda name: bool(ENGINE_NAME.match(name)),
    ),
)
MODEL: Final = field(
    default="",
    metadata=about(
        "The model of the engine; empty means the engine's default.",
        allowed="a model name or a folder",
        check=lambda name: "\0" not in name,
    ),
)
DEVICE: Final = field(
    default="auto",
    metadata=about(
        "What computes; auto takes CUDA where there is a device.",
        allowed="auto, cpu or cuda",
        check=lambda device: device in DEVICES,
    ),
)
COMPUTE_TYPE: Final = field(
    default="auto",
    metadata=about(
        "The numbers to compute in; auto is float16 on CUDA, on a processor int8, for small "
        "models computed here, for larger ones by CTranslate2.",
        allowed=f"one of {', '.join(COMPUTE_TYPES)}",
        check=lambda name: name in COMPUTE_TYPES,
    ),
)
