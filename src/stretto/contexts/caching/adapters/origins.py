"""Makes origins of what a level holds of them: one for all the entries of a recording."""

from __future__ import annotations

from functools import lru_cache

from stretto.contexts.caching.model import Origin
from stretto.contexts.core.identifiers import FileHash


@lru_cache(maxsize=1024)
def origin_of(source: str, engine: str, model: str, grain: str, scope: str, tag: str) -> Origin:
    """``source`` is a SHA-256 or empty. Raises InvalidHash for anything else."""
    return Origin(
        source=FileHash(source) if source else None,
        engine=engine,
        model=model,
        grain=grain,
        scope=scope,
        tag=tag,
    )
