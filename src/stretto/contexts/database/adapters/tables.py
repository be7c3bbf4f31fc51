"""The tables of the outbox and of the advisers as SQLAlchemy sees them: what the migrations have to
arrive at."""

from __future__ import annotations

import sqlalchemy as sa

from stretto.contexts.database.adapters.advice_store import define_tables

metadata = sa.MetaData()

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")

outbox_event = sa.Table(
    "outbox_event",
    metadata,
    sa.Column(
        "number",
        _NUMBER,
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_at", _REAL, nullable=False),
    sa.Column("delivered_at", _REAL),
    sa.Index(
        "outbox_event_waiting",
        "number",
        sqlite_where=sa.text("delivered_at IS NULL"),
        postgresql_where=sa.text("delivered_at IS NULL"),
        info={
            "serves": "Finds the events that nobody has heard of yet.",
            "query": "SELECT number FROM outbox_event WHERE delivered_at IS NULL LIMIT 1",
        },
    ),
    sa.Index(
        "outbox_event_delivered_at",
        "delivered_at",
        sqlite_where=sa.text("delivered_at IS NOT NULL"),
        postgresql_where=sa.text("delivered_at IS NOT NULL"),
        info={
            "serves": "Finds the events that were delivered long ago, to forget them.",
            "query": "DELETE FROM outbox_event WHERE delivered_at < :before",
        },
    ),
    sa.Index(
        "outbox_event_stream",
        "stream",
        "number",
        info={
            "serves": "Finds the events of a job or a transcript.",
            "query": "DELETE FROM outbox_event WHERE stream = :stream AND delivered_at IS NOT NULL",
        },
    ),
)

outbox_receipt = sa.Table(
    "outbox_receipt",
    metadata,
    sa.Column("consumer", sa.Text, primary_key=True, nullable=False),
    sa.Column("event_id", sa.Text, primary_key=True, nullable=False),
    sa.Column("received_at", _REAL, nullable=False),
    sa.Index(
        "outbox_receipt_received_at",
        "received_at",
        info={
            "serves": "Finds old receipts, to forget them.",
            "query": "DELETE FROM outbox_receipt WHERE received_at < :before",
        },
    ),
)

outbox_lease = sa.Table(
    "outbox_lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", _REAL, nullable=False),
)

access_key = sa.Table(
    "access_key",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_at", _REAL, nullable=False),
    sa.Column("revoked_at", _REAL),
)

slow_statement, learned_loading, repeated_statement = define_tables(metadata)
