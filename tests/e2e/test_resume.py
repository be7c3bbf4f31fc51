"""A run that was killed loses only what was in its hands at that moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.program import Finished, kept, started, stretto, wait_until_something_is_kept
from tests.e2e.recordings import TIMES_IN_LONG, word_error_rate

# With a given language no answer is kept for finding it: all that is kept are windows, and the
# chunk at the end.
OPTIONS = ("--language", "en", "--format", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A killed run, the same command after it, and what was on the disk after each."""

    exit_code: int
    left_in_output: tuple[str, ...]
    before: dict[str, float]
    again: Finished
    after: dict[str, float]


@pytest.fixture(scope="module")
def resumed(long_recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    home, results = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("results")
    arguments = ("transcribe", long_recording, *OPTIONS)
    process = started(*arguments, "--output", results / "long.json", home=home)
    wait_until_something_is_kept(process, home)
    process.kill()
    process.communicate()
    left, before = tuple(path.name for path in results.iterdir()), kept(home)
    return Resumed(
        exit_code=process.returncode,
        left_in_output=left,
        before=before,
        again=stretto(*arguments, home=home),
        after=kept(home),
    )


def test_after_a_kill_the_next_run_computes_only_what_is_missing(resumed: Resumed) -> None:
    before, after = resumed.before, resumed.after
    assert resumed.exit_code == -9
    assert len(after) > len(before) + 1, "there was nothing left to do"
    assert {key: after[key] for key in before} == before  # computed again, they would be younger


def test_after_a_kill_the_next_run_gives_the_whole_text(resumed: Resumed) -> None:
    assert resumed.again.code == 0, resumed.again.err
    document = resumed.again.document
    assert document["status"] == "complete"
    assert word_error_rate(document["text"], times=TIMES_IN_LONG) <= 0.05


def test_a_kill_leaves_no_half_written_result(resumed: Resumed) -> None:
    assert resumed.left_in_output == ()


def test_after_a_kill_the_answer_says_that_part_of_it_was_known(resumed: Resumed) -> None:
    assert resumed.again.document["cache"]["recalled_s"] > 0
