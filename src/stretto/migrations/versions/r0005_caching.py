"""Cached answers know where they came from; invalidations, leases, and how the cache is used."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_REAL = sa.Float(53).with_variant(sa.REAL, "sqlite")
_TEXTS = ("engine", "model", "grain", "scope", "tag")


def upgrade() -> None:
    _extend_entries()
    state = op.create_table(
        "cache_state",
        sa.Column("identity", sa.Text, primary_key=True, nullable=False),
        sa.Column("invalidations", _NUMBER, nullable=False),
    )
    op.bulk_insert(state, [{"identity": uuid.uuid4().hex, "invalidations": 0}])
    op.create_table(
        "cache_invalidation",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("at", _REAL, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("made_before", _REAL),
    )
    op.create_index("cache_invalidation_at", "cache_invalidation", ["at"])
    op.create_table(
        "cache_use",
        sa.Column("level", sa.Text, primary_key=True, nullable=False),
        sa.Column("engine", sa.Text, primary_key=True, nullable=False),
        sa.Column("count", _NUMBER, nullable=False),
        sa.Column("speech_s", _REAL, nullable=False),
    )
    op.create_table(
        "cache_lease",
        sa.Column("key", sa.Text, primary_key=True, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", _REAL, nullable=False),
    )


def _extend_entries() -> None:
    none, nothing = sa.text("0"), sa.text("''")
    op.add_column("cache_entry", sa.Column("epoch", _NUMBER, nullable=False, server_default=none))
    for name in _TEXTS:
        column = sa.Column(name, sa.Text, nullable=False, server_default=nothing)
        op.add_column("cache_entry", column)
    op.add_column("cache_entry", sa.Column("speech_s", _REAL, nullable=False, server_default=none))
    op.drop_index("cache_entry_last_used_at", "cache_entry")
    for name, indexed in (
        ("cache_entry_last_used_at", ["last_used_at", "size", "speech_s"]),
        ("cache_entry_hits", ["hits", "last_used_at"]),
        ("cache_entry_engine", ["engine", "model"]),
        ("cache_entry_created_at", ["created_at"]),
    ):
        op.create_index(name, "cache_entry", indexed)
    where = sa.text("tag <> ''")
    op.create_index(
        "cache_entry_tag", "cache_entry", ["tag"], sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    for table in ("cache_lease", "cache_use", "cache_invalidation", "cache_state"):
        op.drop_table(table)
    for name in ("tag", "created_at", "engine", "hits", "last_used_at"):
        op.drop_index(f"cache_entry_{name}", "cache_entry")
    op.create_index("cache_entry_last_used_at", "cache_entry", ["last_used_at"])
    for name in ("speech_s", *reversed(_TEXTS), "epoch"):
        op.drop_column("cache_entry", name)
