"""Whisper in CTranslate2: loads a model folder once, and turns batches of audio into candidates."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.errors import (
    EngineFailure,
    EngineUnavailable,
    TransientEngineFailure,
)
from stretto.contexts.core.identifiers import Language
from stretto.contexts.core.recognition import Task
from stretto.contexts.processing.adapters.whisper.quality import Candidate
from stretto.contexts.processing.adapters.whisper.vocabulary import Vocabulary
from stretto.contexts.processing.model import Samples

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from ctranslate2.models import Whisper

INSTALL_HINT: Final = 'Install it with: pip install "stretto[local]"'
BEAM_SIZE: Final = 5
BEST_OF: Final = 5
MOST_WORKERS: Final = 8
MAXIMUM_TOKENS: Final = 448
M_ARENA_MAX: Final = -8
"""From glibc's malloc.h; see mallopt(3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where and how a model runs. ``workers`` decode side by side, each on ``threads`` threads:
    on a processor several single-threaded workers beat one with several threads."""

    name: str
    compute_type: str
    workers: int
    threads: int


def require_packages() -> None:
    """Raises EngineUnavailable naming the package that is missing."""
    for package in ("ctranslate2", "tokenizers", "onnxruntime"):
        if util.find_spec(package) is None:
            raise EngineUnavailable(f"The Whisper engine needs {package}. {INSTALL_HINT}")


def engine_version() -> str:
    return metadata.version("ctranslate2")


def limit_arenas() -> None:
    """Make glibc's allocator share one heap among all threads; elsewhere it does nothing.

    It would give each thread a heap of its own, each as large as its largest moment was, which
    cost 230 MB here. The engine's threads seldom allocate, so they do not wait for one another.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return to the system what glibc holds free between batches: about a tenth of the peak."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def choose_device(*, device: str, compute_type: str, workers: int) -> Device:
    """``auto`` takes CUDA with float16 where there is a device, else the processor with int8."""
    import ctranslate2

    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    if compute_type not in ctranslate2.get_supported_compute_types(device):
        raise EngineUnavailable(
            f"This machine's {device} cannot compute in {compute_type}; "
            "set STRETTO_COMPUTE_TYPE=auto."
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    if device == "cuda":
        return Device(name=device, compute_type=compute_type, workers=workers or 1, threads=1)
    chosen = workers or min(cores, MOST_WORKERS)
    return Device(
        name=device, compute_type=compute_type, workers=chosen, threads=max(1, cores // chosen)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The encoder's output for a batch of ``size`` windows; opaque to everybody else."""

    value: StorageView
    size: int


class Runtime:
    """One loaded model. Methods are safe to call from many threads: CTranslate2 queues the work."""

    def __init__(self, folder: Path, device: Device) -> None:
        limit_arenas()
        from ctranslate2.models import Whisper

        try:
            self._model: Whisper = Whisper(
                str(folder),
                device=device.name,
                compute_type=device.compute_type,
                inter_threads=device.workers,
                intra_threads=device.threads,
            )
        except (RuntimeError, ValueError) as cause:
            raise EngineUnavailable(
                f"The model in {folder} cannot be loaded ({cause}). "
                "Is it a Whisper model in CTranslate2 format?"
            ) from cause
        self._on_gpu = device.name != "cpu"
        self.vocabulary = Vocabulary(folder)
        self.multilingual = bool(self._model.is_multilingual)
        self.mel_bands = int(self._model.n_mels)

    def start(self, language: Language | None, task: Task) -> list[int]:
        """The tokens that open a transcript; a model of one language is not told which."""
        return self.vocabulary.start(language if self.multilingual else None, task)

    def knows(self, language: Language) -> bool:
        return not self.multilingual or self.vocabulary.knows(language)

    def encode(self, windows: Sequence[Samples], frames: int) -> Encoded:
        """The encoder's view of each window, padded to ``frames`` with silence.

        On a processor one window at a time: a batch is no faster there, and the attention of
        each 30 s takes 54 MB while it is computed.
        """
        from ctranslate2 import StorageView

        rows = [self._features(samples, frames) for samples in windows]
        if self._on_gpu or len(rows) == 1:
            features = StorageView.from_array(np.concatenate(rows))
            return Encoded(value=_run(self._model.encode, features), size=len(rows))
        views = [_run(self._model.encode, StorageView.from_array(row)) for row in rows]
        joined = np.concatenate([np.asarray(view) for view in views])
        return Encoded(value=StorageView.from_array(joined), size=len(rows))

    def _features(self, samples: Samples, frames: int) -> npt.NDArray[np.float32]:
        """Shape (1, mel bands, frames)."""
        from stretto.contexts.processing.adapters.whisper.features import log_mel

        return log_mel(samples, frames, bands=self.mel_bands)[None]

    def languages(self, encoded: Encoded) -> list[list[tuple[str, float]]]:
        """For each window Whisper's language codes with their probabilities, best first."""
        found = _run(self._model.detect_language, encoded.value)
        return [[(token[2:-2], float(p)) for token, p in window] for window in found]

    def generate(
        self,
        encoded: Encoded,
        prompts: Sequence[Sequence[int]],
        *,
        temperature: float = 0.0,
        maximum_new_tokens: int = MAXIMUM_TOKENS,
    ) -> list[Candidate]:
        """One candidate per window: beam search at temperature 0, above it the best of five."""
        longest = max(len(p) for p in prompts)
        sampling: dict[str, Any] = {"beam_size": BEAM_SIZE}
        if temperature > 0:
            sampling = {
                "beam_size": 1,
                "num_hypotheses": BEST_OF,
                "sampling_topk": 0,
                "sampling_temperature": temperature,
            }
        results = _run(
            self._model.generate,
            encoded.value,
            [list(p) for p in prompts],
            max_length=min(MAXIMUM_TOKENS, longest + maximum_new_tokens),
            return_scores=True,
            return_no_speech_prob=True,
            **sampling,
        )
        return [self._candidate(result, temperature) for result in results]

    def _candidate(self, result: Any, temperature: float) -> Candidate:
        spoken = self.vocabulary.text_tokens(result.sequences_ids[0])
        length = len(result.sequences_ids[0])
        # CTranslate2 divides by the length (length_penalty 1); the reference counts the end, too.
        log_probability = result.scores[0] * length / (length + 1) if length else 0.0
        return Candidate(
            tokens=tuple(spoken),
            text=self.vocabulary.text(spoken),
            log_probability=float(log_probability),
            no_speech_probability=float(result.no_speech_prob),
            temperature=temperature,
        )

    def align(
        self,
        encoded: Encoded,
        start: Sequence[int],
        tokens: Sequence[Sequence[int]],
        frames: list[int],
    ) -> list[tuple[list[tuple[int, int]], list[float]]]:
        """For each window the path (token, encoder step) and the probability of each token."""
        results = _run(
            self._model.align, encoded.value, list(start), [list(t) for t in tokens], frames
        )
        return [
            ([(int(a), int(b)) for a, b in r.alignments], [float(p) for p in r.text_token_probs])
            for r in results
        ]


def _run(call: Any, *arguments: Any, **options: Any) -> Any:
    """Run one CTranslate2 call; its errors become ours."""
    try:
        return call(*arguments, **options)
    except MemoryError as cause:
        raise TransientEngineFailure("The engine ran out of memory.") from cause
    except (RuntimeError, ValueError) as cause:
        if "out of memory" in str(cause).lower():
            raise TransientEngineFailure(f"The engine ran out of memory: {cause}") from cause
        raise EngineFailure(f"The engine gave up on a window: {cause}") from cause


class LazyRuntime:
    """Loads the model at the first use, once, whoever comes first."""

    def __init__(self, folder: Path, *, device: str, compute_type: str, workers: int) -> None:
        self._folder = folder
        self._device = device
        self._compute_type = compute_type
        self._workers = workers
        self._lock = Lock()
        self._chosen: Device | None = None
        self._runtime: Runtime | None = None

    @property
    def device(self) -> Device:
        if self._chosen is None:
            self._chosen = choose_device(
                device=self._device, compute_type=self._compute_type, workers=self._workers
            )
        return self._chosen

    def get(self) -> Runtime:
        with self._lock:
            if self._runtime is None:
                self._runtime = Runtime(self._folder, self.device)
            return self._runtime

    @property
    def loaded(self) -> bool:
        return self._runtime is not None
