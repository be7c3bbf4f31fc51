"""Everything in the table of metrics moves when the program does what it is about: a day at a
service, in which all goes wrong that can, and the numbers afterwards.

The wiring is the program's own; it runs in this process, so that a day takes seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from stretto.application import Application
from stretto.bootstrap import build, build_database
from stretto.bootstrap.monitoring import Monitoring, build_monitoring
from stretto.contexts.caching.model import Selection
from stretto.contexts.core.bus import EventBus
from stretto.contexts.core.errors import StorageBusy
from stretto.contexts.core.identifiers import JobId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.monitoring.definitions import BY_NAME, METRICS
from stretto.contexts.monitoring.reading import Reading
from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import EVERY_QUEUE, FileWork, JobPriority
from stretto.settings import Settings
from tests.caches import RedisServer, redis_server
from tests.counting import CountingCrew
from tests.e2e.operators import Operator
from tests.fakes.backend import Backend, backend
from tests.fakes.backend_script import Call, Reply, refused
from tests.fakes.engine import MemoryEngine
from tests.mediagen import recorded_speech
from tests.servers import Server, copied
from tests.serving import Site, site

pytest.importorskip("fastapi")

MOVED: Final[dict[str, tuple[str, ...]]] = {
    "processing.files": ("complete", "partial", "failed", "cancelled", "recalled"),
    "processing.duration": ("short",),
    "processing.audio": (),
    "processing.engine": (),
    "processing.slowness": (),
    "processing.chunks": ("computed", "known", "failed"),
    "processing.chunk_duration": ("computed", "known"),
    "processing.chunks_in_flight": (),
    "processing.retries": (),
    "processing.gaps": (),
    "cache.lookups": ("L1", "L2", "L3", "miss"),
    "cache.saved": ("L1", "L2", "L3"),
    "cache.saved_bytes": ("L1", "L2", "L3"),
    "cache.entries": ("L1", "L2", "L3"),
    "cache.invalidated": (),
    "cache.trouble": ("L2",),
    "queue.depth": ("medium",),
    "queue.oldest": ("medium",),
    "queue.running": (),
    "queue.dead_letters": (),
    "queue.wait": ("medium",),
    "queue.events": (
        *("queued", "started", "retried", "handed_back", "completed", "failed", "cancelled"),
    ),
    "queue.leases_lost": (),
    "queue.workers": (),
    "gateway.calls": ("ok", "too_many", "refused", "failed", "not_made"),
    "gateway.latency": (),
    "gateway.retries": (),
    "gateway.breakers_open": (),
    "database.slow": (),
    "http.requests": ("jobs,status=2xx", "jobs,status=4xx", "page,status=2xx"),
    "http.latency": ("jobs", "page"),
    "machine.disk_free": (),
    "machine.disk_free_bytes": (),
    "process.up": ("worker", "serve"),
    "process.lost": ("worker",),
    "process.memory": (),
    "alerts.firing": ("critical",),
}
"""Of each metric those values of its first label that the day moves; none where it has no label."""

OF_A_POOL: Final = frozenset(
    {"database.connections", "database.pool_used", "database.waits", "database.refusals"}
)
"""SQLite has no pool: these are told by who works on PostgreSQL."""

SOON_S: Final = 60.0


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


@dataclass
class Day:
    """``seen`` holds the most that each series ever was."""

    settings: Settings
    service: Backend
    redis: RedisServer
    site: Site
    application: Application
    monitored: list[Monitoring]
    seen: dict[str, float] = field(default_factory=dict)
    _recordings: int = 0

    def look(self) -> None:
        for one in self.monitored:
            one.reporter.round()
            self.see(one.collector.reading())
        self.see(self.monitored[0].service.reading())

    def see(self, reading: Reading) -> None:
        counts = {key: sketch.count for key, sketch in reading.sketches.items()}
        for key, value in {**reading.values, **counts}.items():
            self.seen[key] = max(value, self.seen.get(key, 0.0))

    def moved(self, *series: str) -> bool:
        self.look()
        return all(self.seen.get(one) for one in series)

    def recording(self) -> str:
        """The same sound each time, in a file that nobody knows."""
        self._recordings += 1
        path = self.settings.home / f"talk-{self._recordings}.wav"
        path.write_bytes(recorded_speech().read_bytes() + b"junk" * self._recordings)
        return str(path)

    def submitted(self, path: str, **options: Any) -> JobId:
        """A job for the service, whatever engine the workers are set up for."""
        work = FileWork(path=path, engine="openai", model="whisper-1", **options)
        return self.site.serving.queue.submit(work, priority=JobPriority.MEDIUM).id

    def is_over(self, job: JobId, status: JobStatus) -> None:
        queue = self.site.serving.queue
        until(lambda: queue.get(job).is_over)
        assert queue.get(job).status is status, queue.get(job)

    def transcribed_elsewhere(self) -> None:
        """By a process that has nothing in its memory."""
        with build(replace(self.settings, engine="openai", model="whisper-1")) as elsewhere:
            elsewhere.transcribe(self.recording())

    def level_answers(self, level: str) -> None:
        """However slow Redis is on a busy machine: it is asked until it has answered once."""

        def answered() -> bool:
            self.transcribed_elsewhere()
            return self.moved(f"cache.lookups{{level={level}}}")

        until(answered)


def a_recording_is_transcribed_and_then_known(day: Day) -> None:
    def slowly(call: Call) -> Reply:
        day.see(day.monitored[0].collector.reading())
        return Reply(takes_s=0.1)

    day.service.script = slowly
    first = day.recording()
    waiting = day.submitted(first)
    day.look()  # it waits, and has been waiting
    with hands(day):
        until(lambda: day.site.serving.queue.get(waiting).status is not JobStatus.QUEUED)
        day.look()
        day.is_over(waiting, JobStatus.COMPLETED)
        day.is_over(day.submitted(first), JobStatus.COMPLETED)
        day.is_over(day.submitted(day.recording()), JobStatus.COMPLETED)  # chunks in memory


def redis_goes_away(day: Day) -> None:
    day.level_answers("L2")
    day.redis.stop()
    day.level_answers("L3")
    day.redis.start()


def the_service_has_enough_and_refuses_some(day: Day) -> None:
    day.application.cache.invalidate(Selection())
    with hands(day):
        answers = [refused(429, "slower", retry_after="0"), refused(400, "not this one")]
        day.service.script = lambda _: answers.pop(0) if answers else Reply()
        day.is_over(day.submitted(day.recording()), JobStatus.COMPLETED)  # with a gap


def the_key_is_not_accepted_and_the_job_is_given_up(day: Day) -> None:
    day.application.cache.invalidate(Selection())
    day.service.script = lambda _: refused(401, "who are you?")
    with hands(day):
        day.is_over(day.submitted(day.recording()), JobStatus.FAILED)


def the_service_is_down(day: Day) -> None:
    day.application.cache.invalidate(Selection())
    day.service.script = lambda _: refused(503, "down")
    queue, waiting = day.site.serving.queue, list[JobId]()

    def left_alone() -> bool:
        waiting.append(day.submitted(day.recording()))
        until(lambda: queue.get(waiting[-1]).outages)
        return day.moved("gateway.calls{outcome=not_made}", "gateway.breakers_open")

    with hands(day):
        until(left_alone)
        for job in waiting:  # they would wait for half an hour, and then be done with gaps
            queue.cancel(job)
            day.is_over(job, JobStatus.CANCELLED)


def an_engine_stumbles(day: Day) -> None:
    engine = MemoryEngine(transient_failures=1)
    processing = replace(day.application.processing, engine=engine)
    processing.process_file(Path(day.recording()), TranscriptionOptions())


def a_worker_vanishes_and_another_one_leaves_in_the_middle(day: Day) -> None:
    dispatcher = day.site.serving.queue.dispatcher
    day.service.script = lambda _: Reply(takes_s=SOON_S)
    job = day.submitted(day.recording())
    lease = replace(dispatcher.terms, lease_s=0.1)
    dispatcher.change(
        job, lambda j, now: transitions.claimed(j, now, holder="gone", lease=lease.lease(now))
    )
    with hands(day) as worker:
        until(lambda: worker.running())
        worker.abandon()
    day.site.serving.queue.cancel(job)


def people_look_at_the_page(day: Day) -> None:
    client = day.site.client()
    for path in ("/", "/api/jobs", "/api/jobs/nothing", "/metrics"):
        client.get(path)


def a_statement_is_slow(day: Day) -> None:
    with day.site.database.read() as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
            " SELECT count(*) FROM n"
        ).fetchone()


def a_worker_is_killed_and_people_are_told(day: Day) -> None:
    with CountingCrew(day.settings.home, size=1):
        pass
    operator = Operator(replace(day.settings, redis_url=""))
    with closing(operator.monitoring):
        operator.hears_of("worker-lost")
        operator.step()
        values = operator.monitoring.service.reading().values
        told = {k: v for k, v in values.items() if k.startswith(("process.lost", "alerts."))}
        day.see(Reading(told))


STORIES: Final = (
    a_recording_is_transcribed_and_then_known,
    redis_goes_away,
    the_service_has_enough_and_refuses_some,
    the_key_is_not_accepted_and_the_job_is_given_up,
    the_service_is_down,
    an_engine_stumbles,
    a_worker_vanishes_and_another_one_leaves_in_the_middle,
    people_look_at_the_page,
    a_statement_is_slow,
    a_worker_is_killed_and_people_are_told,
)


@contextmanager
def hands(day: Day) -> Iterator[Any]:
    """A worker that works while the block lasts."""
    worker = day.application.worker(concurrency=1, queues=EVERY_QUEUE)
    worker.register()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
        day.look()
    finally:
        worker.leave()
        thread.join(SOON_S)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def day(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("every-metric")
    home = copied(sqlite_template, folder / "home")
    with ExitStack() as everything:
        redis = everything.enter_context(redis_server(folder / "redis"))
        service = everything.enter_context(backend(folder))
        settings = Settings(
            home=home,
            model="tiny.en",
            offline=True,
            openai_url=service.url,
            remote_ca_file=str(service.authority_file(folder)),
            remote_call_s=15,
            redis_url=redis.url,
            slow_query_ms=10,
        )
        shown = everything.enter_context(site(home, settings={"slow_query_ms": 10}))
        application = everything.enter_context(build(settings))
        monitored: list[Any] = [
            application.monitoring.start("worker"),
            shown.serving.monitoring.start("serve"),
        ]
        day = Day(
            settings=settings,
            service=service,
            redis=redis,
            site=shown,
            application=application,
            monitored=monitored,
        )
        for story in STORIES:
            story(day)
            day.look()
        yield day


@pytest.mark.parametrize("metric", sorted(MOVED))
def test_what_a_metric_is_about_moves_it(day: Day, metric: str) -> None:
    label = next(iter(BY_NAME[metric].labels), "")
    wanted = [f"{metric}{{{label}={value}}}" for value in MOVED[metric]] or [metric]
    assert [key for key in wanted if not day.seen.get(key)] == []


def test_when_all_is_over_nothing_is_worked_on_any_more(day: Day) -> None:
    worker = day.monitored[0].collector
    until(lambda: worker.reading().values["processing.chunks_in_flight"] == 0)


def test_a_pool_tells_of_its_connections_and_of_those_who_wait_for_one(
    server: Server, postgres_template: str, tmp_path: Path
) -> None:
    with server.database(template=postgres_template) as address:
        settings = Settings(
            home=tmp_path,
            database_url=address.url,
            database_pool_min=0,
            database_pool_max=1,
            database_pool_overflow=0,
        )
        with closing(build_database(settings)) as database:
            monitoring = build_monitoring(settings, database, EventBus(), role="command")
            with closing(monitoring):
                with database.read(), pytest.raises(StorageBusy), database.read():
                    pass
                with database.read():
                    monitoring.reporter.round()
                found = monitoring.collector.reading().values
    assert found["database.connections{state=used}"] == 1
    assert found["database.pool_used"] == 1
    assert found["database.refusals"] >= 1
    assert found["database.waits"] > 0


def test_every_metric_of_the_table_has_something_that_moves_it() -> None:
    assert {one.name.value for one in METRICS} == MOVED.keys() | OF_A_POOL
