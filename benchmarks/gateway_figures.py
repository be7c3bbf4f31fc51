"""What the measurements of the gateway have in common: sizes, clients, the service."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tests.fakes.backend import Backend

from benchmarks import ROOT
from stretto.bootstrap.remote import RemoteServices
from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.identifiers import AudioHash
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.external.retrying import RetryBudget
from stretto.contexts.processing.model import CancelToken
from stretto.settings import Settings

CHUNKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of a run: bytes of samples in a chunk, seconds a call takes, calls to compare overheads, and
    how much of everything the parts about trouble do, against what the figures ask for."""

    chunk_bytes: int
    takes_s: float
    calls: int
    share: float

    def seconds(self, whole: float) -> float:
        return whole * self.share

    def many(self, whole: int) -> int:
        return max(10, round(whole * self.share))


FULL: Final = Sizes(chunk_bytes=25_000_000, takes_s=1.0, calls=40, share=1.0)
QUICK: Final = Sizes(chunk_bytes=1_000_000, takes_s=0.2, calls=5, share=0.04)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    samples: npt.NDArray[np.int16]
    audio: AudioHash


class Client:
    """The program's way to the service, with ``given`` settings."""

    def __init__(
        self, service: dict[str, str] | Backend, *, authority: str = "", **given: Any
    ) -> None:
        if isinstance(service, Backend):
            service = {"url": service.url, "authority": authority}
        settings: dict[str, Any] = {
            "home": Path("/nonexistent"),
            "openai_url": service["url"],
            "openai_answers": "json",
            "remote_ca_file": service["authority"],
            "remote_encoding": "wav",
        }
        self.settings = Settings(**{**settings, **given})
        self.services = RemoteServices(self.settings)
        self.service = self.services("openai", "")

    def with_retries_for_all(self) -> Client:
        """The budget for retries is not what is measured."""
        budget = RetryBudget(share=1.0, floor=1_000.0, most=1_000.0)
        gateway = replace(self.service.gateway, budget=budget)
        self.service = replace(self.service, gateway=gateway)
        return self

    def send(self, chunk: Chunk, *, tenant: str = "", prompt: str = "") -> None:
        self.service.transcribe(
            chunk.samples.data,
            TranscriptionOptions(prompt=prompt),
            audio=chunk.audio,
            speech=[Span(0, len(chunk.samples))],
            cancel=CancelToken(),
            tenant=tenant,
        )


def recording(chunk_bytes: int, chunks: int = CHUNKS) -> list[Chunk]:
    """Noise as loud as quiet speech; each chunk another."""
    noise = np.random.default_rng(7)
    made = []
    for _ in range(chunks):
        samples = noise.integers(-400, 400, chunk_bytes // 2, dtype=np.int16)
        digest = hashlib.sha256(samples.data).hexdigest()
        made.append(Chunk(samples=samples, audio=AudioHash(digest)))
    return made


def small(number: int, *, seconds: int = 1) -> Chunk:
    """A second of sound, another for each number."""
    samples = np.full(seconds * SAMPLE_RATE_HZ, number % 30_000, np.int16)
    digest = hashlib.sha256(f"{number}".encode()).hexdigest()
    return Chunk(samples=samples, audio=AudioHash(digest))


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


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def resident_bytes() -> int:
    import psutil

    resident: int = psutil.Process().memory_info().rss
    return resident
