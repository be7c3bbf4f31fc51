"""Wires the fleet: Celery, the workers that it calls, and who calls again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from stretto.bootstrap.broker import LaterMessages
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.queue.model import JobPriority
from stretto.contexts.queue.summons import Caller, Summons

if TYPE_CHECKING:
    from celery import Celery

    from stretto.bootstrap.database import Database
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
        from stretto.bootstrap.logs import follow
        from stretto.contexts.queue.called import CalledSource, CalledWorker

        source = CalledSource(queues)
        application = build(replace(self.settings, metrics_port=0))  # the first process answers
        worker = application.worker(
            concurrency=concurrency, queues=queues, source=source, stuck=_stuck
        )
        follow(application.events)
        application.monitoring.start("worker")

        def at_the_end() -> None:
            application.monitoring.close()
            application.archive.deliver_last()

        return CalledWorker(worker, source, at_the_end=at_the_end)

    def log_lines(self) -> logging.Formatter:
        """As the program writes its log: with ids, and without secrets."""
        from stretto.bootstrap.logs import formatter_of

        return formatter_of(self.settings)

    def caller(self, queues: tuple[JobPriority, ...], *, idle: Callable[[], bool]) -> Caller:
        """Sees to it that messages wait for all jobs that are ready, until this process ends;
        ``idle`` says whether this machine works on none."""
        from stretto.bootstrap import build_database
        from stretto.bootstrap.queueing import clock_of, terms_of
        from stretto.contexts.queue.adapters.celery_ready import SqlReadyJobs

        database = build_database(self.settings)
        _answer_prometheus(self.settings, database)
        return Caller(
            summons=Summons(messages=LaterMessages(self.settings.broker_url)),
            ready=SqlReadyJobs(database, clock=clock_of(database)),
            queues=queues,
            every_s=terms_of(self.settings).sweep_s,
            idle=idle,
            stuck=_stuck,
        )


def _answer_prometheus(settings: Settings, database: Database) -> None:
    """One place for a Celery worker, however many processes it has: each could tell of all, and
    none of those that work is there for ever. Raises Unavailable."""
    if settings.metrics and settings.metrics_port:
        from stretto.bootstrap.monitoring import build_service
        from stretto.contexts.monitoring.adapters.exporter import Exporter

        exposition = build_service(settings, database).exposition
        Exporter(exposition, host=settings.metrics_host, port=settings.metrics_port)


def _stuck() -> None:
    os._exit(1)
