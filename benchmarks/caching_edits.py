"""What an edited recording costs: seconds of the engine, chunks that a remote engine would get."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import Figure
from stretto.bootstrap import build, load_settings
from stretto.contexts.processing.adapters.pyav import PyAvReader
from stretto.contexts.processing.cutting import cut
from stretto.contexts.processing.model import ConcurrencyLimit, EngineLimits, Samples
from stretto.contexts.processing.planning import ChunkPlanner
from stretto.contexts.processing.sizing import DynamicChunkSizer

RATE: Final = 16_000
PREPENDED_S, APPENDED_S, HOUR_S = 7.3, 600.0, 3600.0
MODEL: Final = "tiny.en"


def edits(home: Path, audio: Path | None, *, quick: bool) -> Iterator[Figure]:
    """The local engine on a recording, on edits of it, and on the recording again."""
    home.mkdir(parents=True)
    samples = recording(audio, HOUR_S if not quick else 300.0)
    versions = edited(samples, appended_s=APPENDED_S if not quick else 60.0)
    paths = {name: written(home / f"{name}.wav", sound) for name, sound in versions.items()}
    settings = load_settings({}, overrides={"home": home / "home", "model": MODEL})
    with build(settings) as application:
        first_s = 0.0
        for name, path in paths.items():
            began = time.perf_counter()
            transcript = application.transcribe(path)
            took_s = time.perf_counter() - began
            new_s = transcript.duration_s - transcript.cache.recalled_s
            first_s = first_s or new_s
            more = {"took, s": round(took_s, 1), "audio recognised, s": round(new_s, 1)}
            if name == "appended":
                tail_s = (len(versions[name]) - len(samples)) / RATE
                what, value, unit, wanted = "more than the tail", new_s - tail_s, "s", 60.0
            else:
                what, value, unit, wanted = "recognised again", 100 * new_s / first_s, "%", 5.0
            if name != "first":
                what = f"{name}: {what}"
                yield Figure(what=what, value=value, unit=unit, wanted=wanted, more=more)
    yield sent_chunks(paths, samples)
    yield from known(home / "home", paths["first"])


def sent_chunks(paths: dict[str, Path], samples: Samples) -> Figure:
    """Chunks of the prepended recording that a remote engine had not heard before."""
    heard, asked = (chunk_hashes(paths[name]) for name in ("first", "prepended"))
    more = {"chunks": len(asked), "seconds": round(len(samples) / RATE)}
    new = len(asked - heard)
    return Figure(what="prepended: chunks sent", value=new, unit="chunks", wanted=2, more=more)


def chunk_hashes(path: Path) -> set[str]:
    reader = PyAvReader()
    file = reader.probe(reader.identify(path))
    size = DynamicChunkSizer().decide(file, limits=EngineLimits(), concurrency=ConcurrencyLimit())
    return {chunk.audio.value for chunk in cut(reader.open(file), ChunkPlanner(size))}


def known(home: Path, path: Path) -> Iterator[Figure]:
    """A recording that is known: in the library after hashing, and as a whole process."""
    settings = load_settings({}, overrides={"home": home, "model": MODEL})
    with build(settings) as application:
        application.transcribe(path)
        took = []
        for _ in range(7):
            hashing = time.perf_counter()
            PyAvReader().identify(path)
            hashing_s = time.perf_counter() - hashing
            began = time.perf_counter()
            application.transcribe(path)
            took.append(time.perf_counter() - began - hashing_s)
    yield Figure(
        what="known, in the library", value=1000 * sorted(took)[3], unit="ms", wanted=50, more={}
    )
    seconds = sorted(run(home, path)[0] for _ in range(5))
    _, said = run(home, path, "-X", "importtime")
    yield Figure(
        what="known, whole process",
        value=seconds[2],
        unit="s",
        wanted=1.2,
        more={"model loaded": "tokenizers" in said},
    )


def run(home: Path, path: Path, *options: str) -> tuple[float, str]:
    """The seconds of a whole process, and what it said on standard error."""
    command = [sys.executable, *options, "-m", "stretto", "transcribe", "--model", MODEL, str(path)]
    began = time.perf_counter()
    environment = {**os.environ, "STRETTO_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout
    return time.perf_counter() - began, done.stderr


def recording(audio: Path | None, seconds: float) -> Samples:
    """``seconds`` of the recording, or of the demo: said again at another speed each time, so
    that no piece is the same as another one."""
    path = audio or demo()
    reader = PyAvReader()
    sound = np.concatenate(list(reader.open(reader.probe(reader.identify(path))).blocks()))
    parts, length, turn = [], 0, 0
    while length < seconds * RATE:
        grid = np.arange(0, len(sound) - 1, 1.0 + 0.002 * turn)
        part = np.interp(grid, np.arange(len(sound)), sound).astype(np.int16)
        parts.append(part)
        length += len(part)
        turn += 1
    return np.concatenate(parts)[: round(seconds * RATE)]


def demo() -> Path:
    spec = util.find_spec("moonshine_voice")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "assets" / "two_cities.wav"


def edited(samples: Samples, *, appended_s: float) -> dict[str, Samples]:
    """The recording, with something before it, without its beginning, and with more after it."""
    before = samples[: round(PREPENDED_S * RATE)][::-1]
    after = samples[: round(appended_s * RATE)][::-1]
    return {
        "first": samples,
        "prepended": np.concatenate([before, samples]),
        "cut off": samples[round(PREPENDED_S * RATE) :],
        "appended": np.concatenate([samples, after]),
    }


def written(path: Path, samples: Samples) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path
