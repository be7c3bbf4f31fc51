"""Whisper in CTranslate2: on graphics cards, and for models too large for our own runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.core.errors import (
    EngineFailure,
    EngineUnavailable,
    TransientEngineFailure,
)
from stretto.contexts.processing.adapters.whisper.features import (
    FRAMES_PER_SECOND,
    FULL_FRAMES,
    log_mel,
)
from stretto.contexts.processing.adapters.whisper.memory import share_one_heap
from stretto.contexts.processing.adapters.whisper.quality import Candidate
from stretto.contexts.processing.adapters.whisper.runtime import Alignment, Device
from stretto.contexts.processing.adapters.whisper.vocabulary import Vocabulary
from stretto.contexts.processing.model import CancelToken, Samples

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from ctranslate2.models import Whisper

BEAM_SIZE: Final = 5
BEST_OF: Final = 5
MAXIMUM_TOKENS: Final = 448
TAIL_S: Final = 2.0
"""Silence behind the longest window of a batch, so that the model knows where to end."""


class CTranslateRuntime:
    """One loaded model. Methods are safe to call from many threads: CTranslate2 queues the work."""

    second_pass = (
        (0.0, True),
        (0.2, False),
        (0.4, False),
        (0.6, False),
        (0.8, False),
        (1.0, False),
    )
    batch_frames = 2 * FULL_FRAMES  # more is no faster on a processor, and a cancel waits for it

    def __init__(self, folder: Path, device: Device) -> None:
        share_one_heap()
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
        self._mel_bands = int(self._model.n_mels)

    def padded_frames(self, longest: int) -> int:
        """The longest window and a tail, at most 30 s.

        Whisper was trained on 30 s and is now and then misled by less; the second pass, which
        hears all 30 s, mends that for less than the padding of every window would cost.
        """
        return min(FULL_FRAMES, (longest + int(TAIL_S * FRAMES_PER_SECOND) + 1) // 2 * 2)

    def encode(self, windows: Sequence[Samples], frames: int, cancel: CancelToken) -> Heard:
        """On a processor one window at a time: a batch is no faster there, and the attention of
        each 30 s takes 54 MB while it is computed.
        """
        from ctranslate2 import StorageView

        rows = [self._features(samples, frames) for samples in windows]
        if self._on_gpu or len(rows) == 1:
            features = StorageView.from_array(np.concatenate(rows))
            return self._heard(_run(self._model.encode, features), len(rows))
        views = [_run(self._model.encode, StorageView.from_array(row)) for row in rows]
        joined = np.concatenate([np.asarray(view) for view in views])
        return self._heard(StorageView.from_array(joined), len(rows))

    def _heard(self, value: StorageView, size: int) -> Heard:
        return Heard(self._model, self.vocabulary, value, size)

    def _features(self, samples: Samples, frames: int) -> npt.NDArray[np.float32]:
        """Shape (1, mel bands, frames)."""
        return log_mel(samples, frames, bands=self._mel_bands)[None]


@dataclass(frozen=True, slots=True)
class Heard:
    """A batch of windows inside CTranslate2."""

    model: Whisper
    vocabulary: Vocabulary
    value: StorageView
    size: int

    def alone(self, number: int) -> None:
        """They are padded to the longest of their batch."""

    def languages(
        self,
    ) -> list[list[tuple[str, float]]]:
        """For each window Whisper's language codes with their probabilities, best first."""
        found = _run(self.model.detect_language, self.value)
        return [[(token[2:-2], float(p)) for token, p in window] for window in found]

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        cancel: CancelToken,
        *,
        temperature: float = 0.0,
    ) -> list[Candidate]:
        sampling: dict[str, Any] = {"beam_size": BEAM_SIZE}
        if temperature > 0:
            sampling = {
                "beam_size": 1,
                "num_hypotheses": BEST_OF,
                "sampling_topk": 0,
                "sampling_temperature": temperature,
            }
        results = _run(
            self.model.generate,
            self.value,
            [list(p) for p in prompts],
            max_length=MAXIMUM_TOKENS,
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
        start: Sequence[int],
        tokens: Sequence[Sequence[int]],
        frames: Sequence[int],
    ) -> list[Alignment]:
        said = [list(t) for t in tokens]
        results = _run(self.model.align, self.value, list(start), said, list(frames))
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
