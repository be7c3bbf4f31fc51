"""Whisper computed here: the encoder in onnxruntime, the decoder and its search in numpy.

Every window is heard as the model was trained to hear it, padded to 30 seconds. The weights are
those of the model folder; products with them are computed in eight bits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypedDict

import numpy as np

from stretto.contexts.core.errors import EngineUnavailable, TransientEngineFailure
from stretto.contexts.processing.adapters.whisper.alignment import path_through
from stretto.contexts.processing.adapters.whisper.beam_search import (
    Rules,
    Search,
    Text,
    Window,
)
from stretto.contexts.processing.adapters.whisper.decoder import (
    POSITIONS,
    Decoder,
    Listening,
    softmax,
)
from stretto.contexts.processing.adapters.whisper.encoder import (
    FRAMES_PER_STEP,
    POOLED_STEPS,
    Encoder,
)
from stretto.contexts.processing.adapters.whisper.features import (
    FRAMES_PER_SECOND,
    FULL_FRAMES,
    HOP,
    log_mel,
)
from stretto.contexts.processing.adapters.whisper.memory import (
    give_back_memory,
    return_large_blocks,
    share_one_heap,
)
from stretto.contexts.processing.adapters.whisper.quality import (
    MOST_TOKENS_PER_SECOND,
    Candidate,
)
from stretto.contexts.processing.adapters.whisper.runtime import Alignment
from stretto.contexts.processing.adapters.whisper.vocabulary import Vocabulary
from stretto.contexts.processing.adapters.whisper.weights import Array, Weights
from stretto.contexts.processing.model import CancelToken, Samples

WINDOWS_AT_ONCE: Final = 4
MULTILINGUAL_TOKENS: Final = 51_865
"""Models of English alone have a token less."""


@dataclass(slots=True)
class Heard:
    """A batch of windows: the encoder's output, one array for each, how many steps of it carry
    sound, and the texts that were found in them."""

    runtime: NativeRuntime
    windows: list[Array]
    steps: list[int]
    texts: list[dict[tuple[int, ...], Text]] = field(init=False)

    def __post_init__(self) -> None:
        self.texts = [{} for _ in self.windows]

    @property
    def size(self) -> int:
        return len(self.windows)

    def alone(self, number: int) -> Heard:
        """What is found in it then is found in the batch, too."""
        one = Heard(self.runtime, [self.windows[number]], [self.steps[number]])
        one.texts = [self.texts[number]]
        return one

    def languages(self) -> list[list[tuple[str, float]]]:
        tokens = self.runtime.vocabulary.languages
        found = []
        for window in self.windows:
            rows = self.runtime.decoder.rows(1, positions=1)
            rows.open()
            start = np.array([self.runtime.vocabulary.start_token])
            listening = Listening(self.runtime.decoder.listen(window), [0], 0)
            logits, _ = self.runtime.decoder.step(rows, start, [listening])
            odds = logits[0, list(tokens.values())]
            softmax(odds)
            pairs = zip(tokens, odds.tolist(), strict=True)
            found.append(sorted(pairs, key=lambda pair: -pair[1]))
        return found

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        cancel: CancelToken,
        *,
        temperature: float = 0.0,
    ) -> list[Candidate]:
        search = Search(
            self.runtime.decoder,
            self.runtime.rules,
            temperature=temperature,
            cancelled=cancel.raise_if_cancelled,
        )
        windows = [self._window(number, prompt) for number, prompt in enumerate(prompts)]
        _run(search, windows)
        return [
            self._candidate(number, window, temperature) for number, window in enumerate(windows)
        ]

    def align(
        self,
        start: Sequence[int],
        tokens: Sequence[Sequence[int]],
        frames: Sequence[int],
    ) -> list[Alignment]:
        prompt = self.runtime.vocabulary.prompt(start, "", timestamps=False)
        found: list[Alignment] = []
        for number, said in enumerate(tokens):
            text = self.texts[number].get(tuple(said))
            if text is None:
                window = self._window(number, prompt, forced=said)
                _run(Search(self.runtime.decoder, self.runtime.rules), [window])
                text = window.best
            steps = max(1, frames[number] // FRAMES_PER_STEP)
            attention = np.stack(text.attention, axis=1)[..., :steps].astype(np.float32)
            probabilities = np.exp(text.log_probabilities[: len(said)]).tolist()
            path = [(token, step * POOLED_STEPS) for token, step in path_through(attention)]
            found.append((path, probabilities))
        return found

    def _window(
        self,
        number: int,
        prompt: Sequence[int],
        *,
        forced: Sequence[int] | None = None,
    ) -> Window:
        steps = self.steps[number]
        seconds = steps * FRAMES_PER_STEP / FRAMES_PER_SECOND
        most = int(MOST_TOKENS_PER_SECOND * (seconds + 2))
        return Window(
            heard=self.runtime.decoder.listen(self.windows[number]),
            steps=steps,
            prompt=prompt,
            start=list(prompt).index(self.runtime.vocabulary.start_token),
            most_tokens=min(most, POSITIONS - len(prompt) - 1),
            forced=forced,
        )

    def _candidate(self, number: int, window: Window, temperature: float) -> Candidate:
        best = window.best
        self.texts[number][tuple(best.tokens)] = best
        return Candidate(
            tokens=tuple(best.tokens),
            text=self.runtime.vocabulary.text(best.tokens),
            log_probability=best.mean,
            no_speech_probability=window.no_speech,
            temperature=temperature,
        )


class Config(TypedDict, total=False):
    """What is used of a model folder's ``config.json``."""

    alignment_heads: list[list[int]]
    suppress_ids: list[int]
    suppress_ids_begin: list[int]


@dataclass(frozen=True, slots=True)
class _Speaking:
    """What makes text of what was heard."""

    vocabulary: Vocabulary
    decoder: Decoder
    rules: Rules


class NativeRuntime:
    """One loaded model on the processor."""

    second_pass = ((0.2, False), (0.4, False), (0.6, False), (0.8, False), (1.0, False))
    batch_frames = WINDOWS_AT_ONCE * FULL_FRAMES

    def __init__(self, folder: Path) -> None:
        share_one_heap()
        return_large_blocks()
        _one_thread_for_each_product()
        weights = Weights(folder / "model.bin")
        _, self._mel_bands, _ = weights.shape("encoder/conv1/weight")
        self.multilingual = weights.shape("decoder/projection/weight")[0] >= MULTILINGUAL_TOKENS
        pool = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        # Hearing takes as long as loading what speaks: whoever hears does not wait for it.
        self._speaking = pool.submit(_speaking, folder, weights)
        pool.shutdown(wait=False)
        self._encoder = Encoder(weights)
        weights.forget()

    @property
    def vocabulary(self) -> Vocabulary:
        return self._speaking.result().vocabulary

    @property
    def decoder(self) -> Decoder:
        return self._speaking.result().decoder

    @property
    def rules(self) -> Rules:
        return self._speaking.result().rules

    def padded_frames(self, longest: int) -> int:
        return FULL_FRAMES

    def encode(self, windows: Sequence[Samples], frames: int, cancel: CancelToken) -> Heard:
        encoded = []
        for samples in windows:
            cancel.raise_if_cancelled()
            encoded.append(self._encoder(log_mel(samples, frames, bands=self._mel_bands)))
        give_back_memory()  # what encoding took is not needed while decoding
        steps = [len(samples) // HOP // FRAMES_PER_STEP for samples in windows]
        return Heard(self, encoded, steps)


def _speaking(folder: Path, weights: Weights) -> _Speaking:
    config, vocabulary = _config(folder), Vocabulary(folder)
    layers, heads = weights.layers("decoder"), weights.number("decoder/num_heads")
    following = config.get("alignment_heads") or [
        [layer, head] for layer in range(layers // 2, layers) for head in range(heads)
    ]
    decoder = Decoder(weights, alignment_heads=following)
    weights.forget()
    return _Speaking(vocabulary, decoder, _rules(vocabulary, config, decoder.vocabulary_size))


def _run(search: Search, windows: Sequence[Window]) -> None:
    try:
        search.run(windows)
    except MemoryError as cause:
        raise TransientEngineFailure("The engine ran out of memory.") from cause


def _config(folder: Path) -> Config:
    try:
        found: Config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as cause:
        raise EngineUnavailable(
            f"The model in {folder} has no readable config.json ({cause}); install it again."
        ) from cause
    return found


def _rules(vocabulary: Vocabulary, config: Config, size: int) -> Rules:
    """Only text and the end may be said, without the symbols that the model's makers ruled out,
    and a text does not begin with a blank or its end (Whisper's ``suppress_blank``)."""
    always, first = np.zeros(size, np.float32), np.zeros(size, np.float32)
    always[config.get("suppress_ids", [])] = -np.inf
    always[vocabulary.end_of_text + 1 :] = -np.inf
    first[config.get("suppress_ids_begin", [])] = -np.inf
    return Rules(
        always=always,
        first=first,
        end=vocabulary.end_of_text,
        no_speech=vocabulary.no_speech_token,
    )


def _one_thread_for_each_product() -> None:
    """Windows are decoded side by side already; numpy's threads would only compete with them."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
