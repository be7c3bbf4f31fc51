"""Wires whoever advises about the database. What that needs is imported when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stretto.bootstrap.clock import now
from stretto.bootstrap.database import build_database, build_engine_of_database, place_of
from stretto.contexts.core.errors import StorageUnavailable
from stretto.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.orm import Session, sessionmaker

    from stretto.contexts.database.advice import IndexDefinition
    from stretto.contexts.database.advisers import Advisers


def build_advisers(settings: Settings) -> Advisers:
    """Whoever explains the database of ``settings``, with all indexes that its tables should have.

    Raises StorageUnavailable when there is no database yet, or when its tables are not up to date
    and cannot be brought there.
    """
    path = settings.database_path
    if settings.database_address is None and not path.is_file():
        raise StorageUnavailable(
            f"There is no database {path} yet. It is made when something is transcribed."
        )
    database = build_database(settings)
    try:
        with database.read():  # brings the tables of SQLite up to date, or says what to run
            pass
    finally:
        database.close()
    engine = build_engine_of_database(settings)
    return advisers_of(
        engine,
        _declared_indexes(engine),
        place=place_of(settings),
        slow_ms=settings.slow_query_ms,
    )


def _declared_indexes(engine: sa.Engine) -> tuple[IndexDefinition, ...]:
    from stretto.contexts.caching.adapters import tables as caching
    from stretto.contexts.database.adapters import tables as database
    from stretto.contexts.database.adapters.declared import declared_indexes
    from stretto.contexts.external.adapters import cdn_tables as cdn
    from stretto.contexts.monitoring.adapters import tables as monitoring
    from stretto.contexts.processing.adapters import tables as processing
    from stretto.contexts.queue.adapters import tables as queue

    contexts = (caching, database, cdn, monitoring, processing, queue)
    declarations = tuple(context.metadata for context in contexts)
    return declared_indexes(declarations, engine.dialect)


def advisers_of(
    engine: sa.Engine,
    definitions: Sequence[IndexDefinition],
    *,
    place: str,
    slow_ms: float,
) -> Advisers:
    """The advisers of the database that ``engine`` leads to; closing them disposes of it."""
    from stretto.contexts.database.adapters.advice_store import SqlAdviceStore
    from stretto.contexts.database.adapters.catalog_postgresql import PostgresqlCatalog
    from stretto.contexts.database.adapters.catalog_sqlite import SqliteCatalog
    from stretto.contexts.database.adapters.explain_postgresql import PostgresqlExplainer
    from stretto.contexts.database.adapters.explain_sqlite import SqliteExplainer
    from stretto.contexts.database.advisers import Advisers
    from stretto.contexts.database.indexes import IndexManager
    from stretto.contexts.database.nplus1 import N1QueryEliminator
    from stretto.contexts.database.optimizer import QueryOptimizer

    on_sqlite = engine.dialect.name == "sqlite"
    explainer = SqliteExplainer(engine) if on_sqlite else PostgresqlExplainer(engine)
    catalog = SqliteCatalog(engine) if on_sqlite else PostgresqlCatalog(engine)
    store = SqlAdviceStore(engine)
    return Advisers(
        place=place,
        dialect=explainer.dialect,
        indexes=IndexManager(definitions, catalog=catalog, explainer=explainer),
        optimizer=QueryOptimizer(
            explainer=explainer, catalog=catalog, store=store, now=now, slow_ms=slow_ms
        ),
        loading=N1QueryEliminator(store=store, now=now),
        close=engine.dispose,
    )


def load_together(sessions: sessionmaker[Session], advisers: Advisers) -> None:
    """From now on ``sessions`` load at once what was seen to be loaded row by row."""
    from stretto.contexts.database.adapters import eager_loading

    eager_loading.load_together(sessions, advisers.loading)


def watch_statements(engine: sa.Engine, advisers: Advisers) -> None:
    """From now on ``advisers`` hear of what ``engine`` runs; ``advisers.flush`` stores it."""
    from stretto.contexts.database.adapters.statement_watch import watch

    advisers.loading.refresh()
    watch(engine, [advisers.optimizer, advisers.loading])
