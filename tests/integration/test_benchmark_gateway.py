"""The benchmark of the gateway works, and finds in small what it is meant to find in large."""

from __future__ import annotations

from benchmarks import gateway_answers, gateway_speed
from benchmarks.figures import Figure
from benchmarks.gateway_figures import QUICK
from benchmarks.sections import figures_table


def test_four_chunks_share_a_connection_and_take_little_longer_than_one() -> None:
    figures = {figure.what: figure for figure in gateway_speed.measured(QUICK)}
    assert figures["connections"].value == 1
    assert figures["handshakes besides the first"].value == 0
    at_once = figures["4 MB, one by one / at once"].more["at once, s"]
    assert figures["from the first start to the fourth"].value < at_once
    assert figures["three recordings / one, calls at once at most"].value <= 4
    assert set(figures) >= {
        "openai SDK in a loop / at once",
        "from the first start to the fourth",
        "memory above idle, wav",
        "memory above idle, flac",
        "gateway above the bare client, a chunk",
    }


def test_no_bad_answer_is_taken_and_one_bad_chunk_of_many_costs_itself() -> None:
    figures = {figure.what: figure for figure in gateway_answers.measured(QUICK)}
    assert figures["bad answers: taken for a transcript"].met
    assert figures["one chunk of many fails: kept"].met
    assert figures["one chunk of many fails: calls of the next run"].value == 1


def test_a_figure_that_was_missed_says_so_on_the_page() -> None:
    figure = Figure(what="speed", value=2.0, unit="×", wanted=3.5, at_least=True, more={"s": 4})
    table = figures_table([figure.row()])
    assert "| speed | 2 × | ≥ 3.5 × | **not met** | s: 4 |" in table
