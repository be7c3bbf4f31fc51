"""The pace of a service that many processes share, in Redis: read, changed, and written back if
nobody else has written meanwhile.

While the server is in trouble the process keeps a pace of its own: what is asked is asked a little
too fast by all together then, and the service's refusals see to it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

import msgspec

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.external.adapters.pace_memory import MemoryPaceStore
from stretto.contexts.external.pace import Pace

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as cause:
    raise InvalidOption(
        "The pace in Redis needs a package that is not installed. "
        "Install it with: pip install 'stretto[redis]'"
    ) from cause

TIMEOUT_S: Final = 0.04
"""How long an answer may take before it counts as trouble: every call to the service waits for it.
As for the cache, a server for which that is too little is too far away to be shared."""

SECONDS_ALONE: Final = 5.0
"""After trouble the server is not asked again for so long."""

MOST_TRIES: Final = 50
LIFETIME_MS: Final = 3_600_000

_DECODER: Final = msgspec.msgpack.Decoder(Pace)
_REPLACE: Final = """
local found = redis.call('GET', KEYS[1])
if (found or '') == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 1
end
return 0
"""

logger = logging.getLogger(__name__)


class RedisPaceStore:
    """Satisfies PaceStore. The time is the server's, so that the clocks of machines need not
    agree; ``name`` tells services, and accounts with them, apart."""

    def __init__(self, url: str, *, name: str, timeout_s: float = TIMEOUT_S) -> None:
        self._key = f"stretto:pace:{name}"
        self._client: Any = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            protocol=2,
            # With TLS 1.3 tickets come after the handshake: the answer to this takes them along.
            client_name="stretto" if url.startswith("rediss") else None,
        )
        self._replace = self._client.register_script(_REPLACE)
        self._alone = MemoryPaceStore(time.time)
        self._alone_until = 0.0
        self._lock = Lock()

    def change(self, step: Callable[[Pace, float], Pace]) -> Pace:
        with self._lock:
            if time.monotonic() < self._alone_until:
                return self._alone.change(step)
            try:
                return self._shared(step)
            except (redis.RedisError, OSError) as error:
                logger.warning("The pace is not shared for now: Redis is in trouble. %s", error)
                self._alone_until = time.monotonic() + SECONDS_ALONE
                return self._alone.change(step)

    def close(self) -> None:
        self._client.close()

    def _shared(self, step: Callable[[Pace, float], Pace]) -> Pace:
        for _ in range(MOST_TRIES):
            with self._client.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.get(self._key)
                (seconds, microseconds), found = pipe.execute()
            before = _decoded(found)
            after = step(before, seconds + microseconds / 1e6)
            if after == before and found is not None:
                return after
            written = msgspec.msgpack.encode(after)
            if self._replace(keys=[self._key], args=[found or b"", written, LIFETIME_MS]):
                return after
            time.sleep(random.uniform(0.0, 0.002))  # noqa: S311  # others are writing, too
        raise redis.RedisError("too many are changing the pace at once")


def _decoded(found: bytes | None) -> Pace:
    """A value that nobody of us has written counts as none."""
    try:
        return _DECODER.decode(found) if found else Pace()
    except (msgspec.MsgspecError, ValueError):
        return Pace()
