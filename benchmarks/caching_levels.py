"""What the levels of the cache cost: time over what they wrap, bytes, and damage that is borne."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.caching_figures import Sizes, answer, opened, p50_us, request
from benchmarks.figures import Figure
from stretto.bootstrap import Database
from stretto.contexts.caching.adapters.sql_records import SqlInvalidationRecords
from stretto.contexts.core.recognition import Grain

CHUNK_S, WINDOW_S, TRANSCRIPT_S = 300.0, 25.0, 1800.0
SPEECH: Final = 0.88
"""The part of a recording in which somebody speaks: of the demo, and about that of a talk."""

TRANSCRIPTS = 10_000


def latencies(home: Path, url: str, sizes: Sizes) -> Iterator[Figure]:
    """A hit in each level beside the bare look that it wraps."""
    asked = request("latency")
    with opened(home, url) as (caching, database):
        caching.cache.keep(asked, answer(CHUNK_S, seed=1))
        key = caching.cache.look_up(asked).key
        memory, shared, lasting = (level.store for level in caching.management.levels)
        table = {key: memory.get(key)}
        bare = p50_us(lambda: table.get(key), sizes.calls)
        mine = p50_us(lambda: memory.get(key), sizes.calls)
        more = {"dictionary, µs": round(bare, 2), "level, µs": round(mine, 2)}
        yield Figure(what="L1 get", value=mine - bare, unit="µs more", wanted=5, more=more)
        yield compared(
            "L2 get",
            1.3,
            bare_redis(database, url, key.value),
            lambda: shared.get(key),
            calls=sizes.calls,
        )
        yield compared(
            "L3 get",
            1.5,
            bare_select(database, key.value),
            lambda: lasting.get(key),
            calls=sizes.calls,
        )
        find = p50_us(lambda: caching.cache.find(asked), max(100, sizes.calls // 10))
        yield Figure(what="find, answered by L1", value=find / 1000, unit="ms", wanted=50, more={})


def compared(
    what: str, wanted: float, bare: Callable[[], object], call: Callable[[], object], *, calls: int
) -> Figure:
    """In turns, so that what else the machine does meets both alike."""
    rounds = 5
    pairs = [(p50_us(bare, calls // rounds), p50_us(call, calls // rounds)) for _ in range(rounds)]
    ratios = sorted(mine / theirs for theirs, mine in pairs)
    theirs, mine = (sorted(side)[rounds // 2] for side in zip(*pairs, strict=True))
    more = {"bare, µs": round(theirs, 1), "level, µs": round(mine, 1)}
    return Figure(what=what, value=ratios[rounds // 2], unit="×", wanted=wanted, more=more)


def bare_redis(database: Database, url: str, key: str) -> Callable[[], object]:
    import redis

    client = redis.Redis.from_url(url, protocol=2)
    name = name_in_redis(database, key)
    assert client.get(name)
    return lambda: client.get(name)


def name_in_redis(database: Database, key: str) -> str:
    from stretto.contexts.caching.adapters.redis import place_of

    identity, _ = SqlInvalidationRecords(database).newest()
    return place_of(identity)[0] + key


def bare_select(database: Database, key: str) -> Callable[[], object]:
    connection = database.connect()  # type: ignore[union-attr]
    statement = "SELECT * FROM cache_entry WHERE key = :key"
    return lambda: connection.execute(statement, {"key": key}).fetchone()


def size_on_disk(home: Path, sizes: Sizes) -> Figure:
    """Transcripts of half an hour, as chunks and as windows: what the file grows by."""
    with opened(home) as (caching, database):
        path = home / "stretto.sqlite3"
        before = path.stat().st_size
        for number in range(sizes.transcripts):
            with database.write():
                for grain, seconds in ((Grain.WINDOW, WINDOW_S), (Grain.CHUNK, CHUNK_S)):
                    for piece in range(round(TRANSCRIPT_S / seconds)):
                        name = f"{number} {grain} {piece}"
                        seed = 1000 * number + piece
                        caching.cache.keep(
                            request(name, grain), answer(SPEECH * seconds, seed=seed)
                        )
        grown = path.stat().st_size - before
        status = caching.management.status()[-1]
    gigabytes = grown / sizes.transcripts * TRANSCRIPTS / 1e9
    more = {"transcripts": sizes.transcripts, "entries": status.entries, "bytes": grown}
    return Figure(what="10,000 transcripts in L3", value=gigabytes, unit="GB", wanted=2, more=more)


def damaged(home: Path, url: str, sizes: Sizes) -> Iterator[Figure]:
    """Bits flipped, ends cut off, foreign values: texts that were wrong, and exceptions."""
    dice = random.Random(3)
    for level in ("L2", "L3"):
        wrong = errors = 0
        with opened(home / level, url if level == "L2" else "") as (caching, database):
            right, asked = answer(60.0, seed=2), request("damage")
            caching.cache.keep(asked, right)
            key = caching.cache.look_up(asked).key
            ours = next(one for one in caching.management.levels if one.level == level).store
            overwrite = overwriting(database, url, level, key.value)
            for _ in range(sizes.damages):
                caching.cache.keep(asked, right)
                entry = ours.get(key)
                assert entry is not None
                for one in caching.management.levels:
                    if one.level != level:
                        one.store.delete(key)
                overwrite(damage(entry.value, dice))
                try:
                    wrong += caching.cache.find(asked) not in (None, right)
                except Exception:
                    errors += 1
        more = {"wrong texts": wrong, "exceptions": errors, "damages": sizes.damages}
        yield Figure(what=f"damage in {level}", value=wrong + errors, unit="", wanted=0, more=more)


def overwriting(
    database: Database, url: str, level: str, key: str
) -> Callable[[bytes | str], None]:
    if level == "L3":

        def in_the_table(value: bytes | str) -> None:
            with database.write() as connection:
                connection.execute("UPDATE cache_entry SET value = :value", {"value": value})

        return in_the_table
    import redis

    client = redis.Redis.from_url(url, protocol=2)
    name = name_in_redis(database, key)

    def in_redis(value: bytes | str) -> None:
        whole = client.get(name)
        assert isinstance(whole, bytes)
        beginning = whole[: len(whole) - len(value)] if isinstance(value, bytes) else b""
        client.set(name, beginning + (value if isinstance(value, bytes) else value.encode()))

    return in_redis


def damage(value: bytes, dice: random.Random) -> bytes | str:
    kind = dice.randrange(4)
    if kind == 0:
        return value[: dice.randrange(len(value))]
    if kind == 1:
        return "somebody else's text"
    damaged_value = bytearray(value)
    for _ in range(dice.choice((1, 1, 8))):
        damaged_value[dice.randrange(len(value))] ^= 1 << dice.randrange(8)
    return bytes(damaged_value)
