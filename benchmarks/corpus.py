"""Builds the speech corpora that every figure in docs/benchmarks.md is measured on.

The prompts are Debian's ``asterisk-core-sounds-LANG-g722`` (16 kHz, one speaker, CC-BY-SA-3.0)
with their exact texts from ``asterisk-core-sounds-LANG``. They are downloaded with ``apt-get
download`` and unpacked with ``dpkg -x``; no root is needed and nothing of them is kept in git.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from benchmarks import Unavailable

Samples = npt.NDArray[np.int16]

SAMPLE_RATE_HZ = 16_000
VOICES = {"en": "en_US_f_Allison", "ru": "ru_RU_f_IvrvoiceRU", "es": "es_MX_f_Allison"}
MINIMUM_PROMPT_S = 1.0
MINIMUM_WORDS = 3
# Texts with these characters describe sounds, or spell symbols that nobody says.
UNSPOKEN = re.compile(r"[\[\]<>()*#@]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One recorded sentence: 16-bit mono samples at 16 kHz and its exact text."""

    name: str
    text: str
    samples: Samples


def download(language: str, cache: Path) -> Path:
    """Return the folder with the unpacked packages of ``language``, downloading them once.

    Raises Unavailable where apt-get or dpkg are missing, or the packages cannot be had.
    """
    root = cache / language
    if (root / "usr").is_dir():
        return root
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise Unavailable(
            f"The corpus is made from Debian packages, and this machine has no "
            f"{' and no '.join(missing)}: build it on Debian or Ubuntu (a container will do) "
            f"and copy the folder .bench here."
        )
    cache.mkdir(parents=True, exist_ok=True)
    # Unpacked aside and renamed, so that an interrupted download is not taken for a whole one.
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        _unpack_packages(language, Path(folder))
        root.mkdir(exist_ok=True)
        (Path(folder) / "usr").rename(root / "usr")
    return root


def _unpack_packages(language: str, folder: Path) -> None:
    names = [f"asterisk-core-sounds-{language}-g722", f"asterisk-core-sounds-{language}"]
    try:
        subprocess.run(["apt-get", "download", "-q", *names], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    except subprocess.CalledProcessError as error:
        raise Unavailable(
            f"{error.cmd[0]} could not fetch and unpack {' and '.join(names)}: is a Debian mirror "
            f"within reach, and are its lists up to date (sudo apt-get update)?"
        ) from error


def load_prompts(language: str, cache: Path) -> list[Prompt]:
    """All prompts of at least one second and three words, in the order of the text file."""
    root = download(language, cache)
    sounds = root / "usr/share/asterisk/sounds" / VOICES[language]
    document = root / f"usr/share/doc/asterisk-core-sounds-{language}"
    prompts = []
    with gzip.open(document / f"core-sounds-{language}.txt.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            name, separator, text = line.strip().partition(":")
            recording = sounds / f"{name}.g722"
            if not separator or line.startswith(";") or UNSPOKEN.search(text):
                continue
            if len(text.split()) < MINIMUM_WORDS or not recording.is_file():
                continue
            samples = decode_g722(recording)
            if len(samples) >= MINIMUM_PROMPT_S * SAMPLE_RATE_HZ:
                prompts.append(Prompt(name=name, text=text.strip(), samples=samples))
    return prompts


def decode_g722(path: Path) -> Samples:
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.int16)


def build(
    language: str,
    output: Path,
    *,
    cache: Path,
    seed: int = 0,
    minutes: float | None = None,
    gaps_s: tuple[float, float] = (0.3, 1.2),
    noise_db: float | None = None,
    half: str = "all",
) -> Path:
    """Write ``output`` (WAV) and beside it ``output.json`` with the true text and prompt times.

    Prompts are shuffled by ``seed`` and joined with silences drawn uniformly from ``gaps_s``.
    ``minutes`` repeats the shuffled list (with new order and gaps) until it is reached; without
    it each prompt stands once. ``noise_db`` adds white noise at that signal-to-noise ratio.
    ``half`` picks the even or the odd prompts, for setting thresholds apart from reporting.
    Raises Unavailable where the prompts cannot be had.
    """
    prompts = load_prompts(language, cache)
    prompts = {"all": prompts, "even": prompts[::2], "odd": prompts[1::2]}[half]
    pieces = joined(prompts, seed=seed, minutes=minutes, gaps_s=gaps_s)
    noise_rms = None if noise_db is None else speech_rms(prompts) / 10 ** (noise_db / 20)
    entries = write(pieces, output, noise_rms=noise_rms, seed=seed)
    truth = {
        "language": language,
        "text": " ".join(str(entry["text"]) for entry in entries),
        "prompts": entries,
    }
    output.with_suffix(".json").write_text(json.dumps(truth, ensure_ascii=False), encoding="utf-8")
    return output


def speech_rms(prompts: Sequence[Prompt]) -> float:
    """Root mean square of all samples of all prompts, in units of one 16-bit step."""
    samples = np.concatenate([prompt.samples for prompt in prompts], dtype=np.float64)
    return float(np.sqrt(np.mean(np.square(samples))))


def joined(
    prompts: Sequence[Prompt],
    *,
    seed: int,
    minutes: float | None,
    gaps_s: tuple[float, float],
) -> Iterator[tuple[Prompt, int]]:
    """Each prompt in the order it is heard, with the length in samples of the gap after it."""
    dice = random.Random(seed)
    position, goal = 0, (minutes or 0) * 60 * SAMPLE_RATE_HZ
    while position == 0 or position < goal:
        for prompt in dice.sample(prompts, len(prompts)):
            gap = int(dice.uniform(*gaps_s) * SAMPLE_RATE_HZ)
            yield prompt, gap
            position += len(prompt.samples) + gap
            if minutes is not None and position >= goal:
                break


def write(
    pieces: Iterator[tuple[Prompt, int]], output: Path, *, noise_rms: float | None, seed: int
) -> list[dict[str, object]]:
    """Write the pieces as one WAV file; returns each prompt's start and end in seconds and text."""
    noise = np.random.default_rng(seed)
    entries: list[dict[str, object]] = []
    position = 0
    output.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(output), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        for prompt, gap in pieces:
            piece = np.concatenate([prompt.samples, np.zeros(gap, dtype=np.int16)])
            if noise_rms is not None:
                noisy = piece + noise.normal(0.0, noise_rms, len(piece))
                piece = np.clip(np.round(noisy), -32768, 32767).astype(np.int16)
            file.writeframes(piece.tobytes())
            start, end = position, position + len(prompt.samples)
            times = {"start": start / SAMPLE_RATE_HZ, "end": end / SAMPLE_RATE_HZ}
            entries.append({**times, "text": prompt.text})
            position += len(piece)
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--language", default="en", choices=sorted(VOICES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--noise-db", type=float)
    parser.add_argument("--half", default="all", choices=["all", "even", "odd"])
    parser.add_argument("--cache", type=Path, default=Path(".bench/corpus"))
    given = parser.parse_args()
    build(
        given.language,
        given.output,
        cache=given.cache,
        seed=given.seed,
        minutes=given.minutes,
        noise_db=given.noise_db,
        half=given.half,
    )


if __name__ == "__main__":
    main()
