"""The search, over a decoder whose every thought is written in a table."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from stretto.contexts.core.errors import Cancelled
from stretto.contexts.processing.adapters.whisper.beam_search import (
    WIDEST_BEAM,
    Rules,
    Search,
    Window,
)
from stretto.contexts.processing.adapters.whisper.decoder import Listening, Rows

END, START, SILENCE, SIZE = 0, 8, 9, 10

PAGE = resource.getpagesize()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


Opinion = Callable[[tuple[int, ...]], dict[int, float]]
"""The probabilities of the next token after the tokens said so far, the prompt left out."""


@dataclass
class TableDecoder:
    """Keeps what each row has said in its keys, so that a row moved or forked wrongly shows."""

    opinions: Sequence[Opinion]
    widest: int = 0
    steps: int = 0
    seen: list[int] = field(default_factory=list)

    def rows(self, most: int, *, positions: int) -> Rows:
        return Rows(layers=1, most=most, heads=1, depth=1, positions=positions, tokens=SIZE)

    def step(
        self, rows: Rows, tokens: np.ndarray, windows: Sequence[Listening]
    ) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        self.widest, self.steps = max(self.widest, rows.count), self.steps + 1
        logits = np.full((rows.count, SIZE), -30.0, np.float32)
        for window in windows:
            number = int(window.heard[0][0].item())
            for row in window.rows:
                at = rows.lengths[row]
                rows.keys[0, row, 0, at, 0] = tokens[row]
                said = tuple(int(t) for t in rows.keys[0, row, 0, : at + 1, 0] if t != START)
                for token, probability in self.opinions[number](said).items():
                    logits[row, token] = np.log(probability)
        rows.lengths[: rows.count] += 1
        attention = [[np.full((1, 4), tokens[row], np.float32)] for row in range(rows.count)]
        return logits, attention


def test_what_rows_have_not_said_takes_no_memory() -> None:
    rows = Rows(layers=4, most=40, heads=6, depth=64, positions=400, tokens=SIZE)
    before = resident_bytes()
    for _ in range(4):
        row = rows.open()
        rows.keys[:, row, :, :50] = rows.values[:, row, :, :50] = 1.0
    grown = resident_bytes() - before
    assert rows.keys.nbytes + rows.values.nbytes > 190e6
    assert grown < 4 * 2 * 24 * (50 * 256 + 2 * PAGE) + 4_000_000


def window(number: int = 0, *, most: int = 20, forced: Sequence[int] | None = None) -> Window:
    marker = np.array([[[number]]], np.float32)
    return Window(
        heard=((marker, marker),),
        steps=4,
        prompt=[START],
        start=0,
        most_tokens=most,
        forced=forced,
    )


def rules(*, first: Sequence[int] = ()) -> Rules:
    at_first = np.zeros(SIZE, np.float32)
    at_first[list(first)] = -np.inf
    return Rules(always=np.zeros(SIZE, np.float32), first=at_first, end=END, no_speech=SILENCE)


def search(decoder: TableDecoder, **options: object) -> Search:
    return Search(decoder, rules(), **options)  # type: ignore[arg-type]


def counting(upto: int) -> Opinion:
    """Sure of 1, 2, 3, ... and then of the end."""

    def opinion(said: tuple[int, ...]) -> dict[int, float]:
        return {END if len(said) == upto else len(said) + 1: 0.99, 7: 0.01}

    return opinion


def crossroads(said: tuple[int, ...]) -> dict[int, float]:
    """The first choice is the better one, and regretted."""
    if not said:
        return {1: 0.55, 2: 0.45}
    if said == (1,):
        return {3: 0.3, 4: 0.25, 5: 0.25, 6: 0.2}
    return {END: 0.9, 7: 0.1}


def test_where_the_model_is_sure_one_row_is_enough() -> None:
    decoder = TableDecoder([counting(5)])
    one = window()
    search(decoder).run([one])
    assert one.best.tokens == [1, 2, 3, 4, 5]
    assert decoder.widest == 1
    assert decoder.steps == 6


def test_where_it_hesitates_the_better_end_wins() -> None:
    one = window()
    search(TableDecoder([crossroads])).run([one])
    assert one.best.tokens == [2]
    assert one.best.total == pytest.approx(np.log(0.45) + np.log(0.9), abs=1e-3)


def test_without_a_margin_it_is_greedy() -> None:
    one = window()
    search(TableDecoder([crossroads]), margin=0.0).run([one])
    assert one.best.tokens[0] == 1


def test_the_beam_is_never_wider_than_five() -> None:
    decoder = TableDecoder([lambda said: dict.fromkeys(range(1, 8), 1 / 7)])
    one = window(most=6)
    search(decoder).run([one])
    assert decoder.widest == WIDEST_BEAM
    assert len(one.best.tokens) == 6


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_windows_side_by_side_do_not_disturb_one_another(order: tuple[int, ...]) -> None:
    opinions = [counting(3), crossroads, counting(6), crossroads]
    windows = [window(number) for number in order]
    search(TableDecoder(opinions)).run(windows)
    found = {number: w.best.tokens for number, w in zip(order, windows, strict=True)}
    assert found == {0: [1, 2, 3], 1: [2], 2: [1, 2, 3, 4, 5, 6], 3: [2]}


def test_each_token_and_the_end_have_the_attention_of_their_own_history() -> None:
    one = window()
    search(TableDecoder([counting(3)])).run([one])
    assert [int(a[0, 0]) for a in one.best.attention] == [START, 1, 2, 3]


def test_a_given_text_is_followed_and_judged() -> None:
    one = window(forced=[2, 5])
    search(TableDecoder([crossroads])).run([one])
    assert one.best.tokens == [2, 5]
    assert one.best.log_probabilities[0] == pytest.approx(np.log(0.45), abs=1e-3)
    assert one.best.log_probabilities[1] < -20
    assert len(one.best.attention) == 3


def test_a_text_ends_at_its_limit() -> None:
    one = window(most=4)
    search(TableDecoder([lambda said: {1: 1.0}])).run([one])
    assert one.best.tokens == [1, 1, 1, 1]


def test_what_may_not_come_first_does_not() -> None:
    one = window()
    decoder = TableDecoder([lambda said: {END: 0.9, 3: 0.1}])
    Search(decoder, rules(first=[END])).run([one])  # type: ignore[arg-type]
    assert one.best.tokens == [3]


def test_dice_fall_the_same_way_each_time() -> None:
    def said_at(temperature: float) -> list[int]:
        one = window()
        search(TableDecoder([crossroads]), temperature=temperature).run([one])
        return one.best.tokens

    assert said_at(0.8) == said_at(0.8)


def test_five_samples_are_drawn_and_the_most_probable_kept() -> None:
    decoder = TableDecoder([crossroads])
    one = window()
    search(decoder, temperature=1.0).run([one])
    assert decoder.widest == 5
    assert len(one.ended) == 5
    assert one.best.mean == max(text.mean for text in one.ended)


def test_silence_is_noted_at_the_start() -> None:
    one = window()
    search(TableDecoder([lambda said: {SILENCE: 0.75, END: 0.25}]), margin=0.0).run([one])
    assert one.no_speech == pytest.approx(0.75, abs=1e-3)


def test_a_cancel_ends_the_search() -> None:
    def refuse() -> None:
        raise Cancelled("no more")

    with pytest.raises(Cancelled):
        search(TableDecoder([counting(3)]), cancelled=refuse).run([window()])


@pytest.mark.parametrize(
    ("temperature", "shares"), [(1.0, [0.6, 0.3, 0.1, 0.0]), (0.5, [0.78, 0.2, 0.02, 0.0])]
)
def test_tokens_are_drawn_as_often_as_they_are_probable(
    temperature: float, shares: list[float]
) -> None:
    likely = np.log(np.array([0.6, 0.3, 0.1, 1e-30]), dtype=np.float32)
    likely[3] = -np.inf
    drawing = search(TableDecoder([]), temperature=temperature)
    drawn = np.bincount([drawing._sampled(likely) for _ in range(4000)], minlength=4) / 4000
    assert drawn[3] == 0
    assert np.allclose(drawn, shares, atol=0.03)
