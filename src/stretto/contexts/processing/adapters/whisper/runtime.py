"""Which runtime computes a model on this machine, and when it is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

from stretto.contexts.core.errors import EngineUnavailable
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Task
from stretto.contexts.processing.adapters.whisper.quality import Candidate
from stretto.contexts.processing.adapters.whisper.vocabulary import Vocabulary
from stretto.contexts.processing.model import CancelToken, Samples

INSTALL_HINT: Final = 'Install it with: pip install "stretto[local]"'
MOST_WORKERS: Final = 8
CUDA_DRIVERS: Final = ("/dev/nvidiactl", "/dev/dxg")
"""Where Linux, and Linux inside Windows, show the driver of a graphics card."""

NATIVE: Final = "native"
CTRANSLATE: Final = "ctranslate2"
NATIVE_UP_TO_BYTES: Final = 200_000_000
"""Of half-precision weights: tiny and base. They take twice that in memory, where CTranslate2
keeps larger models in a half of it."""


Alignment = tuple[list[tuple[int, int]], list[float]]
"""The path (token, encoder step) and the probability of each token."""


class Encoded(Protocol):
    """A batch of windows as the encoder heard them, ready for the decoder."""

    @property
    def size(self) -> int:
        """The number of windows."""

    def alone(self, number: int) -> Encoded | None:
        """One window by itself, heard with its full 30 seconds; None where it was heard with less,
        and would have to be encoded again."""

    def languages(self) -> list[list[tuple[str, float]]]:
        """For each window Whisper's language codes with their probabilities, best first."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        cancel: CancelToken,
        *,
        temperature: float = 0.0,
    ) -> list[Candidate]:
        """One candidate per window: beam search at temperature 0, above it the best of five."""

    def align(
        self, start: Sequence[int], tokens: Sequence[Sequence[int]], frames: Sequence[int]
    ) -> list[Alignment]:
        """When each of ``tokens`` was said in each window, which has ``frames`` frames of sound."""


class Runtime(Protocol):
    """One loaded model. Methods are safe to call from many threads at once."""

    multilingual: bool

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the model."""

    @property
    def second_pass(self) -> tuple[tuple[float, bool], ...]:
        """What is tried on a window in doubt: (temperature, with timestamp tokens)."""

    @property
    def batch_frames(self) -> int:
        """How many frames of 10 ms a batch may have in all."""

    def padded_frames(self, longest: int) -> int:
        """To how many frames windows are padded the longest of which has ``longest``."""

    def encode(self, windows: Sequence[Samples], frames: int, cancel: CancelToken) -> Encoded:
        """The encoder's view of each window, padded to ``frames`` with silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where and how a model runs. ``workers`` work side by side, each on ``threads`` threads:
    on a processor several single-threaded workers beat one with several threads."""

    runtime: str
    name: str
    compute_type: str
    workers: int
    threads: int


def require_packages() -> None:
    """Raises EngineUnavailable naming the package that is missing."""
    for package in ("ctranslate2", "tokenizers", "onnxruntime", "threadpoolctl"):
        if util.find_spec(package) is None:
            raise EngineUnavailable(f"The Whisper engine needs {package}. {INSTALL_HINT}")


def engine_version() -> str:
    return metadata.version("ctranslate2")


def choose_device(folder: Path, *, device: str, compute_type: str, workers: int) -> Device:
    """``auto`` takes CUDA with float16 where there is a device. On a processor small models are
    computed by our own runtime, larger ones by CTranslate2 in int8; a compute type
    that is named is always CTranslate2's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    chosen = workers or min(cores, MOST_WORKERS)
    small = (folder / "model.bin").stat().st_size <= NATIVE_UP_TO_BYTES
    if compute_type == "auto" and small and device != "cuda" and not _cuda_devices(device):
        return Device(runtime=NATIVE, name="cpu", compute_type="int8", workers=chosen, threads=1)
    if device == "auto":
        device = "cuda" if _cuda_devices(device) else "cpu"
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    _require_compute_type(device, compute_type)
    if device == "cuda":
        chosen, threads = workers or 1, 1
    else:
        threads = max(1, cores // chosen)
    return Device(
        runtime=CTRANSLATE,
        name=device,
        compute_type=compute_type,
        workers=chosen,
        threads=threads,
    )


def _cuda_devices(device: str) -> int:
    """Looked for only where the kernel has a driver: asking means loading CTranslate2."""
    if device != "auto" or not any(Path(place).exists() for place in CUDA_DRIVERS):
        return 0
    import ctranslate2

    return int(ctranslate2.get_cuda_device_count())


def _require_compute_type(device: str, compute_type: str) -> None:
    import ctranslate2

    if compute_type not in ctranslate2.get_supported_compute_types(device):
        raise EngineUnavailable(
            f"This machine's {device} cannot compute in {compute_type}; "
            "set STRETTO_COMPUTE_TYPE=auto."
        )


class LazyRuntime:
    """Loads the model at the first use, once, whoever comes first."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        compute_type: str,
        workers: int,
        load: Callable[[Path, Device], Runtime],
    ) -> None:
        self._folder = folder
        self._device = device
        self._compute_type = compute_type
        self._workers = workers
        self._load = load
        self._lock = Lock()
        self._chosen: Device | None = None
        self._runtime: Runtime | None = None

    @property
    def device(self) -> Device:
        if self._chosen is None:
            self._chosen = choose_device(
                self._folder,
                device=self._device,
                compute_type=self._compute_type,
                workers=self._workers,
            )
        return self._chosen

    def get(self) -> Runtime:
        with self._lock:
            if self._runtime is None:
                self._runtime = self._load(self._folder, self.device)
            return self._runtime

    @property
    def loaded(self) -> bool:
        return self._runtime is not None


def start_of(runtime: Runtime, language: Language | None, task: Task) -> list[int]:
    """The tokens that open a transcript; a model of one language is not told which."""
    return runtime.vocabulary.start(language if runtime.multilingual else None, task)


def knows(runtime: Runtime, language: Language) -> bool:
    return not runtime.multilingual or runtime.vocabulary.knows(language)
