"""Stretto transcribes recordings of any length: in parallel chunks, cached by content.

>>> import stretto
>>> transcript = stretto.transcribe("talk.mp3")   # doctest: +SKIP
>>> print(transcript.text)                        # doctest: +SKIP

Importing this package loads nothing heavy and opens nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stretto.application import Application
    from stretto.contexts.core.errors import StrettoError
    from stretto.contexts.core.identifiers import Language
    from stretto.contexts.core.transcript import Segment, Transcript, Word
    from stretto.contexts.processing.model import ProcessingProgress

__version__ = "0.1.0"
__all__ = [
    "Application",
    "Language",
    "Segment",
    "StrettoError",
    "Transcript",
    "Word",
    "__version__",
    "open",
    "transcribe",
]

_HOMES = {
    "Application": "stretto.application",
    "Language": "stretto.contexts.core.identifiers",
    "Segment": "stretto.contexts.core.transcript",
    "StrettoError": "stretto.contexts.core.errors",
    "Transcript": "stretto.contexts.core.transcript",
    "Word": "stretto.contexts.core.transcript",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'stretto' has no attribute {name!r}")
    return getattr(import_module(home), name)


def open(*, use_cache: bool = True, **settings: Any) -> Application:  # noqa: A001
    """An application to transcribe many files with; close it, or use it in a ``with`` block.

    ``settings`` override the environment, by the names in the settings reference: ``model``,
    ``engine``, ``home``, ``concurrency`` and so on. Raises InvalidOption for a wrong one.
    """
    from stretto.bootstrap import build, load_settings

    return build(load_settings(overrides=settings), use_cache=use_cache)


def transcribe(
    path: str | Path,
    *,
    language: str | None = None,
    prompt: str = "",
    progressed: Callable[[ProcessingProgress], None] | None = None,
    heard: Callable[[tuple[Segment, ...]], None] | None = None,
    **settings: Any,
) -> Transcript:
    """The transcript of one audio or video file, recalled if it is known already.

    ``language`` is an ISO 639-1 code; without it the language is found out. ``progressed`` hears
    of the progress, ``heard`` is given the segments in their order while those that follow are
    still recognised (one call at a time, on another thread). Raises StrettoError, and what
    ``heard`` raises.
    """
    with open(**settings) as application:
        return application.transcribe(
            path, language=language, prompt=prompt, progressed=progressed, heard=heard
        )
