"""Forty and more files that name other files and addresses, as the shipped decoder meets them:
nothing is fetched, no other file is touched, and nothing of one is told. Where strace is there, it
says what the decoder asked the system for once it was locked."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader
from tests import mediagen
from tests.chaos.score import noted
from tests.integration.test_bad_media import playlists

HOUSE = Path(__file__).parents[2]
STRACE = shutil.which("strace")
SECRET = "canary-7d1f"
"""In a file that none of the others may lead to."""

READS_THEM = """
import sys
from pathlib import Path
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader
reader = IsolatedReader()
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(sum(map(len, reader.open(reader.probe(reader.identify(path))).blocks())))
    except StrettoError as error:
        print(error.message)
"""
LEADING = re.compile(r"\b(open|openat|openat2|creat|connect|socket|execve|bind)\(")
LOCKED = re.compile(r"\b(seccomp\(SECCOMP_SET_MODE_FILTER|prctl\(PR_SET_SECCOMP)")


class Canary:
    """Counts who connects, whatever they would say."""

    def __init__(self) -> None:
        self.hits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while True:
            with self._socket.accept()[0] as visitor:
                if visitor.recv(4) == b"end.":
                    return
                self.hits += 1

    def close(self) -> None:
        with socket.create_connection(self._socket.getsockname()) as last:
            last.sendall(b"end.")
        self._thread.join()
        self._socket.close()


def chunk(name: bytes, payload: bytes) -> bytes:
    return name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) & 1)


def avi_with_subtitles(text: bytes) -> bytes:
    """An AVI whose second stream is a subtitle file (GAB2), which FFmpeg reads with whatever
    demuxer it seems to be for."""
    heads = b""
    for kind in (b"auds", b"txts"):
        head = chunk(b"strh", kind + bytes(16) + struct.pack("<7I", 1, 8000, 0, 8000, 0, 0, 1))
        form = chunk(b"strf", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
        heads += chunk(b"LIST", b"strl" + head + form)
    about = chunk(b"avih", struct.pack("<14I", 0, 0, 0, 0, 1, 0, 2, *[0] * 7))
    name = "x.m3u8".encode("utf-16-le") + b"\0\0"
    gab2 = b"GAB2\0" + struct.pack("<HI", 2, len(name)) + name + struct.pack("<HI", 4, len(text))
    frames = chunk(b"00wb", bytes(16000)) + chunk(b"01tx", gab2 + text)
    return chunk(
        b"RIFF",
        b"AVI " + chunk(b"LIST", b"hdrl" + about + heads) + chunk(b"LIST", b"movi" + frames),
    )


def more_playlists(address: str, file: Path) -> dict[str, bytes]:
    """Those that the ordinary list of tests lacks."""
    uri, head = f"{address}/a", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n"
    text = {
        "master": f"{head}#EXT-X-STREAM-INF:BANDWIDTH=1\n{uri}.m3u8\n",
        "alternative": f'{head}#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{uri}.m3u8"\n',
        "key": f'{head}#EXT-X-KEY:METHOD=AES-128,URI="{uri}.key"\n#EXTINF:9,\n{file}\n',
        "map": f'{head}#EXT-X-MAP:URI="file://{file}"\n#EXTINF:9,\n{file}\n',
        "range": f"{head}#EXTINF:9,\n#EXT-X-BYTERANGE:99@0\nfile://{file}\n",
        "nested": f"{head}#EXTINF:9,\nconcat:{uri}|subfile,,start,0,end,99,,:{file}\n",
        "data": f"{head}#EXTINF:9,\ndata:text/plain;base64,SGVsbG8=\n",
        "relative": f"{head}#EXTINF:9,\n{file.name}\n",
        "above": f"{head}#EXTINF:9,\n../{file.parent.name}/{file.name}\n",
        "http proxy": f"{head}#EXTINF:9,\nhttpproxy:{uri}\n",
        "tcp": f"{head}#EXTINF:9,\n{uri.replace('http', 'tcp')}\n",
        "udp": f"{head}#EXTINF:9,\nudp://127.0.0.1:9\n",
        "gopher": f"{head}#EXTINF:9,\n{uri.replace('http', 'gopher')}\n",
        "crypto": f"{head}#EXTINF:9,\ncrypto:file://{file}\n",
        "cache": f"{head}#EXTINF:9,\ncache:{uri}\n",
        "async": f"{head}#EXTINF:9,\nasync:file://{file}\n",
        "concat with options": f"ffconcat version 1.0\nfile '{uri}'\noption safe 0\nduration 9\n",
        "concat of a stream": f"ffconcat version 1.0\nstream\nexact_stream_id 1\nfile {file}\n",
        "mpd with a base": f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet '
        f'mimeType="audio/mp4"><Representation><BaseURL>file://{file}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "mpd with a link": '<MPD xmlns:xlink="http://www.w3.org/1999/xlink"><Period '
        f'xlink:href="{uri}" xlink:actuate="onLoad"/></MPD>',
        "ism": f'<SmoothStreamingMedia><StreamIndex Url="{uri}"/></SmoothStreamingMedia>',
        "rtsp": f"rtsp://127.0.0.1/{file}\n",
        "imf": f'<?xml version="1.0"?><AssetMap><Path>{file}</Path></AssetMap>',
        "edit list": f"CMX3600\nFROM CLIP NAME: {file}\n",
        "lavfi": f"amovie={file}",
        "vapoursynth": f"import vapoursynth\nopen({str(file)!r})\n",
        "avisynth": f'DirectShowSource("{file}")\n',
        "lrc": f"[re:{uri}]\n[00:00.00]{file}\n",
        "mlv": f"MLVI{file}",
        "svg": f'<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{uri}"/></svg>',
    }
    made = {name: value.encode() for name, value in text.items()}
    made["pattern %03d"] = b"%03d.wav"
    made["subtitles of an avi"] = avi_with_subtitles(text["master"].encode())
    made["concat in an avi"] = avi_with_subtitles(f"ffconcat version 1.0\nfile {file}\n".encode())
    movie = mediagen.media(mediagen.noise(1.0), container="mov")
    for target in (str(file), file.name, f"{uri}.wav", f"file://{file}"):
        made[f"movie of {target[:8].replace('/', '_')}"] = mediagen.referring(movie, target)
    return made


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A sound recording with a mark in it; nobody has opened it yet."""
    path = tmp_path / "elsewhere" / "001.wav"
    path.parent.mkdir()
    path.write_bytes(mediagen.media(mediagen.tone(2.0)) + SECRET.encode())
    os.utime(path, ns=(1, 1))
    return path


@pytest.fixture
def files(tmp_path: Path, canary: Canary, secret: Path) -> Path:
    """A folder with all of them, under names that say something else."""
    folder = tmp_path / "files"
    folder.mkdir()
    made = {**playlists(canary.address, secret), **more_playlists(canary.address, secret)}
    for number, (name, data) in enumerate(made.items()):
        suffix = (".mp3", ".wav", ".m3u8", ".mp4", "")[number % 5]
        (folder / f"{name}{suffix}").write_bytes(data)
    (folder / "link to a pattern %03d.wav").symlink_to("%03d.wav")
    os.mkfifo(folder / "pipe.mp3")
    assert len(list(folder.iterdir())) >= 40
    return folder


def test_nothing_that_a_recording_names_is_opened_or_fetched(
    files: Path, canary: Canary, secret: Path
) -> None:
    reader, said, sounds = IsolatedReader(), list[str](), list[str]()
    for path in sorted(files.iterdir()):
        try:
            list(reader.open(reader.probe(reader.identify(path))).blocks())
            sounds.append(path.stem)  # its own samples are all right: the rest was left alone
        except StrettoError as refused:
            said.append(refused.message)
    touched = secret.stat().st_atime_ns != 1
    noted(canary_hits=canary.hits + touched)
    assert (canary.hits, touched) == (0, False)
    assert SECRET not in "".join(said)
    assert all(sentence.isprintable() for sentence in said)
    assert set(sounds) <= {"subtitles of an avi", "concat in an avi"}
    assert len(said) >= 40


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_a_locked_decoder_opens_nothing_and_connects_to_nobody(
    files: Path, canary: Canary, tmp_path: Path
) -> None:
    good = mediagen.media(mediagen.tone(1.0))
    (files / "good.wav").write_bytes(good)
    log = tmp_path / "log"
    calls = "trace=openat,open,openat2,creat,connect,socket,execve,bind,seccomp,prctl"
    assert STRACE is not None
    watching = [STRACE, "-ff", "-qq", "--seccomp-bpf", "-e", calls]
    done = subprocess.run(
        [*watching, "-o", log, sys.executable, "-c", READS_THEM, files],
        env={"PYTHONPATH": f"{HOUSE / 'src'}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace may not watch others here")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout
    locked = []
    for trace in tmp_path.glob("log.*"):
        lines = trace.read_text(errors="replace").splitlines()
        places = [number for number, line in enumerate(lines) if LOCKED.search(line)]
        if places:
            locked.append(trace)
            assert [line for line in lines[places[-1] :] if LEADING.search(line)] == []
    assert len(locked) >= 3, "movies, subtitles and the good one have met a decoder"
    assert canary.hits == 0
