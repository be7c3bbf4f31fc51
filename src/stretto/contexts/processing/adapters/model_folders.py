"""What a Whisper model is on the disk, and the names by which people know one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

NEEDED_FILES: Final = ("model.bin", "config.json", "tokenizer.json")
VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
MODEL_FILES: Final = (*NEEDED_FILES, *VOCABULARIES)
"""Everything in a folder that shapes the text; other files, such as a README, do not count."""

Progress = Callable[[int, int], None]
"""Called with bytes done so far and bytes in all; the latter is 0 as long as nobody knows."""


class ModelSource(StrEnum):
    """Where a model comes from: a folder of the user's, an installed package, the user's library
    of models, or a hub in the network."""

    FOLDER = "folder"
    PACKAGE = "package"
    LIBRARY = "library"
    HUB = "hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A complete model, ready to be loaded from ``path``."""

    name: str
    path: Path
    source: ModelSource
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model that is installed, or can be. ``size_bytes`` is approximate for the latter.

    ``path`` is None for one that has to be downloaded, or put together from packages, first;
    ``installed`` says whether it can be used without a network. ``hint`` is what to type.
    """

    name: str
    source: ModelSource
    installed: bool
    size_bytes: int
    path: Path | None
    hint: str


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on the hub, and about how many bytes it has."""

    repository: str
    size_bytes: int


HUB_MODELS: Final = {
    "tiny.en": HubModel("Systran/faster-whisper-tiny.en", 78_000_000),
    "tiny": HubModel("Systran/faster-whisper-tiny", 78_000_000),
    "base.en": HubModel("Systran/faster-whisper-base.en", 148_000_000),
    "base": HubModel("Systran/faster-whisper-base", 148_000_000),
    "small.en": HubModel("Systran/faster-whisper-small.en", 486_000_000),
    "small": HubModel("Systran/faster-whisper-small", 486_000_000),
    "medium.en": HubModel("Systran/faster-whisper-medium.en", 1_530_000_000),
    "medium": HubModel("Systran/faster-whisper-medium", 1_530_000_000),
    "large-v1": HubModel("Systran/faster-whisper-large-v1", 3_090_000_000),
    "large-v2": HubModel("Systran/faster-whisper-large-v2", 3_090_000_000),
    "large-v3": HubModel("Systran/faster-whisper-large-v3", 3_090_000_000),
    "turbo": HubModel("mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1_620_000_000),
    "distil-small.en": HubModel("Systran/faster-distil-whisper-small.en", 335_000_000),
    "distil-medium.en": HubModel("Systran/faster-distil-whisper-medium.en", 790_000_000),
    "distil-large-v2": HubModel("Systran/faster-distil-whisper-large-v2", 1_520_000_000),
    "distil-large-v3": HubModel("Systran/faster-distil-whisper-large-v3", 1_520_000_000),
    "distil-large-v3.5": HubModel("distil-whisper/distil-large-v3.5-ct2", 1_520_000_000),
}
"""The models of OpenAI, and those distilled from them, as people convert them for CTranslate2."""

ALIASES: Final = {"large": "large-v3", "large-v3-turbo": "turbo"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")
_REPOSITORY: Final = re.compile(r"([A-Za-z0-9][\w.-]{0,95})/([A-Za-z0-9][\w.-]{0,95})\Z", re.ASCII)


def canonical_name(name: str) -> str:
    """One name for each model: ``large`` is ``large-v3``, a known repository is its short name."""
    by_repository = {model.repository: short for short, model in HUB_MODELS.items()}
    return ALIASES.get(name) or by_repository.get(name, name)


def is_repository(name: str) -> bool:
    """Whether ``name`` has the form of a repository on the hub, such as ``org/name``."""
    return bool(_REPOSITORY.match(name)) and "--" not in name and ".." not in name


def library_folder(name: str) -> str | None:
    """The name of the folder in the user's library; None when nothing can be kept by that name."""
    if is_repository(name):
        return name.replace("/", "--")
    return name if _NAME.match(name) else None


def name_of_folder(folder: str) -> str:
    """The inverse of ``library_folder``."""
    return folder.replace("--", "/", 1) if is_repository(folder.replace("--", "/", 1)) else folder


def is_folder(path: Path) -> bool:
    """False, too, for what cannot be looked at."""
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False


def missing_from(folder: Path) -> list[str]:
    """What a folder lacks to be a model; an empty file is as good as none."""
    missing = [name for name in NEEDED_FILES if not _size(folder / name)]
    if not any(_size(folder / name) for name in VOCABULARIES):
        missing.append(" or ".join(VOCABULARIES))
    return missing


def size_of(folder: Path) -> int:
    return sum(_size(folder / name) for name in MODEL_FILES)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0
