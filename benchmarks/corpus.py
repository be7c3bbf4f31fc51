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
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

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
    samples: np.ndarray


def download(language: str, cache: Path) -> Path:
    """Return the folder with the unpacked packages of ``language``, downloading them once."""
    root = cache / language
    if not (root / "usr").is_dir():
        root.mkdir(parents=True, exist_ok=True)
        names = [f"asterisk-core-sounds-{language}-g722", f"asterisk-core-sounds-{language}"]
        subprocess.run(["apt-get", "download", "-q", *names], cwd=root, check=True)
        for package in root.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
            package.unlink()
    return root


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


def decode_g722(path: Path) -> np.ndarray:
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
    """
    prompts = load_prompts(language, cache)
    prompts = {"all": prompts, "even": prompts[::2], "odd": prompts[1::2]}[half]
    dice, noise = random.Random(seed), np.random.default_rng(seed)
    speech_rms = float(
        np.sqrt(np.mean(np.square(np.concatenate([p.samples for p in prompts], dtype=np.float64))))
    )
    entries: list[dict[str, object]] = []
    position, goal = 0, (minutes or 0) * 60 * SAMPLE_RATE_HZ
    output.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(output), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        while position == 0 or position < goal:
            for prompt in dice.sample(prompts, len(prompts)):
                gap = np.zeros(int(dice.uniform(*gaps_s) * SAMPLE_RATE_HZ), dtype=np.int16)
                piece = np.concatenate([prompt.samples, gap])
                if noise_db is not None:
                    scale = speech_rms / 10 ** (noise_db / 20)
                    noisy = piece + noise.normal(0.0, scale, len(piece))
                    piece = np.clip(np.round(noisy), -32768, 32767).astype(np.int16)
                file.writeframes(piece.tobytes())
                start, end = position, position + len(prompt.samples)
                entries.append(
                    {
                        "start": start / SAMPLE_RATE_HZ,
                        "end": end / SAMPLE_RATE_HZ,
                        "text": prompt.text,
                    }
                )
                position += len(piece)
                if minutes is not None and position >= goal:
                    break
    truth = {
        "language": language,
        "text": " ".join(str(e["text"]) for e in entries),
        "prompts": entries,
    }
    output.with_suffix(".json").write_text(json.dumps(truth, ensure_ascii=False))
    return output


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
