"""What people and attackers hand in instead of a recording: one sentence each, nothing touched."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from stretto.contexts.core.errors import (
    AudioTooShort,
    MediaEmpty,
    MediaNotFound,
    MediaNotRecognised,
    MediaRefused,
    MediaUnreadable,
    NoAudioStream,
    StrettoError,
    UnusableMedia,
)
from stretto.contexts.processing.adapters.pyav import PyAvReader
from tests import mediagen

READER = PyAvReader()


def failure(path: Path, *, stream: int | None = None) -> StrettoError:
    """What reading the file ends with; it must be one printable sentence."""
    with pytest.raises(StrettoError) as caught:
        for _ in READER.open(READER.probe(READER.identify(path), stream=stream)).blocks():
            pass
    message = caught.value.message
    assert message.isprintable()
    assert message.endswith(".")
    assert len(message) < 400 + len(str(path))
    return caught.value


@pytest.fixture(autouse=True)
def _nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr().err == ""


@pytest.fixture
def saved(tmp_path: Path):
    def save(data: bytes, name: str = "talk.mp3") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return save


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of an HTTP server, and the requests that reached it."""
    paths: list[str] = []

    class Canary(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is http.server's
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Canary)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A good recording that no other file may lead to: its time of access must not change."""
    path = tmp_path / "canary.wav"
    path.write_bytes(mediagen.media(mediagen.tone(2.0)))
    os.utime(path, ns=(1, 1))
    yield path
    assert path.stat().st_atime_ns == 1


def test_a_missing_file(tmp_path):
    assert isinstance(failure(tmp_path / "no.wav"), MediaNotFound)
    assert isinstance(failure(tmp_path / "no" / "no.wav"), MediaNotFound)
    assert isinstance(failure(Path("a\0b")), MediaNotFound)


def test_a_folder_a_pipe_and_a_device(tmp_path):
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, Path("/dev/zero")):
        assert isinstance(failure(path), MediaUnreadable)
    link = tmp_path / "loop.wav"
    link.symlink_to(link)
    assert isinstance(failure(link), MediaUnreadable)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(saved):
    path = saved(mediagen.media(mediagen.tone(1.0)))
    path.chmod(0)
    assert isinstance(failure(path), MediaUnreadable)


def test_a_name_that_is_too_long_or_would_forge_a_log_line(tmp_path):
    assert isinstance(failure(tmp_path / ("x" * 300)), MediaUnreadable)
    assert isinstance(failure(tmp_path / "a\n2026 ERROR b\x1b[31m\udcff.wav"), MediaNotFound)


def test_an_empty_file(saved):
    assert isinstance(failure(saved(b"")), MediaEmpty)


@pytest.mark.parametrize(
    "data",
    [
        b"Dear diary, nothing happened today.\n" * 50,
        "Liebes Tagebuch, schöne Grüße".encode(),
        ("hello " * 100).encode("utf-16"),
        b"<html><body>404 Not Found</body></html>",
        b'{"error": "not found"}',
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        b"%PDF-1.7\n" + bytes(500),
        b"PK\x03\x04" + bytes(500),
        bytes(100_000),
        np.random.default_rng(5).integers(0, 256, 300_000, dtype=np.uint8).tobytes(),
    ],
    ids=["text", "utf-8", "utf-16", "html", "json", "png", "pdf", "zip", "zeros", "random"],
)
def test_something_else_renamed_to_mp3(saved, data):
    error = failure(saved(data))
    assert isinstance(error, MediaNotRecognised)


@pytest.mark.parametrize(
    "head",
    [
        b"RIFF\xff\xff\xff\x7fWAVE",
        b"RIFF\xff\xff\xff\x7fAVI LIST",
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
        b"\0\0\0\x18ftypisom",
        b"\0\0\0\x08moov",
        b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f",
        b"FORM\0\0\x10\0AIFFCOMM",
        b".snd\0\0\0\x18",
        b"caff\0\x01\0\0desc",
        b"\x47" + bytes(187) + b"\x47" + bytes(187) + b"\x47",
        b"\0\0\x01\xba",
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
        b"#!AMR\n",
        mediagen.id3(bytes(10_000)),
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
    ],
    ids=lambda head: head[:8].hex(),
)
@pytest.mark.parametrize("body", [b"", bytes(3_000)], ids=["alone", "zeros"])
def test_a_header_without_a_recording(saved, head, body):
    try:
        error = failure(saved(head + body))
    except pytest.fail.Exception:  # 3,000 zeros are frames of silence to AMR
        assert head.startswith(b"#!AMR")
    else:
        assert isinstance(error, MediaNotRecognised | AudioTooShort | NoAudioStream)


def test_a_picture_without_audio(saved):
    assert isinstance(failure(saved(mediagen.media(container="mp4", picture_s=2.0))), NoAudioStream)


def test_a_movie_that_was_cut_off_before_its_index(saved):
    data = mediagen.media(mediagen.noise(5.0), container="ipod", codec="aac")
    error = failure(saved(data[: len(data) // 2]))
    assert isinstance(error, MediaNotRecognised)
    assert "cut off" in error.message


@pytest.mark.parametrize(("rate_hz", "channels"), [(1, 1), (100, 2), (16_000, 65), (16_000, 0)])
def test_a_format_that_nobody_records_in(saved, rate_hz, channels):
    header = mediagen.wav_header(rate_hz=rate_hz, channels=channels, data_bytes=64_000)
    assert isinstance(failure(saved(header + bytes(64_000))), MediaNotRecognised)


def test_a_header_that_claims_years_is_not_believed(saved):
    header = mediagen.wav_header(rate_hz=16_000, data_bytes=0x7000_0000)
    path = saved(header + bytes(32_000))
    stream = READER.open(READER.probe(READER.identify(path)))
    assert sum(map(len, stream.blocks())) == 16_000
    assert "cut off" in stream.outcome().warnings[0]


def test_tags_that_are_no_text_do_no_harm(saved):
    data = mediagen.media(
        mediagen.tone(1.0), container="flac", codec="flac", tags={"title": "x" * 9}
    )
    path = saved(data.replace(b"x" * 9, b"\xff\xfe\x80\n\0\x1b[31"))
    assert sum(map(len, READER.open(READER.probe(READER.identify(path))).blocks())) == 16_000


def playlists(address: str, canary: Path) -> dict[str, bytes]:
    file = str(canary)
    text = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}/a.ts\n#EXT-X-ENDLIST\n",
        "m3u8 of a file": f"#EXTM3U\n#EXTINF:2,\nfile://{file}\n",
        "m3u8 after blanks": f"\ufeff\r\n  #extm3u\n{file}\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{file}'\n",
        "mpd": f'<?xml version="1.0"?>\n<MPD><BaseURL>{address}/a.mp4</BaseURL></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 5004 RTP/AVP 0\n",
        "asx": f'<asx version="3.0"><entry><ref href="{address}/a"/></entry></asx>',
        "asf reference": f"[Reference]\nRef1={address}/a.asf\n",
        "pls": f"[playlist]\nFile1={address}/a.mp3\n",
        "smil": f'<smil><body><audio src="{address}/a"/></body></smil>',
        "xspf": f'<?xml version="1.0"?><playlist><location>{address}/a</location></playlist>',
        "address": f"{address}/a.mp3\n",
        "file address": f"file://{file}",
        "subfile": f"subfile,,start,0,end,0,,:{file}",
        "concat": f"concat:{file}|{file}",
    }
    as_bytes = {name: value.encode() for name, value in text.items()}
    as_bytes["utf-16"] = text["m3u8"].encode("utf-16")
    as_bytes["behind a tag"] = mediagen.id3(bytes(99)) + as_bytes["m3u8"]
    return as_bytes


@pytest.mark.parametrize("extension", ["mp3", "wav", "m3u8", "mp4", ""])
def test_playlists_are_refused_under_any_name_and_nothing_is_fetched(
    saved, asked, canary, extension
):
    address, requests = asked
    for what, data in playlists(address, canary).items():
        error = failure(saved(data, f"talk.{extension}"))
        assert isinstance(error, MediaRefused), what
    assert requests == []


@pytest.mark.parametrize(
    "magic", [b"", b"RIFF\0\0\0\0WAVE", b"OggS", b"\xff\xfb\x90\x64", bytes(8)]
)
def test_a_playlist_behind_another_signature_is_not_followed(saved, asked, canary, magic):
    address, requests = asked
    data = magic + playlists(address, canary)["m3u8"] * 50
    assert isinstance(failure(saved(data)), MediaRefused | MediaNotRecognised)
    assert requests == []


def test_a_movie_that_keeps_its_audio_in_another_file_is_not_followed(saved, asked, canary):
    address, requests = asked
    movie = mediagen.media(mediagen.noise(2.0), container="mov")
    for target in (str(canary), "canary.wav", f"{address}/a.wav", f"file://{canary}"):
        path = saved(mediagen.referring(movie, target), "movie.mov")
        assert isinstance(failure(path), MediaRefused), target
    assert requests == []


def test_any_damage_ends_in_samples_or_in_one_sentence(saved):
    """A small fuzz: five hits at random places in a small file of every kind."""
    kinds = [
        ("wav", "pcm_s16le"),
        ("mp3", "libmp3lame"),
        ("flac", "flac"),
        ("ogg", "flac"),
        ("ipod", "aac"),
        ("matroska", "flac"),
        ("mpegts", "aac"),
        ("avi", "pcm_s16le"),
        ("aiff", "pcm_s16be"),
        ("caf", "pcm_s16be"),
    ]
    random = np.random.default_rng(7)
    for container, codec in kinds:
        good = mediagen.media(mediagen.noise(1.0), container=container, codec=codec)
        for _ in range(12):
            bad = bytearray(good)
            for at in random.integers(0, min(len(bad), 2_000), 5):
                bad[at] = int(random.integers(256))
            path = saved(bytes(bad))
            try:
                stream = READER.open(READER.probe(READER.identify(path)))
                count = sum(map(len, stream.blocks()))
            except UnusableMedia:
                continue
            assert stream.outcome().samples == count
