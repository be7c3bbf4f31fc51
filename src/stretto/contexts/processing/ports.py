"""What processing needs from outside, in nouns of the core; four methods a port at most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stretto.contexts.core.audio import AudioFile, FileIdentity, Span
from stretto.contexts.core.identifiers import AudioHash, Language
from stretto.contexts.core.recognition import (
    EngineIdentity,
    Recognition,
    RecognitionRequest,
    TranscriptionOptions,
    TranscriptRequest,
)
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.processing.model import (
    AudioChunk,
    CancelToken,
    DecodedAudio,
    EngineLimits,
    Samples,
)


class AudioStream(Protocol):
    """The decoded audio of one file, read once, in memory that does not grow with its length."""

    def blocks(self) -> Iterator[Samples]:
        """Blocks of at most ten seconds, in order. A damaged file ends early or leaves silence of
        the same length for what is unreadable; ``outcome`` says so. Raises UnusableMedia only when
        nothing at all could be decoded or the decoder had to be stopped, and AudioTooShort under
        0.1 s."""

    def outcome(self) -> DecodedAudio:
        """What is known after the last block."""


class AudioReader(Protocol):
    """Opens whatever people record with. Every error is an UnusableMedia with a sentence, or, where
    the decoder is a process of its own that cannot be had, a DecoderUnavailable."""

    def prepare(self) -> None:
        """Do now what the first look into a file would have to wait for. Raises nothing: what fails
        is told by that look."""

    def identify(self, path: Path) -> FileIdentity:
        """Hash the file, knowing no more of it than that it is one. Raises UnusableMedia."""

    def probe(self, content: FileIdentity, *, stream: int | None = None) -> AudioFile:
        """Look into the file, decoding nothing. ``stream`` counts audio streams from 0; None takes
        the file's own choice. Raises UnusableMedia; InvalidOption for a wrong stream."""

    def open(self, file: AudioFile) -> AudioStream:
        """Start decoding. Nothing is read before ``blocks`` is iterated."""


class SpeechDetector(Protocol):
    """Finds the stretches with somebody speaking. Safe to call from many threads at once."""

    def find(self, samples: Samples) -> tuple[Span, ...]:
        """Ordered, disjoint spans of speech in ``samples``; empty for silence, noise or music."""


class Engine(Protocol):
    """Turns audio into text. Safe to call from many threads at once."""

    @property
    def identity(self) -> EngineIdentity:
        """Known without loading a model."""

    @property
    def limits(self) -> EngineLimits:
        """Known without loading a model."""

    def prepare(self) -> None:
        """Do now what the first call would have to wait for, such as loading a model. What fails
        may be raised, and will be told by that call again."""

    def detect_language(self, chunk: AudioChunk) -> tuple[Language | None, float]:
        """The language spoken in most of the chunk, and how sure that is in [0, 1];
        (None, 0.0) when the engine cannot tell. A model of one language answers with that one."""

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        """Recognise one chunk. ``report`` is called with the seconds of the chunk done so far.

        Raises Cancelled soon after ``cancel``, TransientEngineFailure when a retry may help and
        EngineFailure when it will not.
        """


class SpeechService(Protocol):
    """A service over the network that turns recordings into text, asked at full speed, as often as
    it allows and again where that is worth it. Safe to call from many threads at once."""

    @property
    def identity(self) -> EngineIdentity:
        """Known without asking the service."""

    @property
    def maximum_bytes(self) -> int: ...

    @property
    def maximum_s(self) -> float | None: ...

    @property
    def concurrency(self) -> int: ...

    def transcribe(
        self,
        samples: memoryview,
        options: TranscriptionOptions,
        *,
        audio: AudioHash,
        speech: Sequence[Span],
        cancel: CancelToken,
        tenant: str,
        recording: str,
    ) -> Recognition:
        """``samples`` are 16-bit, 16 kHz, one channel; ``audio`` is their hash, ``speech`` lies in
        them. Where calls have to wait, those of different ``tenant`` take turns, and among those of
        one tenant those of different ``recording``.

        Raises Cancelled, EngineUnavailable when the service lets nobody in, and EngineFailure.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfiguration:
    """What an engine is created with; each takes from it what it needs.

    ``model`` is a name, a folder or empty for the engine's default; ``device`` is auto, cpu or
    cuda; ``compute_type`` auto or one of CTranslate2's; ``workers`` 0 means one per core.
    ``cache`` is for engines that keep pieces smaller than a chunk; ``remote`` makes the client of a
    speech service by its name and that of a model, and raises EngineUnavailable if it cannot.
    """

    model: str
    device: str
    compute_type: str
    workers: int
    models_path: Path
    offline: bool
    cache: ResultCache
    remote: Callable[[str, str], SpeechService]


EngineFactory = Callable[[EngineConfiguration], Engine]
"""What the entry-point group ``stretto.engines`` holds: an engine by its name."""


class ResultCache(Protocol):
    """Keeps answers by content. Trouble inside it is a miss, never an error."""

    def find(self, request: RecognitionRequest) -> Recognition | None: ...

    def keep(self, request: RecognitionRequest, recognition: Recognition) -> None:
        """Durable when it returns. Only whole answers are kept: never one with a gap, and never
        ``recalled_s``, which says how an answer came to be and not what it is."""

    def compute(
        self, request: RecognitionRequest, work: Callable[[], Recognition], *, cancel: CancelToken
    ) -> Recognition:
        """The answer that is kept, or that of ``work``, which is kept then.

        However many ask for the same at the same time, ``work`` of one of them runs; another takes
        over when that one fails. Raises Cancelled, and what ``work`` raises.
        """


class TranscriptStore(Protocol):
    """Keeps whole transcripts."""

    def prepare(self) -> None:
        """Do now what the first call would have to wait for, such as making tables. What fails
        may be raised, and will be told by that call again."""

    def find(self, request: TranscriptRequest) -> Transcript | None:
        """The newest complete transcript for this very request, or None."""

    def keep(
        self, request: TranscriptRequest, transcript: Transcript, *, file: AudioFile | None = None
    ) -> None:
        """Durable when it returns; ``file`` says more of the recording than the transcript does.
        Raises StorageFull or StorageUnavailable."""

    def speed(self, engine: EngineIdentity) -> float | None:
        """Audio seconds per second that this engine and model reached here lately, if known."""
