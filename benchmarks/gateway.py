"""Measures the gateway: ``python -m benchmarks.gateway``. ``--quick`` checks the harness.

A recording in four chunks is sent to a service of our own, in another process, over TLS: one
chunk after the other, all at once, and by the openai SDK in a plain loop. A call takes as long as
is said here from the head of its request on, so the upload is part of it.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import numpy as np
import numpy.typing as npt
import openai

from benchmarks import ROOT, machine
from benchmarks.report import RESULTS
from stretto.bootstrap.remote import RemoteServices
from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.identifiers import AudioHash
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.external.adapters.audio_files import WavEncoder
from stretto.contexts.processing.model import CancelToken
from stretto.settings import Settings

CHUNKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of a run: bytes of samples in a chunk, seconds a call takes, calls to compare overheads."""

    chunk_bytes: int
    takes_s: float
    calls: int


FULL: Final = Sizes(chunk_bytes=25_000_000, takes_s=1.0, calls=40)
QUICK: Final = Sizes(chunk_bytes=1_000_000, takes_s=0.2, calls=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """``at_least`` says on which side of ``wanted`` the value is meant to be."""

    what: str
    value: float
    unit: str
    wanted: float
    at_least: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted

    def line(self) -> str:
        sign = "≥" if self.at_least else "≤"
        more = ", ".join(f"{name}: {value}" for name, value in self.more.items())
        verdict = "met" if self.met else "NOT MET"
        head = f"{self.what:<44}{self.value:>9.3f} {self.unit:<4}"
        return f"{head} ({sign} {self.wanted:g}) {verdict}  {more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    samples: npt.NDArray[np.int16]
    audio: AudioHash


class Client:
    """The program's way to the service; ``encoding`` is how chunks are packed."""

    def __init__(self, service: dict[str, str], *, encoding: str = "wav") -> None:
        self.settings = Settings(
            home=Path("/nonexistent"),
            openai_url=service["url"],
            openai_answers="json",
            remote_ca_file=service["authority"],
            remote_encoding=encoding,
        )
        self.services = RemoteServices(self.settings)
        self.service = self.services("openai", "")

    def send(self, chunk: Chunk) -> None:
        self.service.transcribe(
            chunk.samples.data,
            TranscriptionOptions(),
            audio=chunk.audio,
            speech=[Span(0, len(chunk.samples))],
            cancel=CancelToken(),
        )


def main(arguments: Sequence[str] | None = None) -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    made.add_argument("--quick", action="store_true", help="small sizes: checks the harness")
    given = made.parse_args(arguments)
    figures = []
    for figure in measured(QUICK if given.quick else FULL):
        print(figure.line(), flush=True)
        figures.append(figure)
    target = Path(tempfile.gettempdir()) / "stretto-gateway.jsonl"
    write(figures, target if given.quick else RESULTS.with_name("gateway.jsonl"))


def measured(sizes: Sizes) -> Iterator[Figure]:
    idle_bytes = resident_bytes()
    chunks = recording(sizes.chunk_bytes)
    with serving(sizes.takes_s) as service:
        yield from speed(service, chunks, sizes)
        for encoding in ("wav", "flac"):
            yield memory(service, chunks, idle_bytes, encoding)
    with serving(0.0) as service:
        yield overhead(service, recording(1_000_000)[0], sizes.calls)


def speed(service: dict[str, str], chunks: list[Chunk], sizes: Sizes) -> Iterator[Figure]:
    client = Client(service)
    client.send(chunks[0])  # the connection is there, as in a run that has begun
    before = client.services.metrics
    one_by_one_s = timed(lambda: list(map(client.send, chunks)))
    with ThreadPoolExecutor(CHUNKS) as pool:
        at_once_s = timed(lambda: list(pool.map(client.send, chunks)))
    after = client.services.metrics
    starts = sorted(entry["at"] for entry in ledger(service)[-CHUNKS:])
    client.services.close()
    sdk_s = timed(lambda: openai_loop(service, chunks))
    megabytes = CHUNKS * sizes.chunk_bytes // 1_000_000
    yield Figure(
        what=f"{megabytes} MB, one by one / at once",
        value=one_by_one_s / at_once_s,
        unit="×",
        wanted=3.8,
        at_least=True,
        more={"one by one, s": round(one_by_one_s, 2), "at once, s": round(at_once_s, 2)},
    )
    yield Figure(
        what="openai SDK in a loop / at once",
        value=sdk_s / at_once_s,
        unit="×",
        wanted=3.5,
        at_least=True,
        more={"SDK, s": round(sdk_s, 2)},
    )
    yield Figure(
        what="from the first start to the fourth",
        value=starts[-1] - starts[0],
        unit="s",
        wanted=0.5,
    )
    yield Figure(what="connections", value=after.opened, unit="", wanted=1)
    yield Figure(
        what="handshakes besides the first",
        value=after.handshakes - before.handshakes,
        unit="",
        wanted=0,
    )


def memory(service: dict[str, str], chunks: list[Chunk], idle_bytes: int, encoding: str) -> Figure:
    """The most that is resident while all chunks are sent, above the program without them: their
    samples are counted."""
    client = Client(service, encoding=encoding)
    with_samples_bytes = resident_bytes()
    with watching() as seen, ThreadPoolExecutor(CHUNKS) as pool:
        list(pool.map(client.send, chunks))
    client.services.close()
    return Figure(
        what=f"memory above idle, {encoding}",
        value=(max(seen) - idle_bytes) / 1e6,
        unit="MB",
        wanted=150.0,
        more={"of it for sending, MB": round((max(seen) - with_samples_bytes) / 1e6)},
    )


def overhead(service: dict[str, str], chunk: Chunk, calls: int) -> Figure:
    """A chunk of 1 MB through the gateway, and the same bytes through httpx2 alone, in turn."""
    ours, bare = Client(service), []
    request = ours.service._request(  # the very bytes that the gateway sends
        chunk.samples.data.cast("B"), chunk.audio, TranscriptionOptions()
    )
    body = b"".join(request.body)
    gateway = []
    context = ssl.create_default_context(cafile=service["authority"])
    with httpx2.Client(http2=True, verify=context) as client:
        for _ in range(calls + 2):
            gateway.append(timed(lambda: ours.send(chunk)))
            bare.append(
                timed(
                    lambda: client.post(
                        f"{service['url']}/audio/transcriptions",
                        content=body,
                        headers=list(request.headers),
                    ).raise_for_status()
                )
            )
    ours.services.close()
    ours_ms, bare_ms = (1000 * statistics.median(times[2:]) for times in (gateway, bare))
    return Figure(
        what="gateway above the bare client, a chunk",
        value=ours_ms - bare_ms,
        unit="ms",
        wanted=5.0,
        more={"gateway, ms": round(ours_ms, 2), "httpx2, ms": round(bare_ms, 2), "calls": calls},
    )


def openai_loop(service: dict[str, str], chunks: list[Chunk]) -> None:
    context = ssl.create_default_context(cafile=service["authority"])
    http = httpx2.Client(verify=context, timeout=60)
    with openai.OpenAI(api_key="none", base_url=service["url"], http_client=http) as client:
        for chunk in chunks:
            encoded = WavEncoder().encode(chunk.samples.data)
            client.audio.transcriptions.create(
                file=(encoded.name, b"".join(encoded.pieces)), model="whisper-1"
            )


def recording(chunk_bytes: int) -> list[Chunk]:
    """Noise as loud as quiet speech; each chunk another."""
    noise = np.random.default_rng(7)
    chunks = []
    for _ in range(CHUNKS):
        samples = noise.integers(-400, 400, chunk_bytes // 2, dtype=np.int16)
        digest = hashlib.sha256(samples.data).hexdigest()
        chunks.append(Chunk(samples=samples, audio=AudioHash(digest)))
    assert len(chunks[0].samples) > SAMPLE_RATE_HZ
    return chunks


@contextmanager
def serving(takes_s: float) -> Generator[dict[str, str], None, None]:
    """The service of the tests, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as folder:
        command = [sys.executable, "-m", "tests.fakes.backend", folder, "--takes", str(takes_s)]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            yield {**json.loads(process.stdout.readline()), "folder": folder}
            process.stdin.close()
            process.wait(20)


def ledger(service: dict[str, str]) -> list[dict[str, Any]]:
    lines = (Path(service["folder"]) / "ledger.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def resident_bytes() -> int:
    import psutil

    resident: int = psutil.Process().memory_info().rss
    return resident


@contextmanager
def watching() -> Generator[list[int], None, None]:
    """What is resident, looked at a hundred times a second."""
    seen, over = [resident_bytes()], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            seen.append(resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def write(figures: Sequence[Figure], path: Path) -> None:
    """One JSON object a line; the first says when and on what machine."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rows: list[object] = [{"started": started, "machine": machine.describe()}]
    rows += [{**asdict(figure), "met": figure.met} for figure in figures]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
