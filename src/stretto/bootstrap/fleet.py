"""Wires the fleet: Celery, the workers that it calls, and who calls again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stretto.bootstrap.broker import LaterMessages
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.queue.model import JobPriority
from stretto.contexts.queue.summons import Caller, Summons

if TYPE_CHECKING:
    from celery import Celery

    from stretto.contexts.queue.called import CalledWorker
    from stretto.settings import Settings

SERVICES: Final = frozenset({"cloudru", "openai"})
"""Engines that wait for somebody else's computer: threads are enough for them."""


def celery_of(settings: Settings, modules: tuple[str, ...]) -> Celery:
    """Celery for the broker of ``settings``; each child process imports ``modules``. Raises
    InvalidOption without a broker."""
    if not settings.broker_url:
        raise InvalidOption(
            "Celery needs a broker: set STRETTO_BROKER_URL. See docs/howto/fleet.md."
        )
    from stretto.contexts.queue.adapters.celery_broker import an_app

    return an_app(settings.broker_url, modules=modules, pool=pool_of(settings))


def pool_of(settings: Settings) -> str:
    """Processes for what computes here, threads for what waits for a service."""
    computes = settings.align or settings.hedge not in {"", *SERVICES}
    return "threads" if settings.engine in SERVICES and not computes else "prefork"


@dataclass(frozen=True, slots=True)
class Wiring:
    """Makes the parts of a Celery worker."""

    settings: Settings

    @classmethod
    def of_this_process(cls) -> Wiring:
        """Raises InvalidOption."""
        from stretto.bootstrap import load_settings

        return cls(load_settings())

    def queue_named(self, name: str) -> JobPriority:
        """The priority whose queue at the broker has this name. Raises InvalidOption."""
        from stretto.contexts.queue.adapters.celery_broker import QUEUES

        known = {found: priority for priority, found in QUEUES.items()}
        if name not in known:
            raise InvalidOption(f"There is no queue {name[:64]!r}, only {', '.join(known)}.")
        return known[name]

    def called_worker(self, *, concurrency: int, queues: tuple[JobPriority, ...]) -> CalledWorker:
        """A worker for calls, until this process ends. Raises StrettoError."""
        from stretto.bootstrap import build
        from stretto.contexts.queue.called import CalledSource, CalledWorker

        source = CalledSource(queues)
        application = build(self.settings)
        worker = application.worker(
            concurrency=concurrency, queues=queues, source=source, stuck=_stuck
        )
        return CalledWorker(worker, source)

    def caller(self, queues: tuple[JobPriority, ...], *, idle: Callable[[], bool]) -> Caller:
        """Sees to it that messages wait for all jobs that are ready, until this process ends;
        ``idle`` says whether this machine works on none."""
        from stretto.bootstrap import build_database
        from stretto.bootstrap.queueing import clock_of, terms_of
        from stretto.contexts.queue.adapters.celery_ready import SqlReadyJobs

        database = build_database(self.settings)
        return Caller(
            summons=Summons(messages=LaterMessages(self.settings.broker_url)),
            ready=SqlReadyJobs(database, clock=clock_of(database)),
            queues=queues,
            every_s=terms_of(self.settings).sweep_s,
            idle=idle,
            stuck=_stuck,
        )


def _stuck() -> None:
    os._exit(1)
