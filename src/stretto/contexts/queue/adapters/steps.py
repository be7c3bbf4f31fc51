"""What can be wanted of the table of jobs; what several want at once is done in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stretto.contexts.core.identifiers import JobId
from stretto.contexts.queue.adapters.connections import Clock, Connection, Outbox
from stretto.contexts.queue.adapters.transaction import Decide, JobTransaction, Take
from stretto.contexts.queue.model import Look, Submission


@dataclass(frozen=True, slots=True, eq=False)
class Adding:
    submission: Submission


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claiming:
    looks: tuple[Look, ...]
    take: Take
    suspects: bool
    only: JobId | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changing:
    job_id: JobId
    decide: Decide
    alongside: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Doing:
    """Whatever else there is to write about jobs."""

    work: Callable[[JobTransaction], Any]


Step = Adding | Claiming | Changing | Doing


class JobSteps:
    """Does the steps of several callers in one transaction: those of a kind together."""

    def __init__(self, *, outbox: Outbox, clock: Clock, server: bool) -> None:
        self._outbox = outbox
        self._clock = clock
        self._server = server

    def run(self, connection: Connection, steps: Sequence[Step]) -> list[Any]:
        """The answer of each. What one of them raises is raised: none of them is done then.

        Changes come first: only they may have to wait for somebody, and nothing is held by then.
        """
        jobs = JobTransaction(
            connection, outbox=self._outbox, clock=self._clock, server=self._server
        )
        answers: dict[Step, Any] = {}
        answers |= _changed(jobs, [step for step in steps if isinstance(step, Changing)])
        answers |= _done(jobs, [step for step in steps if isinstance(step, Doing)])
        answers |= _added(jobs, [step for step in steps if isinstance(step, Adding)])
        answers |= _claimed(jobs, [step for step in steps if isinstance(step, Claiming)])
        jobs.write()
        return [answers[step] for step in steps]


def _changed(jobs: JobTransaction, steps: Sequence[Changing]) -> dict[Step, Any]:
    jobs.lock({step.job_id for step in steps})
    return {step: jobs.change(step.job_id, step.decide, alongside=step.alongside) for step in steps}


def _done(jobs: JobTransaction, steps: Sequence[Doing]) -> dict[Step, Any]:
    answers: dict[Step, Any] = {}
    for step in steps:
        jobs.flush()
        answers[step] = step.work(jobs)
    return answers


def _added(jobs: JobTransaction, steps: Sequence[Adding]) -> dict[Step, Any]:
    """In the order of their keys: two who add the same ones do not wait for each other in turn."""
    ordered = sorted(steps, key=lambda step: step.submission.key)
    return {step: jobs.add(step.submission) for step in ordered}


def _claimed(jobs: JobTransaction, steps: Sequence[Claiming]) -> dict[Step, Any]:
    alike: dict[object, list[Claiming]] = {}
    for step in steps:
        alike.setdefault((step.looks, step.suspects, step.only), []).append(step)
    answers: dict[Step, Any] = {}
    for claims in alike.values():
        takes, first = [claim.take for claim in claims], claims[0]
        found = jobs.claim(first.looks, takes, suspects=first.suspects, only=first.only)
        answers |= zip(claims, found, strict=True)
    return answers
