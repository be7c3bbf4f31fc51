"""Builds libraries of any size out of invented words that are as frequent as real ones."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from typing import Any, Final, TypeVar
from uuid import UUID

from benchmarks.machine import usable_cores
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

Result = TypeVar("Result")
Rows = dict[str, list[Mapping[str, Any]]]
"""The rows of each statement, in the order in which they have to be written."""

SEGMENTS: Final = 20
WORDS: Final = 12
VOCABULARY: Final = 30_000
IN_ONE_TRANSACTION: Final = 500
WORTH_PROCESSES: Final = 4
"""Fewer batches are made sooner than processes are started."""
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


def count(database: Database) -> int:
    """How many transcripts there are."""
    with database.read() as connection:
        found: Any = connection.execute("SELECT count(*) FROM transcript").fetchone()
    return int(found[0])


def build(database: Database, *, size: int, in_one_transaction: int = IN_ONE_TRANSACTION) -> None:
    """Bring the library to ``size`` transcripts; one that was begun is gone on with."""
    for rows in _batches(count(database), size, in_one_transaction):
        with database.write() as connection:
            _write(connection, rows)
    with database.write() as connection:
        connection.execute("UPDATE outbox_event SET delivered_at = 0 WHERE delivered_at IS NULL")
        connection.execute("ANALYZE")


def _batches(first: int, last: int, step: int) -> Iterator[Rows]:
    """In order; on all cores, and few of them in memory at a time."""
    starts = range(first, last, step)
    if len(starts) < WORTH_PROCESSES:
        yield from (rows_of(start, min(start + step, last)) for start in starts)
        return
    cores = usable_cores()
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        coming: deque[Future[Rows]] = deque()
        for start in starts:
            coming.append(pool.submit(rows_of, start, min(start + step, last)))
            if len(coming) > cores:
                yield coming.popleft().result()
        yield from (future.result() for future in coming)


def rows_of(first: int, last: int) -> Rows:
    """What the usual repository writes for the transcripts ``[first, last)``."""
    batch = Batch()
    store = SqlTranscriptStore(batch, outbox=OutboxWriter())
    for number, transcript in enumerate(transcripts(first, last), start=first):
        store.keep(request(number), transcript)
    return batch.rows


class Batch:
    """Takes the statements of the usual repository, so that each is run once for many rows.

    The transcripts are new: nothing is there to be replaced, and each is the first version of its
    file. What the repository asks in between is answered without a database.
    """

    dialect = ""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self._kept = 0
        self._answer: tuple[Any, ...] = ()

    def read(self) -> Any:
        return nullcontext(self)

    def transact(self, work: Callable[[Any], Result], /) -> Result:
        return work(self)

    def execute(self, statement: str, values: Mapping[str, Any], /) -> Batch:
        if statement.lstrip().startswith("INSERT"):
            self.executemany(statement, [values])
        elif "max(version)" in statement:
            self._answer = None, None
        elif statement.startswith("SELECT number"):
            self._answer = (self._kept,)  # its place in the batch, until the number is known
            self._kept += 1
        return self

    def executemany(self, statement: str, rows: Sequence[Mapping[str, Any]], /) -> None:
        self.rows.setdefault(statement, []).extend(rows)

    def fetchone(self) -> tuple[Any, ...]:
        return self._answer


def _write(connection: Any, batch: Rows) -> None:
    numbers: list[int] = []
    for statement, rows in batch.items():
        if "INTO segment" in statement:
            known = [{**row, "transcript": numbers[row["transcript"]]} for row in rows]
            connection.executemany(statement, known)
            continue
        connection.executemany(statement, rows)
        if "INTO transcript" in statement:
            found = connection.execute(_NEWEST, {"count": len(rows)}).fetchall()
            numbers = [row[0] for row in reversed(found)]


_NEWEST: Final = "SELECT number FROM transcript ORDER BY number DESC LIMIT :count"


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
