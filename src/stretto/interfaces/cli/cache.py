"""The commands `stretto cache …`: what is cached, how much it helps, and how to get rid of it."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

from stretto.contexts.caching.addressing import hash_stream
from stretto.contexts.caching.invalidation import InvalidationResult
from stretto.contexts.caching.management import CacheManagement, CacheStatistics, LevelStatistics
from stretto.contexts.caching.model import CacheKey, RankedEntry, Selection
from stretto.contexts.caching.warming import WarmingBudget
from stretto.contexts.core.errors import InvalidOption, MediaNotFound, MediaUnreadable
from stretto.contexts.core.identifiers import FileHash, Timestamp
from stretto.interfaces.cli.progress import clock

BLOCK_BYTES: Final = 1 << 20
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def show_statistics(cache: CacheManagement, *, most_used: int, as_json: bool) -> None:
    """Each level, how often it had the answer, what that saved, and what is used most."""
    statistics = cache.statistics(most_used=most_used)
    if as_json:
        print(json.dumps(_statistics_as_json(statistics)))
        return
    for level in statistics.levels:
        print("\t".join(_cells(level)))
    rate = _percent(statistics.hit_rate)
    print(f"\n{statistics.lookups} lookups, {statistics.hits} hits ({rate})")
    for engine, saved_s in sorted(statistics.saved_s.items()):
        print(f"{engine or 'unknown engine'}: {clock(saved_s)} of speech not recognised again")
    if statistics.most_used:
        print("\nused most:")
    for entry in statistics.most_used:
        made_by = f"{entry.origin.engine} {entry.origin.model} {entry.origin.grain}".strip()
        print(f"{entry.key}\t{entry.hits}\t{entry.size_bytes}\t{made_by}")


def show_entry(cache: CacheManagement, key: str, *, as_json: bool) -> None:
    """What is known of one entry, and its text."""
    found = cache.show(_key(key))
    origin, recognition = found.entry.origin, found.recognition
    text = " ".join(s.text.strip() for s in recognition.segments) if recognition else None
    document = {
        "key": str(found.key),
        "levels": [str(level) for level in found.levels],
        "age_s": round(max(0.0, time.time() - found.entry.created_at.unix_s), 3),
        "size_bytes": len(found.entry.value),
        "hits": found.ranked.hits if found.ranked else 0,
        "engine": origin.engine,
        "model": origin.model,
        "grain": origin.grain,
        "tag": origin.tag,
        "source": origin.source.value if origin.source else None,
        "speech_s": found.entry.speech_s,
        "sound": recognition is not None,
        "text": text,
    }
    if as_json:
        print(json.dumps(document))
        return
    for name, value in document.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        print(f"{name + ':':<11} {'' if shown is None else shown}".rstrip())


def warm(cache: CacheManagement, *, seconds: float, megabytes_: float, as_json: bool) -> None:
    """Load the most used entries from the database into the faster levels."""
    budget = WarmingBudget(seconds=seconds, maximum_bytes=round(megabytes_ * 1e6))
    result = cache.warm(budget)
    if as_json:
        document = {"entries": result.entries, "size_bytes": result.size_bytes}
        print(json.dumps({**document, "seconds": round(result.seconds, 3), "end": result.end}))
        return
    size = _size(result.size_bytes)
    print(f"{result.entries} entries, {size}, in {result.seconds:.1f} s; {result.end}")
    if len(cache.levels) == 2:
        print(
            "Without Redis only the memory of this process was warmed, which ends now. A program "
            "that goes on warms its own with STRETTO_CACHE_WARM_S.",
            file=sys.stderr,
        )


def invalidate(cache: CacheManagement, selection: Selection, *, as_json: bool) -> None:
    """No process serves what is selected any more, and it is deleted from every level."""
    result = cache.invalidate(selection)
    if as_json:
        print(json.dumps(_invalidation_as_json(result)))
        return
    counts = ", ".join(f"{count} in {level}" for level, count in result.removed.items())
    print(f"invalidated {result.invalidation.selection}: {counts} deleted")
    for level in result.failed:
        print(
            f"Level {level} could not be reached. What it holds of this is not served any more, "
            "and goes by itself.",
            file=sys.stderr,
        )


def selection_from(
    *,
    file: str | None,
    engine: str | None,
    model: str | None,
    tag: str | None,
    older_than: str | None,
    everything: bool,
    source: FileHash | None = None,
) -> Selection:
    """Raises InvalidOption when nothing is selected, or everything and something."""
    selection = Selection(
        source=source or (_hash_of(file) if file else None),
        engine=engine or "",
        model=model or "",
        tag=tag or "",
        before=_moment_before(older_than) if older_than else None,
    )
    if everything != (selection == Selection()):
        raise InvalidOption(
            "Say what is to go: --transcript, --file, --engine, --model, --tag, --older-than, "
            "or --all by itself."
        )
    return selection


def agreed(question: str, *, sure: bool) -> None:
    """Raises InvalidOption unless somebody says yes."""
    if sure:
        return
    if sys.stdin.isatty():
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in {"y", "yes"}:
            return
    raise InvalidOption("Nothing was deleted. Say --yes to delete without a question.")


def _key(text: str) -> CacheKey:
    return CacheKey(text) if _SHA256.fullmatch(text) else CacheKey.parse(text)


def _hash_of(file: str) -> FileHash:
    """Of a file, or the hash itself."""
    if _SHA256.fullmatch(file):
        return FileHash(file)
    try:
        with Path(file).open("rb") as opened:
            return hash_stream(iter(lambda: opened.read(BLOCK_BYTES), b""), kind=FileHash)
    except FileNotFoundError as cause:
        raise MediaNotFound(
            f"There is no file {file}. Without the file give its SHA-256, which "
            "stretto transcripts list --json shows."
        ) from cause
    except OSError as cause:
        raise MediaUnreadable(f"The file {file} cannot be read: {cause.strerror}.") from cause


def _moment_before(age: str) -> Timestamp:
    found = _AGE.fullmatch(age.strip().lower())
    if not found:
        raise InvalidOption(f"An age is written as 90m, 12h, 7d or 2w, not {age[:32]!r}.")
    return Timestamp(time.time() - float(found[1]) * _SECONDS[found[2]])


def _size(size_bytes: int) -> str:
    """Example: 78090594 is ``78.1 MB``, 1938 is ``1.9 kB``."""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _cells(level: LevelStatistics) -> tuple[str, ...]:
    status = level.status
    if not status.working:
        return (status.level, "in trouble", status.place, status.trouble)
    size = "-" if status.size_bytes is None else _size(status.size_bytes)
    speech = "-" if status.speech_s is None else clock(status.speech_s)
    hits = f"{level.hits} of {level.asked} ({_percent(level.hit_rate)})"
    entries = "very many entries" if status.entries is None else f"{status.entries} entries"
    return (status.level, hits, entries, size, speech, status.place)


def _statistics_as_json(statistics: CacheStatistics) -> dict[str, Any]:
    return {
        "levels": [_level_as_json(level) for level in statistics.levels],
        "lookups": statistics.lookups,
        "hits": statistics.hits,
        "hit_rate": statistics.hit_rate,
        "saved_s": statistics.saved_s,
        "most_used": [_ranked_as_json(entry) for entry in statistics.most_used],
    }


def _level_as_json(level: LevelStatistics) -> dict[str, Any]:
    status = level.status
    return {
        "level": status.level,
        "working": status.working,
        "place": status.place,
        "trouble": status.trouble,
        "asked": level.asked,
        "hits": level.hits,
        "hit_rate": level.hit_rate,
        "entries": status.entries,
        "size_bytes": status.size_bytes,
        "speech_s": status.speech_s,
    }


def _ranked_as_json(entry: RankedEntry) -> dict[str, Any]:
    return {
        "key": str(entry.key),
        "hits": entry.hits,
        "size_bytes": entry.size_bytes,
        "created_at": entry.created_at.unix_s,
        "last_used_at": entry.last_used_at.unix_s,
        "engine": entry.origin.engine,
        "model": entry.origin.model,
        "grain": entry.origin.grain,
        "tag": entry.origin.tag,
        "source": entry.origin.source.value if entry.origin.source else None,
        "speech_s": entry.speech_s,
    }


def _invalidation_as_json(result: InvalidationResult) -> dict[str, Any]:
    return {
        "number": result.invalidation.number,
        "selection": str(result.invalidation.selection),
        "removed": dict(result.removed),
        "failed": list(result.failed),
    }
