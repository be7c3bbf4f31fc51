"""Audio for listeners: the same seconds as the transcript, small, and the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from stretto.contexts.core.errors import CDNUnavailable, StorageFull
from stretto.contexts.external.adapters.rendition import (
    RENDITIONS,
    RenditionEncoder,
    Samples,
)
from tests.mediagen import concatenated, silence, tone

RATE_HZ = 16_000


def decoder(samples: Samples, *, block_s: float = 5.0):  # type: ignore[no-untyped-def]
    def decode(_: Path) -> Iterator[Samples]:
        block = int(block_s * RATE_HZ)
        for at in range(0, len(samples), block):
            yield samples[at : at + block]

    return decode


def encoded(
    samples: Samples, target: Path, form: str, *, kbps: int = 32, block_s: float = 5.0
) -> Path:
    encoder = RenditionEncoder(
        RENDITIONS[form], kbps=kbps, decode=decoder(samples, block_s=block_s)
    )
    path = target.with_suffix(encoder.suffix)
    encoder.encode(Path("talk.wav"), path, progressed=lambda _: None)
    return path


def heard(path: Path) -> Samples:
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in (*frames, *resampler.resample(None))])


def pitch_hz(samples: Samples) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE_HZ / len(samples))


@pytest.mark.parametrize("form", RENDITIONS)
def test_a_second_in_the_recording_is_the_same_second_for_the_listener(
    tmp_path: Path, form: str
) -> None:
    spoken = concatenated(tone(2.0, hz=440), silence(3.0), tone(2.0, hz=880), silence(0.5))
    again = heard(encoded(spoken, tmp_path / "talk", form))
    assert len(again) / RATE_HZ == pytest.approx(7.5, abs=0.1)
    assert pitch_hz(again[RATE_HZ // 2 : RATE_HZ]) == pytest.approx(440, abs=5)
    assert pitch_hz(again[int(5.5 * RATE_HZ) : 6 * RATE_HZ]) == pytest.approx(880, abs=5)
    assert np.abs(again[int(2.3 * RATE_HZ) : int(4.7 * RATE_HZ)]).max() < 200


@pytest.mark.parametrize("form", RENDITIONS)
def test_the_same_recording_makes_the_same_bytes(tmp_path: Path, form: str) -> None:
    first, second = (encoded(tone(3.0), tmp_path / name, form) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_how_the_blocks_are_cut_changes_nothing(tmp_path: Path) -> None:
    long, short = (
        encoded(tone(3.0), tmp_path / name, "opus", block_s=block_s)
        for name, block_s in (("long", 5.0), ("short", 0.037))
    )
    assert long.read_bytes() == short.read_bytes()


@pytest.mark.parametrize("kbps", [16, 32, 64])
def test_it_is_as_small_as_was_asked_for(tmp_path: Path, kbps: int) -> None:
    noise = np.random.default_rng(1).normal(0, 4000, 30 * RATE_HZ).astype(np.int16)
    path = encoded(noise, tmp_path / "talk", "opus", kbps=kbps)
    assert path.stat().st_size * 8 / 30 == pytest.approx(kbps * 1000, rel=0.25)


def test_progress_is_told_in_seconds_of_audio(tmp_path: Path) -> None:
    seen: list[float] = []
    encoder = RenditionEncoder(RENDITIONS["opus"], kbps=32, decode=decoder(tone(12.0)))
    encoder.encode(Path("talk.wav"), tmp_path / "talk.ogg", progressed=seen.append)
    assert seen == [5.0, 10.0, 12.0]


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def test_it_can_be_stopped_between_two_blocks(tmp_path: Path) -> None:
    def stop(_: float) -> None:
        raise Stopped

    encoder = RenditionEncoder(RENDITIONS["opus"], kbps=32, decode=decoder(tone(12.0)))
    with pytest.raises(Stopped):
        encoder.encode(Path("talk.wav"), tmp_path / "talk.ogg", progressed=stop)


def test_a_full_disk_and_a_missing_folder_are_said_in_a_sentence(tmp_path: Path) -> None:
    encoder = RenditionEncoder(RENDITIONS["opus"], kbps=160, decode=decoder(tone(20.0)))
    with pytest.raises(StorageFull, match="is full"):
        encoder.encode(Path("talk.wav"), Path("/dev/full"), progressed=lambda _: None)
    with pytest.raises(CDNUnavailable, match="Publish again"):
        encoder.encode(Path("t"), tmp_path / "nowhere" / "t.ogg", progressed=lambda _: None)
