"""A decoder that crashes, hangs, floods or lies costs one file and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from stretto.contexts.core.errors import DecoderUnavailable, MediaNotDecodable, StrettoError
from stretto.contexts.processing.adapters.decoder import process, reader, wire
from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader
from stretto.contexts.processing.adapters.findings import Findings
from tests import mediagen
from tests.decoders import SOURCE, decoder_that

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.flac"
    path.write_bytes(mediagen.media(mediagen.bursts(30.0), container="flac", codec="flac"))
    return path


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    gc.collect()
    before, files = children(), open_files()
    yield
    gc.collect()
    assert children() <= before
    assert open_files() <= files


def children() -> set[str]:
    """Our children, the dead ones that nobody asked about included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == os.getpid():
            found.add(stat.parent.name)
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def samples_of(source: IsolatedReader, path: Path) -> int:
    return sum(map(len, source.open(source.probe(source.identify(path))).blocks()))


def failure(source: IsolatedReader, path: Path) -> StrettoError:
    with pytest.raises(StrettoError) as caught:
        samples_of(source, path)
    assert caught.value.message.isprintable()
    assert caught.value.message.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)"),
        ("send(Kind.SAMPLES, SECOND); os.abort()", "crashed (SIGABRT)"),
        ("sys.exit(7)", "exit code 7"),
        ("pass", "without a result"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "more of the processor"),
        ("channel.sendall(b'S' + struct.pack('!I', 32_000) + bytes(100))", "without a result"),
        ("channel.close(); time.sleep(60)", "without a result"),
    ],
    ids=["segfault", "abort", "exit", "silence", "processor", "half a message", "closed"],
)
def test_a_decoder_that_dies_costs_the_file(talk, does, says):
    error = failure(decoder_that(does), talk)
    assert isinstance(error, MediaNotDecodable)
    assert says in error.message
    assert not error.retryable


def test_a_decoder_that_somebody_kills_is_not_the_fault_of_the_file(talk):
    error = failure(decoder_that("os.kill(os.getpid(), signal.SIGKILL)"), talk)
    assert isinstance(error, DecoderUnavailable)
    assert error.retryable


def test_a_decoder_that_does_not_start_says_what_to_do(talk):
    for source in (
        decoder_that("sys.exit(1)", after_a_look=False),
        IsolatedReader(command=["/nowhere/python"]),
    ):
        error = failure(source, talk)
        assert isinstance(error, DecoderUnavailable)
        assert "STRETTO_DECODER=inside" in error.message


@pytest.mark.parametrize(
    "does",
    [
        "time.sleep(60)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass",
        "for byte in frame(Kind.SAMPLES, SECOND): channel.send(bytes([byte])); time.sleep(0.05)",
    ],
    ids=["hangs", "loops", "trickles"],
)
def test_a_decoder_that_hangs_is_stopped(talk, monkeypatch, does):
    monkeypatch.setattr(process, "ANSWER_S", 0.8)
    began = time.monotonic()
    error = failure(decoder_that(does), talk)
    assert isinstance(error, MediaNotDecodable)
    assert "too long" in error.message
    assert time.monotonic() - began < 20


def test_a_decoder_that_is_slower_than_the_sound_is_stopped(talk, monkeypatch):
    monkeypatch.setattr(process, "BESIDES_S", 0.5)
    slow = "while True: send(Kind.SAMPLES, bytes(3_200)); time.sleep(0.3)"  # 0.1 s of sound
    assert "too long" in failure(decoder_that(slow), talk).message


def test_a_decoder_that_waits_for_its_parent_is_not_blamed(talk, monkeypatch):
    monkeypatch.setattr(process, "ANSWER_S", 2.0)
    source = IsolatedReader()
    blocks = source.open(source.probe(source.identify(talk))).blocks()
    first = len(next(blocks))
    time.sleep(2.5)
    assert first + sum(map(len, blocks)) == 30 * mediagen.RATE_HZ


def outcome(**changed: object) -> str:
    """Statements that send a second of sound and this for its outcome."""
    values = {"samples": 16_000} | changed
    packed = wire.pack_findings(Findings(**values))  # type: ignore[arg-type]
    return f"send(Kind.SAMPLES, SECOND); send(Kind.OUTCOME, {packed!r})"


def spans(*bounds: tuple[int, int]) -> str:
    packed = wire.pack_findings(Findings(samples=16_000))
    head = packed[:-4] + len(bounds).to_bytes(4, "big")
    body = b"".join(a.to_bytes(8, "big") + b.to_bytes(8, "big") for a, b in bounds)
    return f"send(Kind.SAMPLES, SECOND); send(Kind.OUTCOME, {head + body!r})"


LIES = {
    "rubbish": "channel.sendall(os.urandom(1000))",
    "html": "channel.sendall(b'<html>' * 1000)",
    "an unknown kind": "channel.sendall(b'X' + bytes(4))",
    "more bytes than memory has": "channel.sendall(b'S' + b'\\xff' * 4)",
    "a block of minutes": "send(Kind.SAMPLES, bytes(2_000_000))",
    "half a sample": "send(Kind.SAMPLES, bytes(3))",
    "a flood of nothing": "while True: send(Kind.SAMPLES)",
    "ready twice": "send(Kind.READY)",
    "a look instead of sound": (
        "look = Look(stream_index=0, codec='x', duration_s=1, own_choice=True)\n"
        "send(Kind.LOOKED, pack_look(look))"
    ),
    "no samples": outcome(samples=0),
    "other samples": outcome(samples=16_001),
    "years of pauses": outcome(paused=10**15),
    "less than no jumps": outcome(jumps=-1),
    "an error that no system has": outcome(failure=99_999),
    "a promise of nothing": outcome(promised_s=-1.0),
    "an endless promise": outcome(promised_s=float("inf")),
    "a promise that was kept": outcome(promised_s=0.5),
    "a span behind the end": spans((0, 16_001)),
    "a span that runs backwards": spans((200, 100)),
    "spans that overlap": spans((0, 200), (100, 300)),
    "more spans than it says": outcome().replace(
        "send(Kind.OUTCOME, ", "send(Kind.OUTCOME, b'\\0' + "
    ),
    "an unknown fault": "send(Kind.FAULT, struct.pack('!iq', 99, 0))",
    "a fault with a story": "send(Kind.FAULT, struct.pack('!iq', 4, 10**12))",
    "a short fault": "send(Kind.FAULT, b'x')",
}


@pytest.mark.parametrize("does", LIES.values(), ids=LIES)
def test_what_a_decoder_says_is_not_believed(talk, does):
    error = failure(decoder_that(does), talk)
    assert isinstance(error, MediaNotDecodable)
    assert "message" in error.message


@pytest.mark.parametrize("codec", [b"", b"\x1b[31m", b"a\nb", b"<b>", b"\xff" * 32, b"x\0y"])
def test_a_codec_with_a_hostile_name_is_a_lie(talk, codec):
    looked = (
        f"asked(); send(Kind.READY); send(Kind.LOOKED, struct.pack('!i?d32s', 0, 1, 1, {codec!r}))"
    )
    error = failure(decoder_that(looked, after_a_look=False), talk)
    assert isinstance(error, MediaNotDecodable)


def test_a_decoder_that_never_stops_is_stopped_after_a_week_of_sound(talk, monkeypatch):
    monkeypatch.setattr(reader, "LONGEST", 60 * mediagen.RATE_HZ)
    error = failure(decoder_that("while True: send(Kind.SAMPLES, SECOND * 10)"), talk)
    assert "more than a week" in error.message


def test_two_files_have_two_decoders_and_a_file_keeps_the_one_that_looked_into_it(talk, tmp_path):
    other = tmp_path / "other.wav"
    other.write_bytes(mediagen.media(mediagen.tone(1.0)))
    source, before = IsolatedReader(), children()
    first = source.probe(source.identify(talk))
    (one,) = children() - before
    second = source.probe(source.identify(other))
    (two,) = children() - before - {one}
    blocks = source.open(first).blocks()
    next(blocks)
    assert children() - before == {one, two}
    blocks.close()
    assert children() - before == {two}
    assert sum(map(len, source.open(second).blocks())) == mediagen.RATE_HZ


def test_a_decoder_that_died_while_it_waited_is_replaced(talk):
    source, before = IsolatedReader(), children()
    source.prepare()
    (spare,) = children() - before
    kill(spare)
    file = source.probe(source.identify(talk))
    (looked,) = children() - before
    kill(looked)
    assert sum(map(len, source.open(file).blocks())) == 30 * mediagen.RATE_HZ


def kill(decoder: str) -> None:
    os.kill(int(decoder), signal.SIGKILL)
    os.waitid(os.P_PID, int(decoder), os.WEXITED | os.WNOWAIT)


def test_a_decoder_that_nobody_comes_for_ends(talk, monkeypatch):
    monkeypatch.setattr(reader, "IDLE_S", 0.1)
    source, before = IsolatedReader(), children()
    source.prepare()
    source.probe(source.identify(talk))
    until = time.monotonic() + 10
    while children() != before and time.monotonic() < until:
        time.sleep(0.02)
    assert children() == before


def test_a_recording_is_read_as_it_was_looked_at_even_if_another_takes_its_place(talk):
    source = IsolatedReader()
    file = source.probe(source.identify(talk))
    talk.unlink()
    talk.write_bytes(mediagen.media(mediagen.tone(1.0)))
    assert sum(map(len, source.open(file).blocks())) == 30 * mediagen.RATE_HZ


def test_many_threads_decode_at_once(talk):
    source, counts = IsolatedReader(), []
    threads = [
        threading.Thread(target=lambda: counts.append(samples_of(source, talk))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [30 * mediagen.RATE_HZ] * 6


PARENT = f"""
import os, sys, threading
sys.path.append({str(SOURCE)!r})
from pathlib import Path
from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader
source = IsolatedReader()
opened = []
def begin():  # the thread ends before the decoder is needed
    source.prepare()
    opened.append(source.open(source.probe(source.identify(Path(sys.argv[1])))).blocks())
    next(opened[0])
    source.prepare()
thread = threading.Thread(target=begin)
thread.start(); thread.join()
next(opened[0])
ours = str(os.getpid())
stats = [stat.read_text() for stat in Path("/proc").glob("[0-9]*/stat")]
ours = [stat.split()[0] for stat in stats if stat.rpartition(")")[2].split()[1] == ours]
print(*ours, flush=True)
"""


@linux
@pytest.mark.parametrize(
    "ends",
    ["os.kill(os.getpid(), 9)", "os._exit(0)", "sys.exit(0)", "raise KeyboardInterrupt"],
)
def test_no_decoder_outlives_its_parent(talk, ends):
    command = [sys.executable, "-c", f"{PARENT}\n{ends}", str(talk)]
    parent = subprocess.run(command, capture_output=True, timeout=60, check=False)
    decoders = [Path("/proc", pid) for pid in parent.stdout.decode().split()]
    assert len(decoders) == 2, parent.stderr
    until = time.monotonic() + 5
    while any(map(is_running, decoders)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(is_running, decoders))


def is_running(decoder: Path) -> bool:
    try:
        return b"decoder/child.py" in (decoder / "cmdline").read_bytes()
    except OSError:
        return False


def test_blocks_that_are_left_early_end_the_decoder(talk):
    source, before = IsolatedReader(), children()
    blocks = source.open(source.probe(source.identify(talk))).blocks()
    assert sum(map(len, islice(blocks, 2))) > 0
    assert len(children() - before) == 1
    del blocks
    gc.collect()
    assert children() == before
