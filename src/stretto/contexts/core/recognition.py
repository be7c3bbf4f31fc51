"""What is asked of an engine and what it answers: the key and the value of a cached result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import AudioHash, FileHash, Language
from stretto.contexts.core.transcript import Gap, Segment

MAXIMUM_PROMPT_BYTES = 4096


class Task(StrEnum):
    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class Grain(StrEnum):
    """What a cached answer is about."""

    CHUNK = "chunk"
    WINDOW = "window"
    LANGUAGE = "language"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineIdentity:
    """Everything about an engine that can change its text.

    ``model_revision`` is a hash over the weights; ``settings`` is a canonical rendering of
    decoding parameters (beam, thresholds, compute type).
    """

    engine: str
    engine_version: str
    model: str
    model_revision: str
    settings: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionOptions:
    """What the user may choose about the text. ``language`` None means: find out.

    ``detected`` marks a language that was found, not given: the engine may then follow a speaker
    who changes language. ``scope`` names whose work it is: it changes no text, but what is kept
    for one is not found by another. Raises InvalidOption for a prompt over 4 KiB.
    """

    language: Language | None = None
    detected: bool = False
    task: Task = Task.TRANSCRIBE
    prompt: str = ""
    scope: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if len(self.prompt.encode()) > MAXIMUM_PROMPT_BYTES:
            raise InvalidOption(
                f"The prompt is longer than {MAXIMUM_PROMPT_BYTES} bytes; shorten it."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionRequest:
    """One piece of audio, one engine, one set of options: the identity of an answer.

    ``source`` is the file that the audio came from. It is no part of the identity: the same audio
    in another file has the same answer.
    """

    audio: AudioHash
    grain: Grain
    engine: EngineIdentity
    options: TranscriptionOptions
    scope: str = ""
    source: FileHash | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptRequest:
    """One audio stream of a file, one engine, one set of options: a transcript's identity.

    ``stream_index`` None is the file's own choice: which that is needs no answer to ask for it.
    """

    file_hash: FileHash
    stream_index: int | None
    engine: EngineIdentity
    options: TranscriptionOptions
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """An engine's answer for one piece of audio; times are seconds from the start of the piece.

    ``recalled_s`` seconds of it were not computed now but known from before; ``answered_by`` names
    an engine that stood in for the one that was asked, and is empty otherwise.
    """

    segments: tuple[Segment, ...] = ()
    language: Language | None = None
    language_probability: float = 0.0
    speech_s: float = 0.0
    transcribed_s: float = 0.0
    gaps: tuple[Gap, ...] = ()
    recalled_s: float = 0.0
    answered_by: str = ""
