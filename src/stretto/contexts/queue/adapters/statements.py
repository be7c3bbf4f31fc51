"""What is said to the table of jobs on both databases, put together of constants alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final

from stretto.contexts.queue.adapters.rows import BORN_WITH, COLUMNS, UNCHANGING
from stretto.contexts.queue.model import JobPriority

CHANNEL: Final = "stretto_queue"
"""On which PostgreSQL tells the workers of new jobs."""

_ALL: Final = ", ".join(COLUMNS)
_SETTABLE: Final = [name for name in COLUMNS if name not in UNCHANGING]
BEAR: Final = f"""
    INSERT INTO queue_job ({", ".join(BORN_WITH)}, request_key, request_digest)
    VALUES ({", ".join(f":{name}" for name in BORN_WITH)}, :request_key, :request_digest)
"""  # noqa: S608
INSERT: Final = f"{BEAR} ON CONFLICT DO NOTHING"
UPDATE: Final = f"""
    UPDATE queue_job SET {", ".join(f"{name} = :{name}" for name in _SETTABLE)} WHERE id = :id
"""  # noqa: S608
GET: Final = f"SELECT {_ALL} FROM queue_job WHERE id = :id"  # noqa: S608
WITHOUT_KEY: Final = {"request_key": None, "request_digest": ""}
PARTS: Final = f"SELECT {_ALL} FROM queue_job WHERE parent = :id ORDER BY id"  # noqa: S608
DELETE_PARTS: Final = "DELETE FROM queue_job WHERE parent = :id RETURNING id"
OF_KEY: Final = f"""
    SELECT {_ALL}, request_digest FROM queue_job WHERE request_key = :key
"""  # noqa: S608
FORGET_KEY: Final = """
    UPDATE queue_job SET request_key = NULL WHERE request_key = :key AND created_at < :before
"""
READY: Final = """
    status = 'queued' AND run_at <= :ready AND NOT EXISTS (
        SELECT 1 FROM queue_job AS same
        WHERE same.status = 'processing' AND same.work_key = queue_job.work_key
    )
"""
"""Its time has come, and nobody does the same."""

CLAIMABLE: Final = f"""
    SELECT {_ALL} FROM queue_job WHERE {READY} AND crashes < :suspects
"""  # noqa: S608
CLAIM_NEXT: Final = f"{CLAIMABLE} AND priority = :priority ORDER BY run_at, id LIMIT :limit"
CLAIM_ONE: Final = f"{CLAIMABLE} AND id = :id LIMIT :limit"
HEADS: Final = " UNION ALL ".join(
    f"SELECT {int(queue)}, min(run_at) FROM queue_job "  # noqa: S608
    f"WHERE status = 'queued' AND priority = {int(queue)}"
    for queue in JobPriority
)
FURTHEST: Final = " UNION ALL ".join(
    f"SELECT {int(queue)}, max(run_at) FROM queue_job "  # noqa: S608
    f"WHERE status = 'queued' AND priority = {int(queue)}"
    for queue in JobPriority
)
HASTEN: Final = """
    UPDATE queue_job SET run_at = run_at - :ahead
    WHERE status = 'queued' AND priority = :priority AND run_at > :beyond
"""
HELD: Final = f"""
    SELECT {_ALL} FROM queue_job WHERE status = 'processing' AND holder = :holder
"""  # noqa: S608
EXPIRED: Final = """
    SELECT id, lease_until FROM queue_job
    WHERE status = 'processing' AND lease_boot = :boot AND lease_until <= :now
    UNION ALL
    SELECT id, 0 FROM queue_job
    WHERE status = 'processing' AND lease_boot < :boot AND lease_until IS NOT NULL
    UNION ALL
    SELECT id, 0 FROM queue_job WHERE status = 'processing' AND lease_boot > :boot
    ORDER BY 2 LIMIT :limit
"""
RENEW: Final = """
    UPDATE queue_job SET lease_until = :until, lease_boot = :boot
    WHERE id = :id AND fence = :fence AND lease_until IS NOT NULL
"""
RENEW_UNLOCKED: Final = f"""{RENEW} AND id IN (
        SELECT id FROM queue_job WHERE id = :id FOR UPDATE SKIP LOCKED
    )
"""  # noqa: S608
"""Where a row can be locked for as long as a transaction lives whose machine is gone. The others
are renewed, and nobody can take this one over meanwhile."""
_WITH_PARENTS: Final = f"""
    SELECT {_ALL} FROM queue_job WHERE id IN ({{places}}) ORDER BY parent IS NOT NULL, id
"""  # noqa: S608
_MOST_AT_ONCE: Final = 64
_PAGE: Final = f"""
    SELECT {_ALL} FROM queue_job WHERE (created_at, id) < (:at, :id){{conditions}}
    ORDER BY created_at DESC, id DESC LIMIT :limit
"""  # noqa: S608
_WHOLE: Final = " AND parent IS NULL"
_CONDITIONS: Final = {
    "status": " AND status = :status AND (parent IS NULL OR status = 'failed')",
    "owner": " AND owner = :owner",
}


def page(conditions: Iterable[str]) -> str:
    """A page of jobs by ``status`` and ``owner``. Parts of files are shown when they failed."""
    named = list(conditions)
    whole = "" if "status" in named else _WHOLE
    return _PAGE.format(conditions=whole + "".join(_CONDITIONS[name] for name in named))


def with_parents(job_ids: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Finds jobs, and those that they are parts of, which come first."""
    for begin in range(0, len(job_ids), _MOST_AT_ONCE):
        some = list(job_ids[begin : begin + _MOST_AT_ONCE])
        size = 1 << (len(some) - 1).bit_length()  # few statements, which the server remembers
        filled = some + some[:1] * (size - len(some))
        yield _with_parents(size), {f"id{place}": one for place, one in enumerate(filled)}


@cache
def _with_parents(size: int) -> str:
    places = (
        f":id{place}, (SELECT part.parent FROM queue_job AS part WHERE part.id = :id{place})"  # noqa: S608
        for place in range(size)
    )
    return _WITH_PARENTS.format(places=", ".join(places))


OF_TRANSCRIPT: Final = "SELECT id FROM queue_job WHERE transcript_id = :id"
NEEDING: Final = """
    SELECT 1 FROM queue_job
    WHERE status IN ('queued', 'processing') AND (parent IS NULL OR status = 'failed')
    AND owner || '' = :owner AND work LIKE :like LIMIT 1
"""
"""No index serves the owner so: the jobs of anybody that wait are fewer than all of one owner."""
PUT_OFF: Final = "UPDATE queue_job SET run_at = :run_at WHERE id = :id"
DELETE: Final = """
    DELETE FROM queue_job WHERE id = :id AND status IN ('completed', 'failed', 'cancelled')
"""
NOTIFY: Final = f"SELECT pg_notify('{CHANNEL}', '')"
