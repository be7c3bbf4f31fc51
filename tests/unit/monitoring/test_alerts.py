"""An alert: from calm to firing and back, told once, whoever looks and however often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.events import AlertResolved, AlertTriggered, DomainEvent
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.monitoring.aggregation import Figure, Measure
from stretto.contexts.monitoring.alerts import (
    AlertRule,
    AlertState,
    AlertStatus,
    Severity,
    Threshold,
    advanced,
)
from stretto.contexts.monitoring.evaluating import AlertEvaluator
from stretto.contexts.monitoring.frames import rolled_up
from stretto.contexts.monitoring.notices import Changed, subject_of, text_of
from tests.fakes.monitoring import MemoryMonitoring
from tests.unit.monitoring.examples import START, a_frame, a_rule

DEAD = "queue.dead_letters"


class House:
    """Evaluators over one store; time goes on by ten seconds with each frame."""

    def __init__(self, *rules: AlertRule, evaluators: int = 1) -> None:
        self.store = MemoryMonitoring()
        self.events: list[DomainEvent] = []
        self.at = START
        self.evaluators = [
            AlertEvaluator(
                rules=rules, frames=self.store, states=self.store, publish=self.events.append
            )
            for _ in range(evaluators)
        ]

    def next(self, values: dict[str, float] | None = None, **timed: list[float]) -> None:
        self.store.add([a_frame(self.at, values, **timed)], [])
        self.at += 10
        for evaluator in self.evaluators:
            evaluator.evaluate(Timestamp(self.at))

    def status(self, rule: str = "dead-letters") -> AlertStatus:
        return self.store.all()[rule].status

    @property
    def told(self) -> list[tuple[str, bool]]:
        return [(a.rule, a.firing) for notice in self.store.told for a in notice.alerts]


def test_an_alert_fires_with_the_first_frame_in_which_its_condition_holds() -> None:
    house = House(a_rule())
    house.next({DEAD: 0})
    assert house.status() is AlertStatus.CALM
    house.next({DEAD: 1})
    assert house.status() is AlertStatus.FIRING
    (event,) = house.events
    assert isinstance(event, AlertTriggered)
    assert (event.alert_rule_id, event.metric_value, event.threshold) == ("dead-letters", 1, 0)


def test_people_are_told_once_that_it_began_and_once_that_it_is_over() -> None:
    house = House(a_rule())
    for dead in (1, 1, 5, 1, 0, 0):
        house.next({DEAD: dead})
    assert house.told == [("dead-letters", True), ("dead-letters", False)]
    assert [type(event) for event in house.events] == [AlertTriggered, AlertResolved]


def test_several_evaluators_tell_of_an_incident_once() -> None:
    house = House(a_rule(), evaluators=5)
    for dead in (1, 1, 0, 0, 1):
        house.next({DEAD: dead})
    assert house.told == [("dead-letters", True), ("dead-letters", False), ("dead-letters", True)]
    assert house.store.all()["dead-letters"].incidents == 2


def test_an_evaluator_that_looked_before_another_one_changed_something_changes_nothing() -> None:
    store = MemoryMonitoring()
    calm = AlertState(rule="r")
    firing = replace(calm, status=AlertStatus.FIRING, version=1)
    assert len(store.change([Changed(calm, firing)], lambda _: ())) == 1
    assert store.change([Changed(calm, firing)], lambda _: ()) == ()


def test_what_holds_for_too_short_a_time_is_never_told() -> None:
    house = House(a_rule(for_s=30))
    for dead in (1, 1, 1, 0):
        house.next({DEAD: dead})
    assert (house.told, house.events) == ([], [])


def test_what_holds_for_long_enough_fires_then() -> None:
    house = House(a_rule(for_s=30))
    for _ in range(3):
        house.next({DEAD: 1})
    assert house.status() is AlertStatus.PENDING
    house.next({DEAD: 1})
    assert house.status() is AlertStatus.FIRING


def test_a_value_that_trembles_at_the_threshold_rings_once() -> None:
    disk = Figure(metric="machine.disk_free", measure=Measure.LAST)
    house = House(a_rule("disk", figure=disk, threshold=Threshold(below=0.05, clear=0.08)))
    for free in (0.06, 0.04, 0.06, 0.04, 0.07, 0.04):
        house.next({"machine.disk_free": free})
    assert house.told == [("disk", True)]
    house.next({"machine.disk_free": 0.09})
    assert house.told == [("disk", True), ("disk", False)]


def test_nobody_is_told_in_a_silence_and_what_still_holds_is_told_after_it() -> None:
    house = House(a_rule())
    quiet = AlertState(rule="dead-letters", silenced_until=Timestamp(START + 35), version=1)
    house.store.change([Changed(AlertState(rule="dead-letters"), quiet)], lambda _: ())
    for _ in range(3):
        house.next({DEAD: 1})
    assert (house.status(), house.told) == (AlertStatus.FIRING, [])
    house.next({DEAD: 1})
    assert house.told == [("dead-letters", True)]


def test_of_what_began_and_ended_in_a_silence_nobody_hears() -> None:
    house = House(a_rule())
    quiet = AlertState(rule="dead-letters", silenced_until=Timestamp(START + 25), version=1)
    house.store.change([Changed(AlertState(rule="dead-letters"), quiet)], lambda _: ())
    for dead in (1, 0, 0, 0, 0):
        house.next({DEAD: dead})
    assert house.told == []


def test_alerts_of_a_group_are_told_in_one_message() -> None:
    oldest = Figure(metric="queue.oldest", measure=Measure.LAST)
    waits = a_rule("waits", figure=oldest, threshold=Threshold(above=600), group="queue")
    house = House(a_rule(group="queue"), waits, a_rule("alone"))
    house.next({DEAD: 1, "queue.oldest{priority=low}": 900})
    assert [sorted(a.rule for a in notice.alerts) for notice in house.store.told] == [
        ["dead-letters", "waits"],
        ["alone"],
    ]


def test_a_message_says_what_is_wrong_and_what_to_do() -> None:
    house = House(a_rule(group="queue", severity=Severity.CRITICAL))
    house.next({DEAD: 3})
    house.next({DEAD: 0})
    began, over = house.store.told
    assert subject_of(began) == "Stretto: queue: 1 alert (dead-letters)"
    assert text_of(began) == (
        "CRITICAL: dead-letters: Jobs were given up. (3, threshold 0)\n  What to do: Look at them."
    )
    assert subject_of(over) == "Stretto: queue: over (dead-letters)"
    assert text_of(over) == "OVER: dead-letters: Jobs were given up. (now 0)"


def test_when_nothing_is_recorded_any_more_the_alert_is_over() -> None:
    house = House(a_rule())
    house.next({DEAD: 1})
    for _ in range(7):
        house.next({})
    assert house.told == [("dead-letters", True), ("dead-letters", False)]


SLOW = a_rule(
    "slow",
    figure=Figure(metric="processing.slowness", measure=Measure.P50),
    threshold=Threshold(above=2, clear=1.5, of_usual=True),
    window_s=60,
    least=3,
)


def a_day(house: House, amount: float) -> None:
    """Yesterday's chunks, ten minutes by ten minutes."""
    fine = [a_frame(START - 86_400 + 600 * n, processing_slowness=[amount] * 3) for n in range(144)]
    house.store.add(rolled_up(fine, 600), [])


def test_twice_as_slow_as_usual_fires_and_a_little_slower_does_not() -> None:
    house = House(SLOW)
    a_day(house, 0.02)
    house.next(processing_slowness=[0.03, 0.03, 0.03])
    assert house.status("slow") is AlertStatus.CALM
    house.next(processing_slowness=[0.05] * 5)
    assert house.status("slow") is AlertStatus.FIRING


def test_two_slow_chunks_are_not_enough_to_say_so() -> None:
    house = House(SLOW)
    a_day(house, 0.02)
    house.next(processing_slowness=[9.0, 9.0])
    assert house.told == []


def test_without_a_yesterday_nothing_is_unusual() -> None:
    house = House(SLOW)
    house.next(processing_slowness=[9.0] * 10)
    assert house.told == []


def test_a_share_is_that_among_those_that_are_meant() -> None:
    errors = Figure(
        metric="processing.chunks",
        measure=Measure.SHARE,
        where={"outcome": ("failed",)},
        among={"outcome": ("computed", "failed")},
    )
    house = House(a_rule("errors", figure=errors, threshold=Threshold(above=0.05), least=5))
    counts = {
        "processing.chunks{outcome=computed}": 19.0,
        "processing.chunks{outcome=known}": 900.0,
    }
    house.next(counts)
    house.next({**counts, "processing.chunks{outcome=failed}": 5.0})
    assert house.told == [("errors", True)]


def test_an_alert_whose_rule_was_removed_does_not_fire_for_ever() -> None:
    house = House(a_rule())
    house.next({DEAD: 1})
    house.evaluators = [replace_rules(house.evaluators[0])]
    house.next({DEAD: 1})
    assert house.status() is AlertStatus.CALM


def replace_rules(evaluator: AlertEvaluator) -> AlertEvaluator:
    return AlertEvaluator(
        rules=(), frames=evaluator.frames, states=evaluator.states, publish=evaluator.publish
    )


@pytest.mark.parametrize(
    "wrong",
    [{}, {"above": 1.0, "below": 2.0}, {"above": 1.0, "clear": 2.0}, {"below": 1.0, "clear": 0.5}],
)
def test_a_threshold_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidOption):
        Threshold(**wrong)  # type: ignore[arg-type]


def test_nothing_changes_when_nothing_happens() -> None:
    calm = AlertState(rule="dead-letters")
    assert advanced(calm, a_rule(), 0.0, Timestamp(START)) is None
    firing = replace(calm, status=AlertStatus.FIRING, told=True)
    assert advanced(firing, a_rule(), 3.0, Timestamp(START)) is None
