"""Who works on jobs: one row for each worker that is alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from stretto.contexts.core.text import storable
from stretto.contexts.queue.adapters.connections import Clock, Connection, Database
from stretto.contexts.queue.model import Lease, Moment, WorkerNode

_DECODER: Final = msgspec.json.Decoder(WorkerNode)
"""Made before there are threads; ``rows`` says why."""


class SqlWorkers:
    """Satisfies the port Workers."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def beat(self, node: WorkerNode, lease: Callable[[Moment], Lease]) -> None:
        def work(connection: Connection) -> None:
            until = lease(self._clock.read(connection))
            row = {
                "id": node.id,
                "node": storable(msgspec.json.encode(node).decode()),
                "started_at": node.started_at.unix_s,
                "until": until.until_s,
                "boot": until.boot,
            }
            connection.execute(_BEAT, row)

        self._database.transact(work)

    def leave(self, worker: str) -> None:
        self._database.transact(lambda c: c.execute(_LEAVE, {"id": worker}).rowcount)

    def alive(self) -> tuple[WorkerNode, ...]:
        def work(connection: Connection) -> tuple[WorkerNode, ...]:
            now = self._clock.read(connection)
            connection.execute(_FORGET, {"now": now.lease_s, "boot": now.boot})
            rows = connection.execute(_ALIVE).fetchall()
            return tuple(_DECODER.decode(node) for (node,) in rows)

        return self._database.transact(work)


_BEAT: Final = """
    INSERT INTO queue_worker (id, node, started_at, lease_until, lease_boot)
    VALUES (:id, :node, :started_at, :until, :boot)
    ON CONFLICT (id) DO UPDATE SET
        node = excluded.node, lease_until = excluded.lease_until, lease_boot = excluded.lease_boot
"""
_LEAVE: Final = "DELETE FROM queue_worker WHERE id = :id"
_FORGET: Final = "DELETE FROM queue_worker WHERE lease_until <= :now OR lease_boot <> :boot"
_ALIVE: Final = "SELECT node FROM queue_worker ORDER BY started_at, id"
