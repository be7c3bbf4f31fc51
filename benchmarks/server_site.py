"""What all parts of the measurement of the server share: how much is done, and a server that runs
as its users start it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import numpy as np
import psutil

from benchmarks.caching_edits import demo
from benchmarks.figures import Figure

MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done of everything."""

    seconds: float = 20.0
    recording_s: float = 600.0
    listeners: int = 1000
    events: int = 400
    text_bytes: int = 2000
    upload_bytes: int = 4 << 30
    cases: int = 2000
    pairs: int = 200
    loads: int = 5


QUICK: Final = Size(
    seconds=2.0,
    recording_s=40.0,
    listeners=20,
    events=40,
    upload_bytes=32 << 20,
    cases=40,
    pairs=8,
    loads=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that runs."""

    url: str
    home: Path
    process: psutil.Process

    def memory_mb(self) -> float:
        """What the server itself has, without its worker."""
        return float(self.process.memory_info().rss) / MEGABYTE


@contextmanager
def served(
    *options: str, prepare: Callable[[Path], None] = lambda _: None, **variables: str
) -> Generator[Served, None, None]:
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as folder:
        home = Path(folder) / "home"
        prepare(home)
        others = {k: v for k, v in os.environ.items() if not k.startswith("STRETTO_")}
        ours = {"STRETTO_HOME": str(home), "STRETTO_MODEL": "tiny.en", "STRETTO_OFFLINE": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "stretto", "serve", "--port", "0", *options],
            stderr=subprocess.PIPE,
            env={**others, **ours, **variables},
            text=True,
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield Served(url=line.split()[-1], home=home, process=psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def submitted(client: httpx2.Client, size: Size, seed: int) -> str:
    answer = client.post(
        "/api/jobs", files={"file": (f"long{seed}.wav", speech(size.recording_s, seed))}
    )
    return str(answer.json()["id"])


def speech(seconds: float, seed: int) -> bytes:
    """The demo recording again and again, in another hiss each time: none of it is known."""
    with wave.open(str(demo())) as recorded:
        rate, sound = recorded.getframerate(), recorded.readframes(recorded.getnframes())
        assert recorded.getnchannels() == 1
    once = np.frombuffer(sound, np.int16)
    dice = np.random.default_rng(seed)
    turns = [
        np.clip(once + dice.normal(0.0, 3.0, len(once)), -32_768, 32_767).astype(np.int16)
        for _ in range(-int(-seconds * rate // len(once)))
    ]
    frames = np.concatenate(turns)[: round(seconds * rate)].tobytes()
    target = io.BytesIO()
    with wave.open(target, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(frames)
    return target.getvalue()


def at_least(what: str, value: float, unit: str, wanted: float, **more: Any) -> Figure:
    return Figure(what=what, value=value, unit=unit, wanted=wanted, at_least=True, more=more)


def at_most(what: str, value: float, unit: str, wanted: float, **more: Any) -> Figure:
    return Figure(what=what, value=value, unit=unit, wanted=wanted, at_least=False, more=more)
