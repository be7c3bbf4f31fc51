"""The local Whisper engine: windows of a chunk, longest first, in small batches over all cores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final, TypeAlias

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import AudioHash, FileHash, Language
from stretto.contexts.core.recognition import (
    Grain,
    Recognition,
    RecognitionRequest,
    Task,
    TranscriptionOptions,
)
from stretto.contexts.processing.adapters.whisper.batches import WaitingPieces, settle
from stretto.contexts.processing.adapters.whisper.decoding import ENGLISH, decode_batch, joined
from stretto.contexts.processing.adapters.whisper.features import FULL_FRAMES
from stretto.contexts.processing.adapters.whisper.identity import WhisperIdentity
from stretto.contexts.processing.adapters.whisper.memory import give_back_memory
from stretto.contexts.processing.adapters.whisper.runtime import LazyRuntime, knows
from stretto.contexts.processing.adapters.whisper.window import Window, window_of
from stretto.contexts.processing.model import AudioChunk, CancelToken
from stretto.contexts.processing.ports import ResultCache
from stretto.contexts.processing.windows import lay_windows

LONGEST_WINDOW: Final = SAMPLE_RATE_HZ * 59 // 2
"""Whisper hears 30 s at a time; the last half second stays silent, as the end of the talk."""

WINDOWS_FOR_LANGUAGE: Final = 6


@dataclass(frozen=True, slots=True)
class _Piece:
    """A window of the plan, its content, and what of it is to be decoded (None: no speech)."""

    span: Span
    audio: AudioHash
    window: Window | None
    source: FileHash | None

    @property
    def frames(self) -> int:
        return self.window.frames if self.window else 0


_Answers: TypeAlias = Iterator[tuple[_Piece, Recognition]]


class WhisperEngine(WhisperIdentity):
    """Satisfies the Engine port. The model is loaded when the first window has to be decoded.

    Every window's answer is kept in ``cache`` the moment it is there, so that a killed run
    loses at most the windows in flight.
    """

    def __init__(
        self,
        runtime: LazyRuntime,
        *,
        model: str,
        revision: Callable[[], str],
        version: str,
        cache: ResultCache,
    ) -> None:
        super().__init__(runtime, model=model, revision=revision, version=version)
        self._cache = cache
        self._pool: ThreadPoolExecutor | None = None
        self._pieces_of_all_chunks: WaitingPieces[_Piece] | None = None
        self._lock = Lock()

    def prepare(self) -> None:
        self._runtime.get()

    def detect_language(self, chunk: AudioChunk) -> tuple[Language | None, float]:
        runtime = self._runtime.get()
        if not runtime.multilingual:
            return ENGLISH, 1.0
        heard = [w for p in self._pieces(chunk) if (w := p.window) is not None]
        heard = sorted(heard, key=lambda w: -w.speech_s)[:WINDOWS_FOR_LANGUAGE]
        weights: dict[str, float] = {}
        for window in heard:
            encoded = runtime.encode([window.samples], FULL_FRAMES, CancelToken())
            for code, probability in encoded.languages()[0]:
                weights[code] = weights.get(code, 0.0) + probability * window.speech_s
        if not weights:
            return None, 0.0
        best = max(weights, key=lambda code: weights[code])
        return Language.parse(best), weights[best] / sum(weights.values())

    def recognise(
        self,
        chunk: AudioChunk,
        options: TranscriptionOptions,
        *,
        cancel: CancelToken,
        report: Callable[[float], None],
    ) -> Recognition:
        self._check(options)
        parts: list[Recognition] = []
        done_s = recalled_s = 0.0
        todo: list[_Piece] = []
        for piece in self._pieces(chunk):
            known = self._known(piece, options)
            if known is None:
                todo.append(piece)
                continue
            parts.append(known)
            done_s += piece.span.duration_s
            recalled_s += piece.span.duration_s if piece.window else 0.0
        report(done_s)
        decode = self._decode_at_once if chunk.planned.opening else self._decode
        for piece, recognition in decode(todo, options, cancel):
            self._keep(piece, recognition, options)
            parts.append(recognition)
            done_s += piece.span.duration_s
            report(done_s)
        return replace(joined(parts), recalled_s=recalled_s)

    def _check(self, options: TranscriptionOptions) -> None:
        """Raises InvalidOption for what the model cannot do at all."""
        runtime = self._runtime.get()
        if not runtime.multilingual and (
            options.language not in {None, ENGLISH} or options.task is Task.TRANSLATE
        ):
            raise InvalidOption(
                f"The model {self._model} knows English only, and nothing of "
                f"{_unknown_to_it(options)}. "
                "Choose a multilingual one, such as --model base."
            )
        if options.language is not None and not knows(runtime, options.language):
            raise InvalidOption(
                f"The model {self._model} does not know {options.language.english_name}."
            )

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        if self._pieces_of_all_chunks is not None:
            self._pieces_of_all_chunks.abandon()

    def _pieces(self, chunk: AudioChunk) -> list[_Piece]:
        pieces = []
        # The opening is one window: several, each padded to 30 s, would take several times as long.
        short = chunk.planned.opening and len(chunk.span) <= LONGEST_WINDOW
        whole = [Span(0, len(chunk.span))]
        for span in whole if short else lay_windows(chunk, LONGEST_WINDOW):
            samples = chunk.samples[span.start : span.end]
            audio = AudioHash(hashlib.sha256(samples.data).hexdigest())
            window = window_of(chunk.samples, span, chunk.speech or ())
            pieces.append(_Piece(span, audio, window, chunk.source))
        return pieces

    def _known(self, piece: _Piece, options: TranscriptionOptions) -> Recognition | None:
        if piece.window is None:
            return Recognition()
        kept = self._cache.find(self._request(piece, options))
        return None if kept is None else _moved(kept, piece.span.start_s)

    def _keep(self, piece: _Piece, recognition: Recognition, options: TranscriptionOptions) -> None:
        if not recognition.gaps:
            moved = _moved(recognition, -piece.span.start_s)
            self._cache.keep(self._request(piece, options), moved)

    def _request(self, piece: _Piece, options: TranscriptionOptions) -> RecognitionRequest:
        return RecognitionRequest(
            audio=piece.audio,
            grain=Grain.WINDOW,
            engine=self.identity,
            options=options,
            scope=options.scope,
            source=piece.source,
        )

    def _decode_at_once(
        self, pieces: Sequence[_Piece], options: TranscriptionOptions, cancel: CancelToken
    ) -> _Answers:
        """The first words share neither a queue nor a batch with the windows behind them."""
        if pieces:
            yield from zip(pieces, self._decoded(pieces, options, cancel), strict=True)

    def _decode(
        self, pieces: Sequence[_Piece], options: TranscriptionOptions, cancel: CancelToken
    ) -> _Answers:
        """On all workers, in batches with the pieces of other chunks; in the order they finish."""
        if not pieces:
            return
        waiting, pool = self._waiting(), self._workers()
        added = waiting.add(pieces, options, cancel)
        pieces_of = {one.answer: one.piece for one in added}
        for _ in added:
            pool.submit(self._decode_next, waiting)
        try:
            for answer in as_completed(pieces_of):
                yield pieces_of[answer], answer.result()
        finally:
            waiting.drop(added)

    def _decode_next(self, waiting: WaitingPieces[_Piece]) -> None:
        if batch := waiting.take():
            pieces, first = [one.piece for one in batch], batch[0]
            settle(batch, lambda: self._decoded(pieces, first.options, first.cancel))
            give_back_memory()

    def _decoded(
        self, pieces: Sequence[_Piece], options: TranscriptionOptions, cancel: CancelToken
    ) -> list[Recognition]:
        windows = [window for piece in pieces if (window := piece.window) is not None]
        return decode_batch(self._runtime.get(), windows, options, cancel)

    def _waiting(self) -> WaitingPieces[_Piece]:
        with self._lock:
            if self._pieces_of_all_chunks is None:
                workers = self._runtime.device.workers
                self._pieces_of_all_chunks = WaitingPieces(self._runtime.get(), workers=workers)
            return self._pieces_of_all_chunks

    def _workers(self) -> ThreadPoolExecutor:
        if self._pool is None:
            workers = self._runtime.device.workers
            self._pool = ThreadPoolExecutor(workers, thread_name_prefix="whisper")
        return self._pool


def _moved(recognition: Recognition, seconds: float) -> Recognition:
    """The same recognition with all times moved: windows are kept in times of their own."""

    return replace(
        recognition,
        segments=tuple(
            replace(
                segment,
                start=segment.start + seconds,
                end=segment.end + seconds,
                words=tuple(
                    replace(word, start=word.start + seconds, end=word.end + seconds)
                    for word in segment.words
                ),
            )
            for segment in recognition.segments
        ),
    )


def _unknown_to_it(options: TranscriptionOptions) -> str:
    """What a model of English is asked for besides."""
    if options.task is Task.TRANSLATE or options.language is None:
        return "translating"
    return options.language.english_name
