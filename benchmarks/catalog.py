"""Names the corpora that are measured, and builds each of them once."""

from __future__ import annotations

import hashlib
import json
import wave
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """How one recording is made and by which model it is heard.

    Corpora of one ``group`` are mixes of the same prompts and share a panel of the plot.
    ``minutes`` None means each prompt once; ``runs_at_most`` bounds the rounds of long ones.
    """

    name: str
    group: str
    language: str = "en"
    seed: int = 0
    minutes: float | None = None
    noise_db: float | None = None
    model: str = "tiny.en"
    runs_at_most: int = 1000

    @property
    def recipe(self) -> dict[str, object]:
        """All that decides the bytes of the recording."""
        return {
            "language": self.language,
            "seed": self.seed,
            "minutes": self.minutes,
            "noise_db": self.noise_db,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A corpus on the disk: the WAV file, its true text, its length and its SHA-256."""

    path: Path
    text: str
    audio_s: float
    sha256: str


ENGLISH = "English, each prompt once"
CORPORA = {
    item.name: item
    for item in (
        Corpus(name="en0", group=ENGLISH),
        Corpus(name="en1", group=ENGLISH, seed=1),
        Corpus(name="en2", group=ENGLISH, seed=2),
        Corpus(name="en3", group=ENGLISH, seed=6),
        Corpus(name="en4", group=ENGLISH, seed=7),
        Corpus(name="en-noisy", group="English, noise at 10 dB", seed=3, noise_db=10),
        Corpus(name="ru0", group="Russian", language="ru", model="base"),
        Corpus(name="en-2h", group="English, 2 hours", seed=4, minutes=120, runs_at_most=3),
        Corpus(name="en-10h", group="English, 10 hours", seed=5, minutes=600, runs_at_most=1),
        Corpus(name="minute", group="English, a minute", minutes=1),
        Corpus(name="quick", group="English, 3 minutes", minutes=3),
        Corpus(name="warm-up", group="English, 15 seconds", minutes=0.25),
    )
}
USUAL = ("en0", "en1", "en2", "en3", "en4", "en-noisy", "ru0", "en-2h")
LONG = ("en-10h",)


def prepare(wanted: Corpus, folder: Path) -> Recording:
    """The recording of ``wanted`` in ``folder``, built first unless it is there by this recipe.

    Raises Unavailable where the prompts cannot be had.
    """
    path = folder / f"{wanted.name}.wav"
    if not _is_built(wanted, path):
        # Built aside: whoever reads the old file keeps it, and half a file is never taken for one.
        part = corpus.build(
            wanted.language,
            folder / f"{wanted.name}.part.wav",
            cache=folder / "corpus",
            seed=wanted.seed,
            minutes=wanted.minutes,
            noise_db=wanted.noise_db,
        )
        truth = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
        part.with_suffix(".json").unlink()
        part.rename(path)
        _truth_of(path).write_text(
            json.dumps({**truth, "recipe": wanted.recipe}, ensure_ascii=False), encoding="utf-8"
        )
    return _opened(path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _truth_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _is_built(wanted: Corpus, path: Path) -> bool:
    if not (path.is_file() and _truth_of(path).is_file()):
        return False
    truth = json.loads(_truth_of(path).read_text(encoding="utf-8"))
    return bool(truth.get("recipe") == wanted.recipe)


def _opened(path: Path) -> Recording:
    with wave.open(str(path), "rb") as file:
        audio_s = file.getnframes() / file.getframerate()
    truth = json.loads(_truth_of(path).read_text(encoding="utf-8"))
    return Recording(path=path, text=truth["text"], audio_s=audio_s, sha256=sha256_of(path))
