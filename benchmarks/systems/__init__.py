"""The systems that are compared, one file each.

Each is a program: ``python -m benchmarks.systems.NAME MODEL_DIR WAV LANGUAGE`` prints one line of
JSON on stdout, ``{"text": ..., "audio_s": ...}``; ``audio_s`` is the length in seconds of what it
heard. It is measured as a whole, from the start of its interpreter to its end, so that loading
counts. A new system is a new file here and a line in ``SYSTEMS``.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass

SYSTEMS = {
    "faster_whisper_default": "faster-whisper, default",
    "faster_whisper_batched": "faster-whisper, batched (8)",
    "stretto": "Stretto",
}
"""File name and what tables and plots call it, in the order they show it."""

PEERS = ("faster_whisper_default", "faster_whisper_batched")
"""The systems that all are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a system is asked: the folder of a CTranslate2 model, a WAV file, its language."""

    model: str
    wav: str
    language: str


def task() -> Task:
    model, wav, language = sys.argv[1:4]
    return Task(model=model, wav=wav, language=language)


def cores() -> int:
    """All cores that may be used: each system gets all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def answer(text: str, *, audio_s: float) -> None:
    print(json.dumps({"text": text, "audio_s": audio_s}, ensure_ascii=False))
