"""Reads audio out of any usual container with FFmpeg (PyAV), in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stretto.contexts.core.audio import AudioFile, FileIdentity
from stretto.contexts.processing.adapters.demuxing import OnePass, look
from stretto.contexts.processing.adapters.findings import Findings, audio_file, outcome_of
from stretto.contexts.processing.adapters.media_faults import Fault, error_of
from stretto.contexts.processing.adapters.media_source import MediaSource, identify, opened
from stretto.contexts.processing.model import DecodedAudio, Samples


class PyAvReader:
    """The port AudioReader. One object serves any number of files and threads."""

    def prepare(self) -> None:
        """Nothing: FFmpeg was imported with this module."""

    def identify(self, path: Path) -> FileIdentity:
        return identify(path)

    def probe(self, content: FileIdentity, *, stream: int | None = None) -> AudioFile:
        """``stream_index`` of the result counts audio streams from 0, like ``stream``."""
        with opened(content.path, size=content.size_bytes) as source, _explained(source, stream):
            return audio_file(content, source.kind.value, look(source, stream))

    def open(self, file: AudioFile) -> PyAvStream:
        return PyAvStream(file)


class PyAvStream:
    """The port AudioStream: one pass over one audio stream of one file."""

    def __init__(self, file: AudioFile) -> None:
        self._file = file
        self._findings = Findings(samples=0)

    def blocks(self) -> Iterator[Samples]:
        """Blocks of at most six seconds, see the port."""
        path, size, stream = self._file.path, self._file.size_bytes, self._file.stream_index
        with opened(path, size=size) as source, _explained(source, stream):
            decoded = OnePass(source, stream)
            for block in decoded.blocks():
                yield np.frombuffer(block, np.int16)
            self._findings = decoded.findings

    def outcome(self) -> DecodedAudio:
        return outcome_of(self._findings)


@contextmanager
def _explained(source: MediaSource, stream: int | None) -> Iterator[None]:
    try:
        yield
    except Fault as fault:
        container = source.kind.value
        raise error_of(fault, path=source.path, container=container, stream=stream) from fault
