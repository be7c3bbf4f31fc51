"""Files with bytes changed, lost, doubled and swapped end in samples or in a sentence.

``make chaos`` tries more: STRETTO_CHAOS is how many times as much, STRETTO_CHAOS_SEED which.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stretto.contexts.core.errors import UnusableMedia
from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader
from tests import mediagen
from tests.chaos.score import noted
from tests.chaos.terms import SEED, TIMES

FILES = 200 if TIMES == 1 else 500 * TIMES
pytestmark = pytest.mark.timeout(FILES * 2)

KINDS = [
    ("wav", "pcm_s16le", 16_000),
    ("mp3", "libmp3lame", 16_000),
    ("flac", "flac", 16_000),
    ("ogg", "libopus", 48_000),
    ("ipod", "aac", 44_100),
    ("mov", "pcm_s16le", 16_000),
    ("matroska", "flac", 16_000),
    ("mpegts", "aac", 48_000),
    ("avi", "pcm_s16le", 16_000),
    ("caf", "pcm_s16be", 16_000),
]


def mutated(good: bytes, dice: random.Random) -> bytes:
    data = bytearray(good)
    for _ in range(dice.randint(1, 8)):
        # headers are small, and most of what can go wrong is in them
        at = dice.randrange(min(len(data), 1_000) if dice.random() < 0.7 else len(data))
        length = dice.choice((1, 1, 2, 4, 8, 64))
        change = dice.choice(("bytes", "highest", "lost", "doubled", "cut"))
        if change == "bytes":
            data[at : at + length] = dice.randbytes(length)
        elif change == "highest":
            data[at : at + length] = b"\xff" * length
        elif change == "lost":
            del data[at : at + length]
        elif change == "doubled":
            data[at:at] = data[at : at + length] * dice.choice((1, 50))
        elif at > 100:
            del data[at:]
    return bytes(data)


def test_mutated_files_end_in_samples_or_in_a_sentence(tmp_path: Path) -> None:
    dice, reader = random.Random(SEED), IsolatedReader()
    good = [
        mediagen.media(mediagen.noise(1.0), container=container, codec=codec, rate_hz=rate_hz)
        for container, codec, rate_hz in KINDS
    ]
    files = [mutated(good[number % len(good)], dice) for number in range(FILES)]

    def outcome(numbered: tuple[int, bytes]) -> str:
        number, data = numbered
        path = tmp_path / f"{number}"
        path.write_bytes(data)
        try:
            stream = reader.open(reader.probe(reader.identify(path)))
            count = sum(map(len, stream.blocks()))
        except UnusableMedia as error:
            return type(error).__name__ if error.message.isprintable() else "not a sentence"
        finally:
            path.unlink()
        return "samples" if stream.outcome().samples == count else "other samples than it says"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(outcome, enumerate(files)))
    counts = {name: outcomes.count(name) for name in sorted(set(outcomes))}
    noted(mutated_files=FILES)
    print(f"\n{FILES} mutated files, seed {SEED}: {counts}")
    assert "not a sentence" not in counts
    assert "other samples than it says" not in counts
    assert counts["samples"] > FILES // 10
    assert sum(counts.values()) - counts["samples"] > FILES // 10
