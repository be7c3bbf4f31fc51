"""A process is known to be gone only where that can be known."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stretto.contexts.caching.adapters.processes import is_dead, mark

PRINT = "from stretto.contexts.caching.adapters.processes import mark; print(mark(), flush=True)"


def test_this_process_lives() -> None:
    assert mark()
    assert mark() == mark()
    assert not is_dead(mark())


def test_a_process_that_was_killed_is_dead_before_and_after_its_parent_buries_it() -> None:
    code = f"{PRINT}; import time; time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        theirs = process.stdout.readline().strip()
        assert theirs
        assert not is_dead(theirs)
        process.kill()
        while not is_dead(theirs):
            pass  # the test is given up if that never comes
        process.wait()
        assert is_dead(theirs)


def test_a_number_that_was_given_again_is_another_process() -> None:
    place, _, started = mark().rpartition(":")
    assert is_dead(f"{place}:{int(started) - 1}")


@pytest.mark.parametrize("theirs", ["", "one", "another-boot:1:1:1", "::0:1"])
def test_of_a_process_elsewhere_nothing_is_known(theirs: str) -> None:
    assert not is_dead(theirs)
    assert not is_dead(f"{theirs}:{mark()}")
