"""What can be wrong with a recording, as numbers that another process may say, and the sentences.

Whoever looks into a file raises a Fault, which knows no name of a file; the adapter that was asked
says it in a sentence, as an error of the tree.
"""

from __future__ import annotations

import os
from enum import IntEnum
from pathlib import Path
from typing import Final

from stretto.contexts.core.errors import (
    AudioTooShort,
    InvalidOption,
    MediaNotDecodable,
    MediaNotRecognised,
    MediaRefused,
    MediaUnreadable,
    NoAudioStream,
    StrettoError,
)


class FaultKind(IntEnum):
    """The values cross a pipe: they are never reused."""

    DAMAGED = 1
    NO_INDEX = 2
    NO_AUDIO = 3
    NO_SUCH_STREAM = 4
    UNKNOWN_CODEC = 5
    NOTHING_DECODED = 6
    CUT_OFF_AT_THE_START = 7
    ELSEWHERE = 8
    TOO_SHORT = 9
    TOO_LONG = 10
    TOO_MUCH_READ = 11
    TOO_MUCH_MEMORY = 12
    UNREADABLE = 13


class Fault(Exception):
    """``number`` is the streams there are for NO_SUCH_STREAM, ``errno`` for UNREADABLE, else 0."""

    def __init__(self, kind: FaultKind, number: int = 0) -> None:
        super().__init__(kind, number)
        self.kind = kind
        self.number = number


_DAMAGED: Final = "{file} is damaged: its {container} header cannot be read."
_ERRORS: Final[dict[FaultKind, tuple[type[StrettoError], str]]] = {
    FaultKind.DAMAGED: (MediaNotRecognised, _DAMAGED),
    FaultKind.NO_INDEX: (
        MediaNotRecognised,
        _DAMAGED + " Its index is at the end and may have been cut off; get the whole file.",
    ),
    FaultKind.NO_AUDIO: (NoAudioStream, "{file} has no audio."),
    FaultKind.NO_SUCH_STREAM: (
        InvalidOption,
        "{file} has no audio stream {stream}: it has {number}, {numbers}.",
    ),
    FaultKind.UNKNOWN_CODEC: (
        MediaNotRecognised,
        "The audio of {file} is in a codec that is not supported.",
    ),
    FaultKind.NOTHING_DECODED: (
        MediaNotRecognised,
        "Nothing of the audio in {file} can be decoded.",
    ),
    FaultKind.CUT_OFF_AT_THE_START: (
        MediaNotRecognised,
        "{file} is cut off before its first sound.",
    ),
    FaultKind.ELSEWHERE: (
        MediaRefused,
        "{file} keeps its audio in other files, which are never opened.",
    ),
    FaultKind.TOO_SHORT: (AudioTooShort, "{file} holds less than 0.1 seconds of audio."),
    FaultKind.TOO_LONG: (
        MediaRefused,
        "{file} holds more than a week of audio; cut it into several files.",
    ),
    FaultKind.TOO_MUCH_READ: (
        MediaNotDecodable,
        "{file} is damaged: it leads the decoder in circles.",
    ),
    FaultKind.TOO_MUCH_MEMORY: (
        MediaNotDecodable,
        "{file} takes more memory to decode than a recording may.",
    ),
    FaultKind.UNREADABLE: (
        MediaUnreadable,
        "{file} cannot be read ({reason}); check its permissions.",
    ),
}


def error_of(
    fault: Fault, *, path: Path, container: str = "", stream: int | None = None
) -> StrettoError:
    """The fault of the file at ``path``, whose stream number ``stream`` was asked for."""
    kind, sentence = _ERRORS[fault.kind]
    last = fault.number - 1
    return kind(
        sentence.format(
            file=shown(path),
            container=container,
            stream=stream,
            number=fault.number,
            numbers=f"numbers 0 to {last}" if last > 0 else "number 0",
            reason=os.strerror(fault.number),
        )
    )


def shown(path: Path) -> str:
    """The path as it may stand in a message: on one line, without control characters."""
    text = str(path)
    return text if text.isprintable() else ascii(text)
