"""Builds libraries of any size out of invented words that are as frequent as real ones."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from stretto.bootstrap import Database
from stretto.contexts.core.identifiers import FileHash, Language, Timestamp, TranscriptId
from stretto.contexts.core.recognition import (
    EngineIdentity,
    TranscriptionOptions,
    TranscriptRequest,
)
from stretto.contexts.core.transcript import Coverage, Segment, Transcript, Word
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore

SEGMENTS: Final = 20
WORDS: Final = 12
VOCABULARY: Final = 30_000
IN_ONE_TRANSACTION: Final = 200
_LATIN: Final = ("ba", "do", "ki", "lu", "me", "na", "po", "ri", "sa", "te", "vo", "zu")
_CYRILLIC: Final = ("ба", "до", "ки", "лу", "ме", "на", "по", "ри", "са", "те", "во", "зу")
ENGINE: Final = EngineIdentity(
    engine="whisper", engine_version="1", model="tiny.en", model_revision="r1"
)


def vocabulary() -> tuple[list[str], list[float]]:
    """Words and how often each is said: the n-th has 1/n of the first (Zipf)."""
    words = []
    for number in range(VOCABULARY):
        syllables, rest = (_CYRILLIC if number % 4 == 3 else _LATIN), number
        word = ""
        while rest or not word:
            rest, digit = divmod(rest, len(syllables))
            word += syllables[digit]
        words.append(word + syllables[number % len(syllables)])
    return words, [1 / (n + 1) for n in range(VOCABULARY)]


def file_hash(number: int) -> FileHash:
    return FileHash(hashlib.sha256(str(number).encode()).hexdigest())


def request(number: int) -> TranscriptRequest:
    return TranscriptRequest(
        file_hash=file_hash(number),
        stream_index=0,
        engine=ENGINE,
        options=TranscriptionOptions(language=Language("en")),
    )


def transcripts(first: int, last: int) -> Iterator[Transcript]:
    """Those with the numbers ``[first, last)``; a number always gives the same one."""
    words, frequencies = vocabulary()
    cumulative = [0.0]
    for frequency in frequencies:
        cumulative.append(cumulative[-1] + frequency)
    for number in range(first, last):
        dice = random.Random(number)
        said = dice.choices(words, cum_weights=cumulative[1:], k=SEGMENTS * WORDS)
        yield _transcript(number, said)


def build(database: Database, *, size: int, already: int = 0) -> None:
    """Bring the library of ``already`` transcripts to ``size``, through the usual repository."""
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    for first in range(already, size, IN_ONE_TRANSACTION):
        batch = list(transcripts(first, min(first + IN_ONE_TRANSACTION, size)))
        with database.write():
            for number, transcript in enumerate(batch, start=first):
                store.keep(request(number), transcript)
    with database.write() as connection:
        connection.execute("UPDATE outbox_event SET delivered_at = 0 WHERE delivered_at IS NULL")
        connection.execute("ANALYZE")


def _transcript(number: int, said: list[str]) -> Transcript:
    segments = tuple(
        _segment(6.0 * place, said[place * WORDS : (place + 1) * WORDS])
        for place in range(SEGMENTS)
    )
    return Transcript(
        id=TranscriptId(UUID(int=number + 1)),
        file=f"talk {number}.mp3",
        file_hash=file_hash(number),
        language=Language("ru" if number % 4 == 3 else "en"),
        duration_s=6.0 * SEGMENTS,
        segments=segments,
        coverage=Coverage(speech_s=100.0, transcribed_s=100.0),
        engine="whisper",
        model="tiny.en",
        created_at=Timestamp(1.7e9 + number),
    )


def _segment(start: float, said: list[str]) -> Segment:
    words = tuple(
        Word(start=start + i / 2, end=start + i / 2 + 0.4, text=f" {word}", probability=0.9)
        for i, word in enumerate(said)
    )
    return Segment(start=start, end=start + 5.9, text=" ".join(said), words=words)
