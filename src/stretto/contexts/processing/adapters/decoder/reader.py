"""Reads recordings through a decoder in a process of its own: trouble there costs one file."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Timer
from typing import Final

from stretto.contexts.core.audio import BYTES_PER_SAMPLE, AudioFile, FileIdentity
from stretto.contexts.core.errors import DecoderUnavailable, MediaNotDecodable, StrettoError
from stretto.contexts.core.identifiers import FileHash
from stretto.contexts.processing.adapters.decoder import wire
from stretto.contexts.processing.adapters.decoder.process import (
    DecoderProcess,
    Died,
    Stuck,
    cause_of_death,
)
from stretto.contexts.processing.adapters.decoder.wire import Command, Kind, Lie, Request
from stretto.contexts.processing.adapters.findings import (
    LONGEST,
    Findings,
    Look,
    audio_file,
    outcome_of,
)
from stretto.contexts.processing.adapters.media_faults import Fault, FaultKind, error_of, shown
from stretto.contexts.processing.adapters.media_source import identify, opened
from stretto.contexts.processing.model import DecodedAudio, Samples

logger = logging.getLogger(__name__)

IDLE_S: Final = 10.0
"""How long a decoder that nobody asks anything is kept."""

INSIDE: Final = "Set STRETTO_DECODER=inside to decode without a process of its own."

_Content = tuple[FileHash, int] | None
"""What a waiting decoder has open: nothing yet, or that many bytes of that file."""


class IsolatedReader:
    """The port AudioReader. One object serves any number of files and threads.

    A decoder that has looked into a file is kept for its samples; it never sees another file.
    """

    def __init__(self, *, command: Sequence[str] | None = None) -> None:
        """``command`` starts another program in the place of the decoder."""
        self._command = command
        self._waiting: dict[_Content, tuple[DecoderProcess, Timer]] = {}
        self._lock = Lock()

    def prepare(self) -> None:
        """Starts a decoder that waits for a file."""
        with self._lock:
            if None in self._waiting:
                return
        try:
            self._keep(None, self._started())
        except DecoderUnavailable as error:
            logger.debug("No decoder is ready, and whoever needs it will be told: %s", error)

    def identify(self, path: Path) -> FileIdentity:
        return identify(path)

    def probe(self, content: FileIdentity, *, stream: int | None = None) -> AudioFile:
        """``stream_index`` of the result counts audio streams from 0, like ``stream``."""
        path, size = content.path, content.size_bytes
        with opened(path, size=size) as source:
            container = source.kind.value
            decoder = self._take(None) or self._started()
            try:
                with _explained(path, container=container, stream=stream):
                    request = Request(command=Command.LOOK, size_bytes=size, stream=stream)
                    decoder.ask(request, source.fileno())
                    file = audio_file(content, container, _looked(decoder))
            except BaseException:
                decoder.end()
                raise
        self._keep((content.file_hash, size), decoder)
        return file

    def open(self, file: AudioFile) -> IsolatedStream:
        return IsolatedStream(file, self._asked_for)

    def _asked_for(self, file: AudioFile) -> DecoderProcess:
        """A decoder that has been asked for the samples of ``file``; end it."""
        request = Request(
            command=Command.DECODE, size_bytes=file.size_bytes, stream=file.stream_index
        )
        decoder = self._take((file.file_hash, file.size_bytes))
        if decoder is not None:
            with suppress(Died):  # it has been killed while it waited; another one will do
                decoder.ask(request)
                return decoder
            decoder.end()
        with opened(file.path, size=file.size_bytes) as source:
            decoder = self._take(None) or self._started()
            try:
                decoder.ask(request, source.fileno())
            except BaseException:
                decoder.end()
                raise
        return decoder

    def _started(self) -> DecoderProcess:
        try:
            return DecoderProcess(self._command)
        except OSError as cause:
            text = f"The decoder cannot be started: {cause.strerror or cause}. {INSIDE}"
            raise DecoderUnavailable(text) from cause

    def _take(self, content: _Content) -> DecoderProcess | None:
        with self._lock:
            decoder, timer = self._waiting.pop(content, (None, None))
        if timer is not None:
            timer.cancel()
        if decoder is not None and not decoder.is_alive:
            decoder.end()
            return None
        return decoder

    def _keep(self, content: _Content, decoder: DecoderProcess) -> None:
        timer = Timer(IDLE_S, self._let_go, (content, decoder))
        timer.daemon = True
        with self._lock:
            before, _ = self._waiting.pop(content, (None, None))
            self._waiting[content] = decoder, timer
        timer.start()
        if before is not None:
            before.end()

    def _let_go(self, content: _Content, decoder: DecoderProcess) -> None:
        """Nobody came for it."""
        with self._lock:
            kept, _ = self._waiting.get(content, (None, None))
            if kept is not decoder:
                return
            del self._waiting[content]
        decoder.end()


class IsolatedStream:
    """The port AudioStream: one pass over one audio stream of one file."""

    def __init__(self, file: AudioFile, asked_for: Callable[[AudioFile], DecoderProcess]) -> None:
        self._file = file
        self._asked_for = asked_for
        self._findings = Findings(samples=0)

    def blocks(self) -> Iterator[Samples]:
        """Blocks of at most ten seconds, see the port."""
        file = self._file
        with _explained(file.path, container=file.container, stream=file.stream_index):
            decoder = self._asked_for(file)
            try:
                yield from self._received(decoder)
            finally:
                decoder.end()

    def outcome(self) -> DecodedAudio:
        return outcome_of(self._findings)

    def _received(self, decoder: DecoderProcess) -> Iterator[Samples]:
        import numpy as np  # a decoder gets ready before there is time for this

        samples = 0
        while True:
            kind, data = decoder.answer()
            if kind is not Kind.SAMPLES:
                break
            wire.check_samples(data)
            samples += len(data) // BYTES_PER_SAMPLE
            if samples > LONGEST:
                raise Fault(FaultKind.TOO_LONG)
            yield np.frombuffer(data, np.int16)
        _raise_fault(kind, data)
        if kind is not Kind.OUTCOME:
            raise Lie("a message out of turn")
        self._findings = wire.unpack_findings(data, samples=samples)


def _looked(decoder: DecoderProcess) -> Look:
    kind, data = decoder.answer()
    _raise_fault(kind, data)
    if kind is not Kind.LOOKED:
        raise Lie("a message out of turn")
    return wire.unpack_look(data)


def _raise_fault(kind: Kind, data: bytearray) -> None:
    if kind is Kind.FAULT:
        raise wire.unpack_fault(data)


@contextmanager
def _explained(path: Path, *, container: str, stream: int | None) -> Iterator[None]:
    """What a decoder does instead of decoding, as an error of the tree."""
    try:
        yield
    except Fault as fault:
        raise error_of(fault, path=path, container=container, stream=stream) from fault
    except Stuck as cause:
        if not cause.ready:
            text = "The decoder does not start: this machine may be overloaded. Try again."
            raise DecoderUnavailable(text) from cause
        text = f"{shown(path)} makes the decoder take too long; it was stopped."
        raise MediaNotDecodable(text) from cause
    except Lie as cause:
        text = f"{shown(path)} makes the decoder answer with {cause}; it was stopped."
        raise MediaNotDecodable(text) from cause
    except Died as cause:
        raise _end_of(cause, path) from cause


def _end_of(died: Died, path: Path) -> StrettoError:
    how = cause_of_death(died.status)
    if not died.ready:
        return DecoderUnavailable(f"The decoder cannot be started: it {how}. {INSIDE}")
    if died.status == -signal.SIGKILL:
        return DecoderUnavailable(
            f"The decoder was killed while it read {shown(path)}: this machine may be short of"
            " memory. Try again."
        )
    if died.status == -signal.SIGXCPU:
        return MediaNotDecodable(
            f"{shown(path)} takes more of the processor to decode than a recording may."
        )
    return MediaNotDecodable(f"{shown(path)} cannot be decoded: the decoder {how}.")
