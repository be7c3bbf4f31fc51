"""The outbox in three tables: events, who has heard of them, and who may deliver."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any, Final, Protocol, TypeVar

import msgspec

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.model import Dialect, OutboxEvent
from stretto.contexts.database.ports import DatabaseConnection, Value

Result = TypeVar("Result")

WRITTEN_WITHIN_S: Final = 10.0
"""So long after an event got its number its transaction is over: it waits for nobody for longer."""

CLOCKS_WITHIN: Final = 2.0
"""A right that ends further ahead than so many times what it lasts for was written by a clock that
was wrong, or set back since: it is nobody's."""

logger = logging.getLogger(__name__)


class Database(Protocol):
    """Either of the two databases; ``transact`` may do its work again after a conflict."""

    @property
    def dialect(self) -> Dialect: ...

    def read(self) -> AbstractContextManager[Any]: ...

    def transact(self, work: Callable[[Any], Result], /) -> Result: ...


class OutboxWriter:
    """Writes in transactions of others; ``wrote`` hears that there may be something to deliver."""

    def __init__(self, *, wrote: Callable[[], object] = lambda: None) -> None:
        self._wrote = wrote

    def append(self, connection: DatabaseConnection, stream: str, /, *events: DomainEvent) -> None:
        """With the transaction of ``connection`` the events are there, or are not."""
        self.append_all(connection, [(stream, event) for event in events])

    def append_all(
        self, connection: DatabaseConnection, told: Sequence[tuple[str, DomainEvent]], /
    ) -> None:
        """The same for events of several streams, in one go."""
        if not told:
            return
        rows: list[dict[str, Value]] = [
            {
                "id": str(uuid.uuid4()),
                "stream": stream,
                "kind": type(event).__name__,
                "payload": msgspec.json.encode(event).decode(),
                "created_at": event.at.unix_s,
            }
            for stream, event in told
        ]
        if len(rows) == 1:
            connection.execute(_APPEND, rows[0])
        else:
            connection.executemany(_APPEND, rows)
        self._wrote()

    def forget(self, connection: DatabaseConnection, stream: str, /) -> None:
        """Delete the events of ``stream`` that everybody has heard of."""
        connection.execute(_FORGET, {"stream": stream})


def receive(connection: DatabaseConnection, consumer: str, event_id: str, now: Timestamp) -> bool:
    """Whether ``consumer`` hears of the event for the first time.

    In the transaction of the effect it makes the effect happen exactly once.
    """
    row: dict[str, str | int | float | bytes | None]
    row = {"consumer": consumer, "event_id": event_id, "now": now.unix_s}
    return connection.execute(_RECEIVE, row).rowcount == 1


class SqlOutbox:
    """Satisfies the ports Outbox and Receipts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(self, holder: str, *, now: Timestamp, seconds: float) -> bool:
        with self._database.read() as connection:
            # Nearly always there is nothing to deliver, and that is to cost no write.
            if connection.execute(_ANY_WAITING).fetchone() is None:
                return False
        row: dict[str, Value] = {
            "holder": holder,
            "now": now.unix_s,
            "until": now.unix_s + seconds,
            "beyond": now.unix_s + CLOCKS_WITHIN * seconds,
        }
        return self._database.transact(lambda c: bool(c.execute(_LEASE, row).rowcount == 1))

    def give_back(self, holder: str) -> None:
        self._database.transact(lambda c: c.execute(_GIVE_BACK, {"holder": holder}).rowcount)

    def waiting(self, *, after: int, limit: int) -> tuple[OutboxEvent, ...]:
        with self._database.read() as connection:
            rows = connection.execute(_WAITING, {"after": after, "limit": limit}).fetchall()
        return tuple(_event(*row) for row in rows)

    def since(self, stream: str, *, after: int, limit: int) -> tuple[OutboxEvent, ...]:
        """The events of one stream with numbers above ``after``, delivered or not, in order."""
        values = {"stream": stream, "after": after, "limit": limit}
        with self._database.read() as connection:
            rows = connection.execute(_SINCE, values).fetchall()
        return tuple(_event(*row) for row in rows)

    def all_since(self, *, after: int, limit: int) -> tuple[OutboxEvent, ...]:
        """The events of all streams with numbers above ``after``. Transactions that write at the
        same time end in another order than they got their numbers in; so where a number is missing,
        what comes behind it waits until nobody can be writing it any more."""
        values = {"after": after, "limit": limit}
        with self._database.read() as connection:
            if self._database.dialect is Dialect.SQLITE:  # one writes after the other
                return tuple(_event(*row) for row in connection.execute(_ALL_SINCE, values))
            rows = connection.execute(_ALL_SINCE_WITH_AGE, values).fetchall()
        settled = []
        for *row, age_s in rows:
            if row[0] != after + 1 and age_s < WRITTEN_WITHIN_S:
                break
            after = row[0]
            settled.append(_event(*row))
        return tuple(settled)

    def of_kind(self, kind: type[DomainEvent], *, after: int) -> tuple[OutboxEvent, ...]:
        """The events of one kind with numbers above ``after``, delivered or not, in order. What is
        being written just now may have a smaller number."""
        values = {"kind": kind.__name__, "after": after}
        with self._database.read() as connection:
            rows = connection.execute(_OF_KIND, values).fetchall()
        return tuple(_event(*row) for row in rows)

    def newest(self) -> int:
        with self._database.read() as connection:
            row = connection.execute(_NEWEST).fetchone()
        return int(row[0]) if row else 0

    def delivered(self, numbers: Sequence[int], *, now: Timestamp) -> None:
        rows = [{"number": number, "now": now.unix_s} for number in numbers]
        if rows:
            self._database.transact(lambda c: c.executemany(_DELIVERED, rows))

    def prune(self, *, before: Timestamp) -> int:
        def work(connection: DatabaseConnection) -> int:
            connection.execute(_PRUNE_RECEIPTS, {"before": before.unix_s})
            return connection.execute(_PRUNE, {"before": before.unix_s}).rowcount

        return self._database.transact(work)

    def has(self, consumer: str, event_id: str) -> bool:
        with self._database.read() as connection:
            row = {"consumer": consumer, "event_id": event_id}
            return connection.execute(_HAS_RECEIPT, row).fetchone() is not None

    def add(self, consumer: str, event_id: str, *, now: Timestamp) -> None:
        self._database.transact(lambda c: receive(c, consumer, event_id, now))


_decoders: Final[dict[type[DomainEvent], msgspec.json.Decoder[Any]]] = {}
_making_one: Final = Lock()


def _decoder_of(kind: type[DomainEvent]) -> msgspec.json.Decoder[Any]:
    """Made by one thread at a time; the ``rows`` of the queue say why."""
    with _making_one:
        if kind not in _decoders:
            _decoders[kind] = msgspec.json.Decoder(kind)
        return _decoders[kind]


def _event(number: int, event_id: str, stream: str, kind: str, payload: str) -> OutboxEvent:
    known = {one.__name__: one for one in DomainEvent.__subclasses__()}
    event = None
    try:
        if kind in known:
            event = _decoder_of(known[kind]).decode(payload.encode())
    except (msgspec.MsgspecError, StrettoError, ValueError):
        logger.warning("The event %s of the outbox cannot be read.", event_id)
    return OutboxEvent(number=number, id=event_id, stream=stream, kind=kind, event=event)


_APPEND: Final = """
    INSERT INTO outbox_event (id, stream, kind, payload, created_at)
    VALUES (:id, :stream, :kind, :payload, :created_at)
"""
_FORGET: Final = """
    DELETE FROM outbox_event WHERE stream = :stream AND delivered_at IS NOT NULL
        AND number < (SELECT number FROM outbox_event WHERE number > 0 ORDER BY number DESC LIMIT 1)
"""
"""The newest stays: its number, given away again, would be one that listeners have read already."""

_ANY_WAITING: Final = "SELECT number FROM outbox_event WHERE delivered_at IS NULL LIMIT 1"
_WAITING: Final = """
    SELECT number, id, stream, kind, payload FROM outbox_event
    WHERE delivered_at IS NULL AND number > :after ORDER BY number LIMIT :limit
"""
_SINCE: Final = """
    SELECT number, id, stream, kind, payload FROM outbox_event
    WHERE stream = :stream AND number > :after ORDER BY number LIMIT :limit
"""
_OF_KIND: Final = """
    SELECT number, id, stream, kind, payload FROM outbox_event
    WHERE number > :after AND kind = :kind ORDER BY number
"""
_ALL_SINCE: Final = """
    SELECT number, id, stream, kind, payload FROM outbox_event
    WHERE number > :after ORDER BY number LIMIT :limit
"""
_ALL_SINCE_WITH_AGE: Final = """
    SELECT number, id, stream, kind, payload,
        CAST(extract(epoch FROM clock_timestamp()) AS double precision) - created_at
    FROM outbox_event WHERE number > :after ORDER BY number LIMIT :limit
"""
_NEWEST: Final = "SELECT number FROM outbox_event WHERE number > 0 ORDER BY number DESC LIMIT 1"
_DELIVERED: Final = "UPDATE outbox_event SET delivered_at = :now WHERE number = :number"
_LEASE: Final = """
    INSERT INTO outbox_lease (name, holder, until) VALUES ('relay', :holder, :until)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE outbox_lease.until <= :now OR outbox_lease.until > :beyond
        OR outbox_lease.holder = excluded.holder
"""
_GIVE_BACK: Final = "UPDATE outbox_lease SET until = 0 WHERE name = 'relay' AND holder = :holder"
"""No moment of the holder's clock, which may be ahead of that of the next one."""

_PRUNE: Final = """
    DELETE FROM outbox_event WHERE delivered_at < :before
        AND number < (SELECT number FROM outbox_event WHERE number > 0 ORDER BY number DESC LIMIT 1)
"""
_PRUNE_RECEIPTS: Final = "DELETE FROM outbox_receipt WHERE received_at < :before"
_HAS_RECEIPT: Final = """
    SELECT 1 FROM outbox_receipt WHERE consumer = :consumer AND event_id = :event_id
"""
_RECEIVE: Final = """
    INSERT INTO outbox_receipt (consumer, event_id, received_at)
    VALUES (:consumer, :event_id, :now) ON CONFLICT DO NOTHING
"""
