"""A transaction that was undone by a conflict is done again, a few times; nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from stretto.contexts.core.errors import StorageBusy, StorageUnavailable, StrettoError
from stretto.contexts.database.retrying import ConflictRetry

CONFLICT = StorageBusy("somebody was in the way")


@dataclass
class Work:
    """Fails with one of ``errors`` after the other, then answers."""

    errors: list[StrettoError] = field(default_factory=list)
    calls: int = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def run(work: Callable[[], str], waits: list[float], *, dice: float = 1.0) -> str:
    retry = ConflictRetry(attempts=4, dice=lambda: dice, sleep=waits.append)
    return retry.run(work, undone=lambda error: error is CONFLICT)


def test_what_succeeds_is_done_once_and_waits_for_nothing() -> None:
    work, waits = Work(), list[float]()
    assert run(work, waits) == "done"
    assert (work.calls, waits) == (1, [])


def test_a_conflict_is_tried_again_after_waits_that_may_double() -> None:
    work, waits = Work([CONFLICT] * 3), list[float]()
    assert run(work, waits) == "done"
    assert work.calls == 4
    assert waits == pytest.approx([0.04, 0.08, 0.16])


def test_the_dice_may_say_not_to_wait_at_all() -> None:
    waits: list[float] = []
    run(Work([CONFLICT]), waits, dice=0.0)
    assert waits == [0.0]


def test_a_conflict_that_never_ends_is_the_callers() -> None:
    work, waits = Work([CONFLICT] * 9), list[float]()
    with pytest.raises(StorageBusy, match="in the way"):
        run(work, waits)
    assert (work.calls, len(waits)) == (4, 3)


@pytest.mark.parametrize("error", [StorageBusy("no connection"), StorageUnavailable("away")])
def test_any_other_trouble_is_not_tried_again(error: StrettoError) -> None:
    work = Work([error])
    with pytest.raises(type(error)):
        run(work, [])
    assert work.calls == 1


def test_no_wait_is_longer_than_the_cap() -> None:
    waits: list[float] = []
    retry = ConflictRetry(attempts=12, dice=lambda: 1.0, sleep=waits.append)
    retry.run(Work([CONFLICT] * 11), undone=lambda _: True)
    assert max(waits) == 0.5
