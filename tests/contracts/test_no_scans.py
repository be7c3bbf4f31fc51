"""No query that the program issues reads a table that grows from end to end, on either database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from stretto.contexts.caching.adapters.sql import SqlCacheStore
from stretto.contexts.caching.adapters.sql_records import (
    SqlInvalidationRecords,
    SqlLeases,
    SqlUseRecords,
)
from stretto.contexts.caching.model import CacheKey, CacheLevel, Selection, Use
from stretto.contexts.core.events import TranscriptDeleted
from stretto.contexts.core.identifiers import FileHash, Language, Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.database.adapters.group_commit import GroupCommit, Line
from stretto.contexts.database.adapters.outbox import OutboxWriter, SqlOutbox
from stretto.contexts.database.model import Dialect
from stretto.contexts.processing.adapters.audio_files import SqlAudioFiles
from stretto.contexts.processing.adapters.library import SqlTranscriptLibrary
from stretto.contexts.processing.adapters.search import SqlTranscriptSearch
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.library import Wanted as WantedTranscripts
from stretto.contexts.queue.adapters.celery_ready import SqlReadyJobs
from stretto.contexts.queue.model import EVERY_QUEUE, JobPriority, Look, Wanted
from stretto.contexts.queue.transitions import cancelled
from tests.fakes.caching import an_entry
from tests.fakes.clock import FakeClock
from tests.fakes.examples import AN_ENGINE, a_transcript, a_transcript_request, sha256_of
from tests.queues import TERMS, Queue, queue_on
from tests.servers import Database
from tests.unit.queue.jobs import a_submission, job_id

GROWING = {
    *("transcript", "segment", "segment_words", "audio_file", "queue_job"),
    *("cache_entry", "outbox_event", "outbox_receipt"),
}
SCANS = {"Seq Scan", "Index Scan", "Index Only Scan"}
READERS = ("SELECT", "UPDATE", "DELETE", "INSERT")


class Explaining:
    """A database that asks for the plan of each statement before it runs it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.statements: set[str] = set()
        self.scans: list[str] = []

    @contextmanager
    def read(self) -> Iterator[Explaining]:
        with self._database.read() as self._connection:
            yield self

    @contextmanager
    def write(self) -> Iterator[Explaining]:
        with self._database.write() as self._connection:
            yield self

    def transact(self, work: Callable[[Any], Any]) -> Any:
        with self.write():
            return work(self)

    def together(self, all_at_once: Callable[[Any, Sequence[Any]], Sequence[Any]]) -> GroupCommit:
        return GroupCommit(self, Line(), all_at_once=all_at_once)

    @property
    def is_writing(self) -> bool:
        return False

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, /) -> Any:
        if statement.split()[0] in READERS:
            self._explain(statement, values or {})
        return self._connection.execute(statement, values or {})

    def executemany(self, statement: str, rows: Sequence[Mapping[str, Any]], /) -> Any:
        if rows:
            self._explain(statement, rows[0])
        return self._connection.executemany(statement, rows)

    def _explain(self, statement: str, values: Mapping[str, Any]) -> None:
        self.statements.add(" ".join(statement.split()))
        scanned = (
            self._scanned_by_sqlite(statement, values)
            if self.dialect is Dialect.SQLITE
            else self._scanned_by_postgresql(statement, values)
        )
        self.scans += [f"{table}: {' '.join(statement.split())}" for table in scanned & GROWING]

    def _scanned_by_sqlite(self, statement: str, values: Mapping[str, Any]) -> set[str]:
        rows = self._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
        steps = [str(row[3]).split() for row in rows if "VIRTUAL TABLE" not in str(row[3])]
        # With a limit, an index may be read from its end until there is enough.
        enough = "LIMIT" in statement and any("INDEX" in step for step in steps)
        return set() if enough else {step[1] for step in steps if step[0] == "SCAN"}

    def _scanned_by_postgresql(self, statement: str, values: Mapping[str, Any]) -> set[str]:
        explain = f"EXPLAIN (FORMAT JSON) {statement}"
        (plan,) = self._connection.execute(explain, values).fetchone()
        found: set[str] = set()
        waiting = [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
        while waiting:
            node = waiting.pop()
            waiting += node.get("Plans", [])
            by_index = node["Node Type"].startswith("Index") and (
                "Index Cond" in node or "LIMIT" in statement
            )
            if "Relation Name" in node and not by_index and node["Node Type"] in SCANS:
                found.add(node["Relation Name"])
        return found


@pytest.fixture
def house(database: Database) -> Explaining:
    """Some rows in every table: with none, a scan is the right plan."""
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    queue = queue_on(database)
    answers = SqlCacheStore(database, now=FakeClock())
    with database.write():
        for number in range(300):
            store.keep(
                a_transcript_request(str(number)),
                a_transcript(
                    f"talk {number} about times",
                    id=TranscriptId(UUID(int=number)),
                    file_hash=FileHash(sha256_of(str(number))),
                    created_at_s=float(number),
                ),
            )
            queue.jobs.add(a_submission(number, key=str(number)))
            name = str(number % 100)
            answers.put(an_entry(str(number), source=name, engine=name, model=name, tag=name))
            SqlOutbox(database).add("reader", str(number), now=Timestamp(1.0))
    with database.write() as connection:
        connection.execute("ANALYZE")
        if database.dialect is Dialect.POSTGRESQL:
            # Of 300 rows a scan is cheap; the question is whether there is another way at all.
            name = connection.execute("SELECT current_database()").fetchone()[0]
            for way in ("seqscan", "hashjoin", "mergejoin"):
                connection.execute(f'ALTER DATABASE "{name}" SET enable_{way} = off')
    return Explaining(database)


def use_everything(house: Explaining) -> None:
    if house.dialect is Dialect.POSTGRESQL:
        house._database.pool._pool._engine.dispose()  # type: ignore[union-attr]
    store = SqlTranscriptStore(house, outbox=OutboxWriter())
    library = SqlTranscriptLibrary(house, outbox=OutboxWriter(), clock=FakeClock())
    answers, outbox = SqlCacheStore(house, now=FakeClock()), SqlOutbox(house)
    store.find(a_transcript_request("7"))
    store.get(TranscriptId(UUID(int=7)))
    store.recent(5)
    store.speed(AN_ENGINE)
    store.keep(a_transcript_request("new"), a_transcript("new"))
    SqlAudioFiles(house).get(FileHash(sha256_of("7")))
    for wanted in (
        WantedTranscripts(),
        WantedTranscripts(language=Language("en")),
        WantedTranscripts(status=TranscriptStatus.PARTIAL),
        WantedTranscripts(file_hash=FileHash(sha256_of("7"))),
    ):
        library.page(wanted)
    library.summary(TranscriptId(UUID(int=7)))
    for query in ("times", '"about times"', "tal*", "nothing"):
        SqlTranscriptSearch(house).search(query, limit=20)
    use_the_queue(queue_on(house), house)
    answers.get(CacheKey(sha256_of("7")))
    answers.put(an_entry("7"))
    answers.delete(CacheKey(sha256_of("8")))
    answers.most_used(5)
    answers.ranked(CacheKey(sha256_of("9")))
    invalidate_everything(house)
    library.delete(TranscriptId(UUID(int=7)))
    outbox.lease("me", now=Timestamp(1.0), seconds=1.0)
    page = outbox.waiting(after=0, limit=10)
    outbox.delivered([event.number for event in page], now=Timestamp(1.0))
    outbox.has("reader", "7")
    outbox.add("reader", "new", now=Timestamp(1.0))
    outbox.prune(before=Timestamp(2.0))


def use_the_queue(queue: Queue, house: Explaining) -> None:
    queue.jobs.add(a_submission(1000, key="7"))
    for turn in range(8):
        queue.claim(f"worker {turn % 3}", turn=turn)
    queue.claim(only=job_id(9))
    queue.jobs.soonest_s(EVERY_QUEUE)
    queue.jobs.hasten(300.0)
    SqlReadyJobs(house, clock=queue.clock).ready([JobPriority.LOW], limit=10)
    queue.jobs.waits(Look(queues=EVERY_QUEUE))
    for listed in (Wanted(), Wanted(status=JobStatus.QUEUED)):
        queue.jobs.page(listed)
    queue.jobs.held_by("worker 1")
    queue.jobs.need(FileHash(sha256_of("7")), owner="")
    queue.jobs.renew([(job_id(9), 1)], TERMS.lease)
    queue.clock.advance(31.0)
    queue.sweep()
    queue.jobs.change(job_id(8), cancelled)
    queue.jobs.delete(job_id(8))
    queue.jobs.delete_of(TranscriptId(UUID(int=7)))
    SqlOutbox(house).since(str(job_id(9)), after=0, limit=5)
    SqlOutbox(house).all_since(after=3, limit=5)
    SqlOutbox(house).of_kind(TranscriptDeleted, after=3)
    SqlOutbox(house).newest()


def invalidate_everything(house: Explaining) -> None:
    """The size of the cache is the one thing for which all of an index is read: once for each
    hundredth of the budget that is written."""
    answers, records = SqlCacheStore(house, now=FakeClock()), SqlInvalidationRecords(house)
    for selection in (
        Selection(source=FileHash(sha256_of("1"))),
        Selection(engine="2", model="2"),
        Selection(tag="3"),
        Selection(before=Timestamp(5.0)),
    ):
        answers.delete_struck(records.add(selection, at=Timestamp(1.0)))
    records.newest()
    records.since(2)
    SqlUseRecords(house).add(
        {CacheKey(sha256_of("7")): 1},
        [Use(level=CacheLevel.L3, engine="w", count=1)],
        at=Timestamp(1.0),
    )
    leases = SqlLeases(house, now=FakeClock())
    leases.take(CacheKey(sha256_of("7")), "me", seconds=1.0)
    leases.release(CacheKey(sha256_of("7")), "me")


def test_no_statement_of_the_program_reads_a_growing_table_from_end_to_end(
    house: Explaining,
) -> None:
    use_everything(house)
    assert house.scans == []
    assert len(house.statements) > 30
