"""Turns the name of a Whisper model into a folder with the model in it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from stretto.contexts.core.errors import EngineUnavailable, UnknownModel
from stretto.contexts.processing.adapters import model_hub
from stretto.contexts.processing.adapters.model_folders import (
    ALIASES,
    HUB_MODELS,
    ModelEntry,
    ModelFolder,
    ModelSource,
    Progress,
    canonical_name,
    is_folder,
    is_repository,
    library_folder,
    missing_from,
    name_of_folder,
    size_of,
)
from stretto.contexts.processing.adapters.model_hub import WITHOUT_A_HUB, Hub
from stretto.contexts.processing.adapters.model_packages import PACKAGES, ModelPackage, join
from stretto.contexts.processing.adapters.model_revisions import RevisionMemo
from stretto.contexts.processing.adapters.model_staging import install

__all__ = ["PACKAGES", "ModelEntry", "ModelFolder", "ModelLibrary", "ModelSource"]

LAST_RESORT: Final = "base"


def _unheard(done_bytes: int, total_bytes: int) -> None:
    pass


class ModelLibrary:
    """The models of one user. Looks at the disk when asked, keeps nothing open, and is safe to
    use from many threads and processes at once."""

    def __init__(
        self,
        models_path: Path,
        *,
        offline: bool = False,
        packages: Sequence[ModelPackage] = PACKAGES,
        hub: Hub = model_hub.fetch,
    ) -> None:
        self._models_path = models_path
        self._offline = offline
        self._packages = {package.name: package for package in packages}
        self._hub = hub
        self._revisions = RevisionMemo(models_path / "revisions.json")

    def resolve(self, name: str, *, progress: Progress = _unheard) -> ModelFolder:
        """The folder for ``name``, installed first if need be; empty means the default.

        Looks for a folder of that path, a model in the user's library, an installed package and
        a model on the hub, in this order. Raises UnknownModel for a wrong name or a folder that
        is not a model, EngineUnavailable when the model cannot be had here, StorageFull.
        """
        name = self._chosen(name)
        found = self._present(name)
        if found is not None:
            return found
        folder = library_folder(name)
        package = self._packages.get(name)
        if package is not None and package.installed_parts() is not None:
            fill = partial(join, package, progress=progress)
            install(self._models_path, name, fill=fill)
        elif folder is not None and self._is_on_the_hub(name):
            self._download(name, folder, progress)
        else:
            raise self._unknown(name)
        installed = self._in_library(name)
        assert installed is not None, "what was installed is there"
        return installed

    def install(self, name: str, progress: Progress) -> ModelFolder:
        """Make ``name`` usable without a network, telling ``progress``; harmless when it is.

        A model is there as a whole or not at all. Raises what ``resolve`` raises.
        """
        return self.resolve(name, progress=progress)

    def describe(self, name: str) -> ModelEntry:
        """What ``resolve`` would give, without downloading or joining. Raises UnknownModel."""
        name = self._chosen(name)
        given = self._given_folder(name)
        return self._entry(given.name, found=given) if given else self._named_entry(name)

    def list(self) -> tuple[ModelEntry, ...]:
        """The installed models, then those that can be installed, each group by size."""
        names = dict.fromkeys([*self._library_names(), *self._packages, *HUB_MODELS])
        entries = []
        for name in names:
            with suppress(UnknownModel):  # a folder in the library that is not whole
                entries.append(self._named_entry(name))
        return tuple(sorted(entries, key=lambda e: (not e.installed, e.size_bytes, e.name)))

    def default_name(self) -> str:
        """What is used when nobody named a model: the best that is here without a network.

        ``base`` if it is installed, for it knows 99 languages; else ``tiny.en`` if its package is
        installed, which knows English only; else the smallest model of the user's library; and
        when there is none at all ``base``, to be downloaded. To be independent of what happens
        to be installed, name a model in the settings.
        """
        for name in dict.fromkeys((LAST_RESORT, *self._packages)):
            if self._is_installed(name):
                return name
        found = [self._named_entry(n) for n in self._library_names() if self._is_installed(n)]
        return min(found, key=lambda e: (e.size_bytes, e.name)).name if found else LAST_RESORT

    def revision(self, folder: ModelFolder) -> str:
        """SHA-256 over names and contents of the model's files, the same wherever they lie.

        Computed once, and again when a file has changed. Raises UnknownModel if one cannot be read.
        """
        return self._revisions.revision(folder.path)

    def _chosen(self, name: str) -> str:
        return canonical_name(name.strip() or self.default_name())

    def _present(self, name: str) -> ModelFolder | None:
        """What is here and needs nothing but to be loaded."""
        return self._given_folder(name) or self._in_library(name) or self._in_package(name)

    def _given_folder(self, name: str) -> ModelFolder | None:
        with suppress(RuntimeError):  # "~somebody" without such a user
            path = Path(name).expanduser()
            if is_folder(path):
                missing = missing_from(path)
                if not missing:
                    path = path.absolute()
                    return _folder(path.resolve().name, path, ModelSource.FOLDER)
                if not self._is_known(name):  # else a folder that only happens to be named so
                    raise UnknownModel(
                        f"The folder {path} is no Whisper model in CTranslate2 format: "
                        f"it lacks {', '.join(missing)}."
                    )
        return None

    def _in_library(self, name: str) -> ModelFolder | None:
        folder = library_folder(name)
        path = self._models_path / folder if folder else None
        if path is None or not is_folder(path):
            return None
        if missing := missing_from(path):
            raise UnknownModel(
                f"The model {name} in {path} is not whole, it lacks {', '.join(missing)}. "
                f"Remove that folder, then: stretto models install {name}"
            )
        return _folder(name, path, ModelSource.LIBRARY)

    def _in_package(self, name: str) -> ModelFolder | None:
        package = self._packages.get(name)
        path = package.installed_folder() if package else None
        return _folder(name, path, ModelSource.PACKAGE) if path else None

    def _download(self, name: str, folder: str, progress: Progress) -> None:
        if self._offline:
            raise EngineUnavailable(
                f"The model {name} is not on this machine, and the settings forbid downloads "
                f"(STRETTO_OFFLINE). {WITHOUT_A_HUB}"
            )
        repository = HUB_MODELS[name].repository if name in HUB_MODELS else name
        fill = partial(self._hub, repository, progress=progress)
        install(self._models_path, folder, fill=fill, resume=True)

    def _named_entry(self, name: str) -> ModelEntry:
        found = self._in_library(name) or self._in_package(name)
        package = self._packages.get(name)
        parts = package.installed_parts() if package else None
        if found or parts:
            return self._entry(name, found=found, parts=parts or ())
        if package is None and not self._is_on_the_hub(name):
            raise self._unknown(name)
        return self._entry(name)

    def _entry(
        self, name: str, *, found: ModelFolder | None = None, parts: Sequence[Path] = ()
    ) -> ModelEntry:
        package = self._packages.get(name)
        source, size, hint = ModelSource.HUB, 0, f"stretto models install {name}"
        if name in HUB_MODELS:
            size = HUB_MODELS[name].size_bytes
        if found is not None:
            source, size, hint = found.source, found.size_bytes, ""
        elif parts:
            source, size = ModelSource.PACKAGE, sum(path.stat().st_size for path in parts)
        elif package is not None:
            source, hint = ModelSource.PACKAGE, f"{package.hint}, or: {hint}"
        return ModelEntry(
            name=name,
            source=source,
            installed=bool(found or parts),
            size_bytes=size,
            path=found.path if found else None,
            hint=hint,
        )

    def _is_installed(self, name: str) -> bool:
        try:
            return self._named_entry(name).installed
        except UnknownModel:
            return False

    def _is_known(self, name: str) -> bool:
        folder = library_folder(name)
        in_library = folder is not None and is_folder(self._models_path / folder)
        return in_library or name in self._packages or name in HUB_MODELS

    def _is_on_the_hub(self, name: str) -> bool:
        return name in HUB_MODELS or is_repository(name)

    def _library_names(self) -> Sequence[str]:
        with suppress(OSError):
            folders = [path.name for path in self._models_path.iterdir() if is_folder(path)]
            names = [name_of_folder(folder) for folder in sorted(folders)]
            return [name for name in names if library_folder(name)]
        return []

    def _unknown(self, name: str) -> UnknownModel:
        asked = name[:80]
        if Path(asked).name != asked or asked.startswith("~"):
            return UnknownModel(
                f"There is no folder {asked!r}. Give a folder that holds model.bin, "
                "or a name from: stretto models list"
            )
        names = {*HUB_MODELS, *self._packages, *self._library_names(), *ALIASES}

        def likeness(known: str) -> float:
            return difflib.SequenceMatcher(None, asked.lower(), known.lower()).ratio()

        ranked = sorted(names, key=lambda known: (-likeness(known), known))
        return UnknownModel(
            f"There is no model {asked!r}. The names are, the closest first: {', '.join(ranked)}. "
            "A folder with a model, or org/name of a model hub, will do as well."
        )


def _folder(name: str, path: Path, source: ModelSource) -> ModelFolder:
    return ModelFolder(name=name, path=path, source=source, size_bytes=size_of(path))
