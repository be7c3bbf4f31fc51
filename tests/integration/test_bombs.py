"""Bombs go off in the decoder's own process, within its limits, or not at all."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from stretto.contexts.core.errors import UnusableMedia
from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader
from stretto.contexts.processing.ports import AudioReader
from tests import mediagen
from tests.bombs import BOMBS

MOST_RSS_BYTES = 512 << 20
MOST_CPU_S = 30.0

linux = pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kilobytes on Linux")


def read(reader: AudioReader, path: Path) -> int:
    """The samples that come out, 0 for a file that is refused with a sentence."""
    try:
        stream = reader.open(reader.probe(reader.identify(path)))
        count = sum(map(len, stream.blocks()))
    except UnusableMedia:
        return 0
    assert stream.outcome().samples == count
    return count


def used_for(path: Path) -> tuple[int, float, int]:
    """The samples of a file, the seconds of the processor and the most bytes that its decoder took.

    In a process of its own: what is counted is the largest child that a process ever had.
    """
    samples = read(IsolatedReader(), path)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return samples, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


@linux
@pytest.mark.parametrize("build", BOMBS.values(), ids=BOMBS)
def test_a_bomb_stays_within_the_limits(tmp_path: Path, build: Callable[[], bytes]) -> None:
    path = tmp_path / "bomb"
    data = build()
    path.write_bytes(data)
    del data
    began = time.monotonic()

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        samples, cpu_s, rss_bytes = pool.submit(used_for, path).result()

    assert samples <= 3600 * mediagen.RATE_HZ
    assert cpu_s < MOST_CPU_S
    assert time.monotonic() - began < 120
    assert rss_bytes < MOST_RSS_BYTES


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("mp3", "libmp3lame"),
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("ipod", "aac"),
        ("matroska", "flac"),
        ("avi", "pcm_s16le"),
        ("mpegts", "aac"),
    ],
)
def test_a_file_that_ends_anywhere_gives_samples_or_a_sentence(
    tmp_path: Path, container: str, codec: str
) -> None:
    rate_hz = 48_000 if codec in {"libopus", "aac"} else 16_000
    data = mediagen.media(mediagen.noise(2.0), container=container, codec=codec, rate_hz=rate_hz)
    path, reader = tmp_path / "cut", IsolatedReader()
    for part in range(1, 6):
        path.write_bytes(data[: len(data) * part // 6])
        assert read(reader, path) <= 3 * mediagen.RATE_HZ


def test_three_bombs_at_once_leave_a_good_file_alone(tmp_path: Path) -> None:
    good = tmp_path / "good.flac"
    good.write_bytes(mediagen.media(mediagen.tone(5.0), container="flac", codec="flac"))
    paths = [good]
    for name in ("packets of one sample", "packets of nothing", "places that lead to themselves"):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(BOMBS[name]())
    reader = IsolatedReader()
    with ThreadPoolExecutor(len(paths)) as pool:
        counts = list(pool.map(lambda path: read(reader, path), paths))
    assert counts[0] == 5 * mediagen.RATE_HZ
