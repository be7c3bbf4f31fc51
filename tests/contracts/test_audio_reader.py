"""What processing relies on when it reads a recording, whatever the container."""

from __future__ import annotations

import hashlib
import resource
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stretto.contexts.core.audio import AudioFile, Span
from stretto.contexts.core.errors import AudioTooShort, InvalidOption
from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader
from stretto.contexts.processing.adapters.pyav import PyAvReader
from stretto.contexts.processing.model import DecodedAudio
from stretto.contexts.processing.ports import AudioReader
from tests import mediagen
from tests.mediagen import RATE_HZ, Samples

LOSSLESS = [
    ("wav", "pcm_s16le"),
    ("w64", "pcm_s16le"),
    ("flac", "flac"),
    ("matroska", "flac"),
    ("matroska", "pcm_s16le"),
    ("ogg", "flac"),
    ("ipod", "alac"),
    ("mov", "pcm_s16le"),
    ("aiff", "pcm_s16be"),
    ("caf", "pcm_s16be"),
    ("au", "pcm_s16be"),
    ("avi", "pcm_s16le"),
]
LOSSY = [
    ("mp3", "libmp3lame", 16_000),
    ("ogg", "libopus", 48_000),
    ("webm", "libopus", 48_000),
    ("ipod", "aac", 44_100),
    ("adts", "aac", 16_000),
    ("mpegts", "aac", 48_000),
    ("mpeg", "mp2", 44_100),
    ("asf", "wmav2", 44_100),
    ("avi", "libmp3lame", 16_000),
    ("amr", "libopencore_amrnb", 8_000),
    ("matroska", "aac", 8_000),
]


READERS: dict[str, Callable[[], AudioReader]] = {"inside": PyAvReader, "process": IsolatedReader}


@pytest.fixture(params=READERS, scope="module")
def reader(request: pytest.FixtureRequest) -> AudioReader:
    return READERS[request.param]()


@pytest.fixture
def read(reader: AudioReader):
    def read(path: Path, *, stream: int | None = None) -> tuple[AudioFile, Samples, DecodedAudio]:
        file = reader.probe(reader.identify(path), stream=stream)
        opened = reader.open(file)
        blocks = list(opened.blocks())
        for block in blocks:
            assert block.dtype == np.int16
            assert block.ndim == 1
            assert 0 < len(block) <= 10 * RATE_HZ
        samples = np.concatenate(blocks)
        assert opened.outcome().samples == len(samples)
        return file, samples, opened.outcome()

    return read


@pytest.fixture
def saved(tmp_path: Path):
    def save(data: bytes, name: str = "recording") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return save


@pytest.mark.parametrize(("container", "codec"), LOSSLESS)
def test_the_same_samples_come_out_of_every_lossless_container(saved, container, codec, read):
    spoken = mediagen.bursts(7.3)

    file, samples, outcome = read(saved(mediagen.media(spoken, container=container, codec=codec)))

    assert np.array_equal(samples, spoken)
    assert outcome == DecodedAudio(samples=len(spoken))
    assert file.claimed_duration_s == pytest.approx(7.3, abs=0.1)


@pytest.mark.parametrize(("container", "codec", "rate_hz"), LOSSY)
def test_a_lossy_file_has_its_true_length_and_sound(saved, container, codec, rate_hz, read):
    layout = "stereo" if codec == "wmav2" else "mono"
    data = mediagen.media(
        mediagen.tone(6.0), container=container, codec=codec, rate_hz=rate_hz, layout=layout
    )

    _, samples, outcome = read(saved(data))

    assert len(samples) / RATE_HZ == pytest.approx(6.0, abs=0.15)
    assert outcome.unreadable == ()
    second = samples[3 * RATE_HZ : 4 * RATE_HZ].astype(float)
    assert np.argmax(np.abs(np.fft.rfft(second))) == 440


def test_samples_do_not_depend_on_the_container_when_they_are_resampled(saved, read):
    spoken = mediagen.bursts(6.1)
    plain, packed, muxed = (
        read(saved(mediagen.media(spoken, container=c, codec=k, rate_hz=44_100, layout="stereo")))
        for c, k in (("wav", "pcm_s16le"), ("flac", "flac"), ("matroska", "flac"))
    )

    assert len(plain[1]) == pytest.approx(6.1 * RATE_HZ, abs=2)
    assert np.array_equal(plain[1], packed[1])
    assert np.array_equal(plain[1], muxed[1])


def test_new_tags_and_a_cover_change_the_file_but_no_sample(saved, read):
    spoken = mediagen.bursts(3.0)
    bare = mediagen.media(
        spoken, container="mp3", codec="libmp3lame", options={"id3v2_version": "0"}
    )
    tagged = mediagen.id3(b"APIC" + bytes(200_000)) + mediagen.id3(bytes(10)) + bare

    old_file, old, _ = read(saved(bare, "a"))
    new_file, new, outcome = read(saved(tagged, "b"))

    assert np.array_equal(old, new)
    assert old_file.file_hash != new_file.file_hash
    assert outcome.warnings == ()


def test_the_hash_is_that_of_the_bytes_on_the_disk(saved, reader):
    data = mediagen.id3(bytes(500)) + mediagen.media(mediagen.noise(40.0))
    file = reader.probe(reader.identify(saved(data)))
    assert file.file_hash.value == hashlib.sha256(data).hexdigest()
    assert file.size_bytes == len(data)


def test_stereo_is_mixed_and_many_tracks_of_a_recorder_count_the_same(saved, read):
    ten = np.repeat(mediagen.tone(1.0)[:, None], 10, axis=1)
    ten[:, 5:] = 0
    data = mediagen.wav_header(rate_hz=RATE_HZ, channels=10, data_bytes=ten.nbytes) + ten.tobytes()

    _, samples, _ = read(saved(data))

    assert np.abs(samples.astype(int) - mediagen.tone(1.0) // 2).max() <= 2


def test_each_audio_stream_can_be_chosen_and_the_picture_is_ignored(saved, read, reader):
    first, second = mediagen.tone(2.0, hz=300), mediagen.tone(2.0, hz=600)
    path = saved(mediagen.media(first, second, container="matroska", codec="flac", picture_s=2.0))

    assert np.array_equal(read(path)[1], first)
    assert np.array_equal(read(path, stream=1)[1], second)
    assert read(path, stream=1)[0].stream_index == 1
    assert [read(path, stream=n)[0].own_choice for n in (None, 0, 1)] == [True, True, False]
    with pytest.raises(InvalidOption, match="it has 2, numbers 0 to 1"):
        reader.probe(reader.identify(path), stream=2)
    with pytest.raises(InvalidOption):
        reader.probe(reader.identify(path), stream=-1)


def test_audio_that_begins_after_the_picture_keeps_its_time(saved, read):
    spoken = mediagen.tone(2.0)
    data = mediagen.media([(1.5, spoken)], container="matroska", codec="flac", picture_s=4.0)

    _, samples, outcome = read(saved(data))

    assert np.array_equal(samples, np.concatenate([mediagen.silence(1.5), spoken]))
    assert outcome.unreadable == ()
    assert outcome.warnings == ()


def test_a_pause_in_the_recording_is_silence_and_is_mentioned(saved, read):
    spoken = mediagen.tone(3.0)
    data = mediagen.media([(0.0, spoken), (8.0, spoken)], container="matroska", codec="pcm_s16le")

    _, samples, outcome = read(saved(data))

    assert len(samples) == 11 * RATE_HZ
    assert np.array_equal(samples[8 * RATE_HZ :], spoken)
    assert not samples[3 * RATE_HZ : 8 * RATE_HZ].any()
    assert outcome.unreadable == ()
    assert "pauses for 5.0 s" in outcome.warnings[0]


def test_a_forged_timestamp_cannot_ask_for_years_of_silence(saved, read):
    spoken = mediagen.tone(2.0)
    data = mediagen.media([(0.0, spoken), (4e5, spoken)], container="matroska", codec="pcm_s16le")

    _, samples, outcome = read(saved(data))

    assert len(samples) == 4 * RATE_HZ
    assert "timestamps" in outcome.warnings[0]


@pytest.mark.parametrize(
    ("container", "codec"),
    [("flac", "flac"), ("mp3", "libmp3lame"), ("mov", "aac"), ("mpegts", "aac"), ("ogg", "flac")],
)
def test_a_damaged_middle_becomes_silence_and_moves_nothing_behind_it(
    saved, container, codec, read
):
    whole = mediagen.concatenated(mediagen.noise(12.0), mediagen.tone(4.0))
    good = mediagen.media(whole, container=container, codec=codec)
    _, expected, _ = read(saved(good, "good"))

    _, samples, outcome = read(saved(mediagen.damaged(good, at=0.4), "bad"))

    assert abs(len(samples) - len(expected)) < 0.1 * RATE_HZ
    assert len(outcome.unreadable) == 1
    (lost,) = outcome.unreadable
    assert 4.0 < lost.start_s < lost.end_s < 10.0
    assert not samples[lost.start : lost.end].any()
    assert any("could not be decoded" in w for w in outcome.warnings)
    assert _onset_of_tone(samples) == pytest.approx(_onset_of_tone(expected), abs=0.1)


def test_a_damaged_cluster_of_matroska_is_lost_audio_not_a_pause(saved, read):
    good = mediagen.media(mediagen.noise(20.0), container="matroska", codec="flac")
    _, samples, outcome = read(saved(mediagen.damaged(good)))
    assert len(samples) == 20 * RATE_HZ
    assert sum(map(len, outcome.unreadable)) > RATE_HZ


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("wav", "pcm_s16le", {}),
        ("w64", "pcm_s16le", {}),
        ("aiff", "pcm_s16be", {}),
        ("flac", "flac", {}),
        ("mp3", "libmp3lame", {}),
        ("ogg", "flac", {}),
        ("matroska", "flac", {}),
        ("ipod", "aac", {"movflags": "empty_moov", "frag_duration": "1000000"}),
    ],
)
def test_a_truncated_file_gives_what_can_be_decoded_and_says_so(
    saved, container, codec, options, read
):
    data = mediagen.media(mediagen.noise(10.0), container=container, codec=codec, options=options)

    file, samples, outcome = read(saved(data[: len(data) * 6 // 10]))

    assert 4.5 < len(samples) / RATE_HZ < 7.0
    assert len(outcome.warnings) == 1
    assert "its end is missing" in outcome.warnings[0] or "is cut off" in outcome.warnings[0]
    assert file.size_bytes == len(data) * 6 // 10


def test_a_whole_file_is_read_without_a_warning_when_its_picture_lasts_longer(saved, read):
    data = mediagen.media(mediagen.tone(2.0), container="matroska", codec="flac", picture_s=9.0)
    assert read(saved(data))[2].warnings == ()


@pytest.mark.parametrize("claimed", [0, 0xFFFF_FFFF])
def test_a_recorder_that_never_wrote_the_length_is_read_to_the_end(saved, claimed, read):
    header = mediagen.wav_header(rate_hz=RATE_HZ, data_bytes=claimed)
    _, samples, outcome = read(saved(header + mediagen.tone(2.0).tobytes()))
    assert np.array_equal(samples, mediagen.tone(2.0))
    assert outcome.warnings == ()


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_less_than_a_tenth_of_a_second_is_too_short(saved, seconds, read):
    data = mediagen.tone(seconds).tobytes()
    path = saved(mediagen.wav_header(rate_hz=RATE_HZ, data_bytes=len(data)) + data)
    with pytest.raises(AudioTooShort):
        read(path)


def test_exactly_a_tenth_of_a_second_is_enough(saved, read):
    assert len(read(saved(mediagen.media(mediagen.tone(0.1))))[1]) == 1_600


def test_a_growing_file_is_read_as_far_as_it_was_hashed(saved, reader):
    header = mediagen.wav_header(rate_hz=RATE_HZ, data_bytes=0)
    path = saved(header + mediagen.tone(1.0).tobytes())
    file = reader.probe(reader.identify(path))
    with path.open("ab") as growing:
        growing.write(mediagen.noise(5.0).tobytes())

    samples = np.concatenate(list(reader.open(file).blocks()))

    assert np.array_equal(samples, mediagen.tone(1.0))


def test_nothing_is_read_before_the_first_block_and_the_file_is_closed_when_left(saved, reader):
    path = saved(mediagen.media(mediagen.tone(20.0)))
    content = reader.identify(path)
    at_first = _open_files()
    file = reader.probe(content)
    opened = reader.open(file)
    before = _open_files()
    blocks = opened.blocks()
    assert _open_files() == before
    next(blocks)
    blocks.close()
    assert _open_files() == at_first


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts in kilobytes on Linux only")
def test_memory_does_not_grow_with_the_length(saved, reader):
    hour = mediagen.silence(3600.0)
    path = saved(mediagen.wav_header(rate_hz=RATE_HZ, data_bytes=hour.nbytes) + hour.tobytes())
    del hour
    opened = reader.open(reader.probe(reader.identify(path)))
    blocks = opened.blocks()
    next(blocks)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = sum(len(block) for block in blocks)
    assert total == 3595 * RATE_HZ
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_unreadable_spans_lie_inside_the_audio_and_do_not_overlap(saved, read):
    good = mediagen.media(mediagen.noise(20.0), container="flac", codec="flac")
    for at in (0.2, 0.5, 0.7):
        good = mediagen.damaged(good, at=at, length=500)
    _, samples, outcome = read(saved(good))
    spans = [Span(0, 0), *outcome.unreadable, Span(len(samples), len(samples))]
    assert len(outcome.unreadable) == 3
    assert all(a.end <= b.start for a, b in pairwise(spans))


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def _onset_of_tone(samples: Samples) -> float:
    """The second from which on the 440 Hz tone is stronger than all noise."""
    frames = samples[: len(samples) // 800 * 800].reshape(-1, 800).astype(float)
    at_440 = np.abs(np.fft.rfft(frames, axis=1))[:, 22]
    return float(np.argmax(at_440 > 0.5 * at_440.max()) * 0.05)
