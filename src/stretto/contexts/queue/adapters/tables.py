"""The tables of the queue as SQLAlchemy sees them: what the migrations have to arrive at."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")
_QUEUED = sa.text("status = 'queued'")
_PROCESSING = sa.text("status = 'processing'")
_KEYED = sa.text("request_key IS NOT NULL")
_WHOLE = sa.text("parent IS NULL")
_WHOLE_OR_DEAD = sa.text("(parent IS NULL OR status = 'failed')")
_PART = sa.text("parent IS NOT NULL")

queue_job = sa.Table(
    "queue_job",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("work", sa.Text, nullable=False),
    sa.Column("work_key", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", _REAL, nullable=False),
    sa.Column("updated_at", _REAL, nullable=False),
    sa.Column("run_at", _REAL, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("lease_until", _REAL),
    sa.Column("lease_boot", sa.Text, nullable=False),
    sa.Column("errors", sa.Integer, nullable=False),
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("crashes_since", _REAL),
    sa.Column("crashed_after", sa.Integer, nullable=False),
    sa.Column("cancelling", sa.Integer, nullable=False),
    sa.Column("progress", sa.Text, nullable=False),
    sa.Column("transcript_id", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("cause", sa.Text),
    sa.Column("request_key", sa.Text),
    sa.Column("request_digest", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("callback", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("parent", sa.Text),
    sa.Column("division", sa.Text),
    sa.Column("outages", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Index(
        "queue_job_ready",
        "priority",
        "run_at",
        "id",
        sqlite_where=_QUEUED,
        postgresql_where=_QUEUED,
        info={
            "serves": "Finds the next job of a queue, and when there will be one.",
            "query": "SELECT id FROM queue_job WHERE status = 'queued' AND priority = :priority "
            "AND run_at <= :now ORDER BY run_at, id LIMIT 1",
        },
    ),
    sa.Index(
        "queue_job_lease",
        "lease_boot",
        "lease_until",
        sqlite_where=_PROCESSING,
        postgresql_where=_PROCESSING,
        info={
            "serves": "Finds the jobs whose workers gave no sign of life.",
            "query": "SELECT id FROM queue_job WHERE status = 'processing' "
            "AND lease_boot = :boot AND lease_until <= :now ORDER BY lease_until LIMIT :n",
        },
    ),
    sa.Index(
        "queue_job_holder",
        "holder",
        sqlite_where=_PROCESSING,
        postgresql_where=_PROCESSING,
        info={
            "serves": "Finds what a worker works on.",
            "query": "SELECT id FROM queue_job WHERE status = 'processing' AND holder = :holder",
        },
    ),
    sa.Index(
        "queue_job_work",
        "work_key",
        sqlite_where=_PROCESSING,
        postgresql_where=_PROCESSING,
        info={
            "serves": "Finds out whether equal work is being done.",
            "query": "SELECT id FROM queue_job "
            "WHERE status = 'processing' AND work_key = :work_key",
        },
    ),
    sa.Index(
        "queue_job_request",
        "request_key",
        unique=True,
        sqlite_where=_KEYED,
        postgresql_where=_KEYED,
        info={
            "serves": "Finds the job of a request that is made again.",
            "query": "SELECT id FROM queue_job WHERE request_key = :key",
        },
    ),
    sa.Index(
        "queue_job_created_at",
        "created_at",
        "id",
        sqlite_where=_WHOLE,
        postgresql_where=_WHOLE,
        info={
            "serves": "Lists jobs, the newest first.",
            "query": "SELECT id, file FROM queue_job "
            "WHERE parent IS NULL AND (created_at, id) < (:at, :id) "
            "ORDER BY created_at DESC, id DESC LIMIT :n",
        },
    ),
    sa.Index(
        "queue_job_status",
        "status",
        "created_at",
        "id",
        sqlite_where=_WHOLE_OR_DEAD,
        postgresql_where=_WHOLE_OR_DEAD,
        info={
            "serves": "Lists the jobs of a status, the newest first.",
            "query": "SELECT id, file FROM queue_job "
            "WHERE status = 'failed' AND (parent IS NULL OR status = 'failed') "
            "AND (created_at, id) < (:at, :id) "
            "ORDER BY created_at DESC, id DESC LIMIT :n",
        },
    ),
    sa.Index(
        "queue_job_owner",
        "owner",
        "created_at",
        "id",
        info={
            "serves": "Lists the jobs of one owner, the newest first.",
            "query": "SELECT id, file FROM queue_job "
            "WHERE owner = 'anna' AND (created_at, id) < (:at, :id) "
            "ORDER BY created_at DESC, id DESC LIMIT :n",
        },
    ),
    sa.Index(
        "queue_job_transcript",
        "transcript_id",
        info={
            "serves": "Finds the jobs that made a transcript, to delete them with it.",
            "query": "SELECT id FROM queue_job WHERE transcript_id = :id",
        },
    ),
    sa.Index(
        "queue_job_parent",
        "parent",
        sqlite_where=_PART,
        postgresql_where=_PART,
        info={
            "serves": "Finds the parts of a job.",
            "query": "SELECT id FROM queue_job WHERE parent = :id",
        },
    ),
)
"""``work``, ``progress``, ``error`` and ``division`` are JSON that only the program reads."""

queue_worker = sa.Table(
    "queue_worker",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, nullable=False),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("started_at", _REAL, nullable=False),
    sa.Column("lease_until", _REAL, nullable=False),
    sa.Column("lease_boot", sa.Text, nullable=False),
)
"""As many rows as there are workers; ``node`` is JSON."""

queue_webhook = sa.Table(
    "queue_webhook",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, nullable=False),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", _REAL, nullable=False),
    sa.Index(
        "queue_webhook_due",
        "due_at",
        info={
            "serves": "Finds the callbacks that are to be called.",
            "query": "SELECT id FROM queue_webhook WHERE due_at <= :now ORDER BY due_at LIMIT :n",
        },
    ),
)
"""A row for each call that is owed; ``body`` is JSON."""
