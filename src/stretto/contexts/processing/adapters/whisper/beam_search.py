"""Searches for the most probable text of several windows at once.

The beam is as wide as it has to be: where the model is sure, one hypothesis is followed; where it
hesitates, up to five, as long as they are not much less probable than the best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from stretto.contexts.processing.adapters.whisper.decoder import (
    Decoder,
    Heard,
    Listening,
    Rows,
    softmax,
)
from stretto.contexts.processing.adapters.whisper.weights import Array

WIDEST_BEAM: Final = 5
NARROW: Final = 0.7
"""A hypothesis is dropped when the best one is exp(0.7), about twice, as probable."""

SAMPLES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which tokens may be said: ``always`` and ``first`` are added to the logits of every and of
    the first token, 0 or minus infinity, shape (vocabulary,). ``end`` ends a text."""

    always: Array
    first: Array
    end: int
    no_speech: int


@dataclass(slots=True, kw_only=True)
class Text:
    """What was found for one window. ``attention``: one array (heads, steps) for each token and
    one for the end, in half precision: a batch keeps some thousand of them."""

    tokens: list[int]
    log_probabilities: list[float]
    attention: list[npt.NDArray[np.float16]]

    @property
    def total(self) -> float:
        return sum(self.log_probabilities)

    @property
    def mean(self) -> float:
        """The mean log-probability of a token, the end counted."""
        return self.total / len(self.log_probabilities) if self.log_probabilities else 0.0


@dataclass(slots=True, kw_only=True)
class Hypothesis:
    """One row of the decoder and what it has said since the prompt."""

    row: int
    text: Text
    total: float = 0.0

    def said(self, token: int, log_probability: float, *, end: bool) -> Text:
        """Its text after one more token; the end of the text is no token of it."""
        tokens = self.text.tokens if end else [*self.text.tokens, token]
        return Text(
            tokens=tokens,
            log_probabilities=[*self.text.log_probabilities, log_probability],
            attention=self.text.attention,
        )


@dataclass(slots=True, kw_only=True)
class Window:
    """One window on its way: first its prompt is fed, then its hypotheses grow.

    ``forced`` is a text to follow instead of searching. ``no_speech`` is the probability, after
    the token at ``start`` of the prompt, that nobody speaks.
    """

    heard: Heard
    steps: int
    prompt: Sequence[int]
    start: int
    most_tokens: int
    forced: Sequence[int] | None = None
    fed: int = 0
    no_speech: float = 0.0
    hypotheses: list[Hypothesis] = field(default_factory=list)
    ended: list[Text] = field(default_factory=list)

    @property
    def best(self) -> Text:
        return max(self.ended, key=lambda text: text.mean)


Choice = tuple[float, int, float, Hypothesis]
"""A continuation: its total log-probability, its token, the token's own, and what it continues."""


class Search:
    """Runs windows to their end, all side by side."""

    def __init__(
        self,
        decoder: Decoder,
        rules: Rules,
        *,
        temperature: float = 0.0,
        margin: float = NARROW,
        cancelled: Callable[[], None] = lambda: None,
    ) -> None:
        self._decoder = decoder
        self._rules = rules
        self._temperature = temperature
        self._margin = margin
        self._cancelled = cancelled
        # Always the same dice: the same sound has the same text.
        self._dice = np.random.default_rng(0)

    def run(self, windows: Sequence[Window]) -> None:
        """Until each window has a best text. ``cancelled`` is called at each step and may raise."""
        width = SAMPLES if self._temperature else WIDEST_BEAM
        longest = max(len(w.prompt) + max(w.most_tokens, len(w.forced or ())) for w in windows) + 2
        # Twice the width: hypotheses fork before those that are given up make room.
        rows = self._decoder.rows(2 * width * len(windows), positions=longest)
        for window in windows:
            window.hypotheses = [
                Hypothesis(row=rows.open(), text=_nothing())
                for _ in range(SAMPLES if self._temperature else 1)
            ]
        active = list(windows)
        while active:
            self._cancelled()
            self._step(rows, active)
            active = [w for w in active if w.hypotheses]

    def _step(self, rows: Rows, active: Sequence[Window]) -> None:
        tokens = np.zeros(rows.count, np.int64)
        for window in active:
            for hypothesis in window.hypotheses:
                tokens[hypothesis.row] = _next_token(window, hypothesis)
        listening = [Listening(w.heard, [h.row for h in w.hypotheses], w.steps) for w in active]
        logits, attention = self._decoder.step(rows, tokens, listening)
        self._note_silence(active, logits)
        likely = self._log_probabilities(active, logits, rows.scratch[: len(logits)])
        closed: list[Hypothesis] = []
        for window in active:
            window.fed += 1
            if window.fed < len(window.prompt):
                continue
            for hypothesis in window.hypotheses:
                followed = np.concatenate(attention[hypothesis.row], dtype=np.float16)
                hypothesis.text.attention.append(followed)
            closed += self._grow(window, rows, likely)
        self._close(rows, closed, active)

    def _note_silence(self, active: Sequence[Window], logits: Array) -> None:
        for window in active:
            if window.fed == window.start:
                odds = logits[window.hypotheses[0].row].copy()
                softmax(odds)
                window.no_speech = float(odds[self._rules.no_speech])

    def _log_probabilities(self, active: Sequence[Window], logits: Array, scratch: Array) -> Array:
        """In place: what may not be said has minus infinity."""
        logits += self._rules.always
        for window in active:
            if window.fed == len(window.prompt) - 1 and window.forced is None:
                logits[[h.row for h in window.hypotheses]] += self._rules.first
        logits -= logits.max(1, keepdims=True)
        np.exp(logits, out=scratch)
        logits -= np.log(scratch.sum(1, keepdims=True))
        return logits

    def _grow(self, window: Window, rows: Rows, likely: Array) -> list[Hypothesis]:
        """Continue the hypotheses of one window; returns those that are given up."""
        kept: dict[int, list[Choice]] = {}
        for total, token, own, hypothesis in list(self._choices(window, likely)):
            if token == self._rules.end:
                window.ended.append(hypothesis.said(token, own, end=True))
            else:
                kept.setdefault(id(hypothesis), []).append((total, token, own, hypothesis))
        closed = [h for h in window.hypotheses if id(h) not in kept]
        grown = [new for group in kept.values() for new in self._continued(rows, group)]
        window.hypotheses = grown
        if grown and len(grown[0].text.tokens) >= window.most_tokens and window.forced is None:
            window.ended += [h.text for h in grown]
            window.hypotheses = []
            closed += grown
        return closed

    def _continued(self, rows: Rows, group: Sequence[Choice]) -> Iterator[Hypothesis]:
        """The continuations of one hypothesis: the first takes over its row, others fork it."""
        forks = [rows.fork(group[0][3].row) for _ in group[1:]]
        for (total, token, own, parent), row in zip(group, [group[0][3].row, *forks], strict=True):
            said = parent.said(token, own, end=False)
            said.attention = list(said.attention)
            yield Hypothesis(row=row, text=said, total=total)

    def _choices(self, window: Window, likely: Array) -> Iterator[Choice]:
        if window.forced is not None:
            (hypothesis,) = window.hypotheses
            said = len(hypothesis.text.tokens)
            token = window.forced[said] if said < len(window.forced) else self._rules.end
            own = float(likely[hypothesis.row, token])
            yield hypothesis.total + own, token, own, hypothesis
            return
        if self._temperature:
            for hypothesis in window.hypotheses:
                token = self._sampled(likely[hypothesis.row])
                own = float(likely[hypothesis.row, token])
                yield hypothesis.total + own, token, own, hypothesis
            return
        yield from self._best(window, likely)

    def _best(self, window: Window, likely: Array) -> Iterator[Choice]:
        """The best continuations; none once the best of all is to end."""
        found: list[Choice] = []
        for hypothesis in window.hypotheses:
            own = likely[hypothesis.row]
            near = np.flatnonzero(own >= own.max() - self._margin)
            found += [
                (hypothesis.total + float(own[token]), int(token), float(own[token]), hypothesis)
                for token in near
            ]
        found.sort(key=lambda choice: -choice[0])
        top = found[0]
        near_top = [c for c in found[:WIDEST_BEAM] if c[0] >= top[0] - self._margin]
        over = top[1] == self._rules.end
        yield from (c for c in near_top if not over or c[1] == self._rules.end)

    def _sampled(self, likely: Array) -> int:
        """One number between 0 and the sum of all odds falls into the part of one token."""
        odds = np.exp((likely - likely.max()) / self._temperature)
        upto = np.cumsum(odds, dtype=np.float64)
        return int(np.searchsorted(upto, self._dice.random() * upto[-1], side="right"))

    def _close(self, rows: Rows, closed: Sequence[Hypothesis], active: Sequence[Window]) -> None:
        """Free rows from the highest down; whoever stood last moves into the hole."""
        if not closed:
            return
        holders = {h.row: h for window in active for h in window.hypotheses}
        for hypothesis in sorted(closed, key=lambda h: -h.row):
            moved = rows.close(hypothesis.row)
            if moved != hypothesis.row and moved in holders:
                holder = holders.pop(moved)
                holder.row = hypothesis.row
                holders[holder.row] = holder


def _next_token(window: Window, hypothesis: Hypothesis) -> int:
    if window.fed < len(window.prompt):
        return window.prompt[window.fed]
    return hypothesis.text.tokens[-1]


def _nothing() -> Text:
    return Text(tokens=[], log_probabilities=[], attention=[])
