"""Hooks into ORM sessions: sees relationships loaded object by object, and loads them at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import (
    Mapper,
    ORMExecuteState,
    RelationshipProperty,
    Session,
    SessionTransaction,
    UserDefinedOption,
    class_mapper,
    selectinload,
    sessionmaker,
)

from stretto.contexts.database.adapters.statement_watch import BY_RELATIONSHIP, call_site, units
from stretto.contexts.database.observations import CallSite, LazyLoad
from stretto.contexts.database.ports import LoadingAdviser

UNIT: Final = "stretto_unit"

logger = logging.getLogger(__name__)


class MadeAt(UserDefinedOption):
    """Carries the place of a query to the loads of what its objects refer to."""

    propagate_to_loaders = True
    payload: CallSite


def load_together(sessions: type[Session] | sessionmaker[Session], adviser: LoadingAdviser) -> None:
    """From now on queries of ``sessions`` load along what ``adviser`` names for their place."""
    event.listen(sessions, "do_orm_execute", _before_query(adviser))
    event.listen(sessions, "after_transaction_end", _after_transaction(adviser))


def _before_query(adviser: LoadingAdviser) -> Callable[[ORMExecuteState], None]:
    def hook(state: ORMExecuteState) -> None:
        if not state.is_select or state.is_column_load:
            return
        if state.lazy_loaded_from is not None:
            state.update_execution_options(**{BY_RELATIONSHIP: True})
            _report(state, adviser)
        elif state.is_relationship_load:
            state.update_execution_options(**{BY_RELATIONSHIP: True})
        else:
            site = call_site()
            paths = adviser.paths_for(site)
            loaders = [loader for path in paths for loader in _loaders(state, path)]
            statement: Any = state.statement
            state.statement = statement.options(MadeAt(payload=site), *loaders)

    return hook


def _after_transaction(adviser: LoadingAdviser) -> Callable[[Session, SessionTransaction], None]:
    def hook(session: Session, transaction: SessionTransaction) -> None:
        unit = session.info.pop(UNIT, None) if transaction.parent is None else None
        if unit is not None:
            adviser.unit_ended(unit)

    return hook


def _report(state: ORMExecuteState, adviser: LoadingAdviser) -> None:
    made_at = next((o for o in state.user_defined_options if isinstance(o, MadeAt)), None)
    path = _path(state)
    if made_at is None or not path:
        return  # the object came from elsewhere: just added, or from another session
    unit = state.session.info.get(UNIT)
    if unit is None:
        unit = state.session.info[UNIT] = next(units)
    adviser.lazy_loaded(LazyLoad(unit=unit, site=made_at.payload, path=path))


def _path(state: ORMExecuteState) -> str:
    """Example: ``Transcript.segments.words``, from the class that was queried."""
    steps = state.loader_strategy_path.path if state.loader_strategy_path else ()
    if not steps or not isinstance(steps[0], Mapper):
        return ""
    keys = [step.key for step in steps if isinstance(step, RelationshipProperty)]
    return ".".join([steps[0].class_.__name__, *keys])


def _loaders(state: ORMExecuteState, path: str) -> Iterator[Any]:
    """The option for ``path``, for each class of that name among what is queried."""
    name, *keys = path.split(".")
    statement: Any = state.statement
    for described in statement.column_descriptions:
        queried = described.get("entity")
        if queried is None or described.get("expr") is not queried or described.get("aliased"):
            continue
        if queried.__name__ == name:
            loader = _loader(queried, keys)
            if loader is not None:
                yield loader


def _loader(queried: type, keys: list[str]) -> Any:
    """None when the model has no such relationships any more."""
    loader: Any = None
    current = queried
    for key in keys:
        relationship = class_mapper(current).relationships.get(key)
        if relationship is None:
            logger.info("%s has no relationship %s any more.", current.__name__, key)
            return None
        attribute = getattr(current, key)
        loader = selectinload(attribute) if loader is None else loader.selectinload(attribute)
        current = relationship.mapper.class_
    return loader
