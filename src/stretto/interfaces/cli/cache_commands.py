"""Declares the commands `stretto cache …` and their options; the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stretto.contexts.caching.management import CacheManagement
    from stretto.contexts.core.identifiers import FileHash

cache_app = typer.Typer(no_args_is_help=True, help="Look into the cache and empty it.")

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


@cache_app.command("stats")
def cache_stats(
    most_used: Annotated[int, typer.Option(help="How many of the most used, 0 to 1000.")] = 10,
    as_json: Json = False,
) -> None:
    """Show each level, how often it had the answer, and what that saved."""
    from stretto.interfaces.cli.cache import show_statistics

    with _management() as cache:
        show_statistics(cache, most_used=most_used, as_json=as_json)


@cache_app.command("show")
def cache_show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As stats shows it.")],
    as_json: Json = False,
) -> None:
    """Show one entry: the levels that have it, what made it, and its text."""
    from stretto.interfaces.cli.cache import show_entry

    with _management() as cache:
        show_entry(cache, key, as_json=as_json)


@cache_app.command("warm")
def cache_warm(
    seconds: Annotated[float, typer.Option(help="How long it may take.")] = 10.0,
    megabytes: Annotated[float, typer.Option("--mb", help="How much to load, in MB.")] = 100.0,
    as_json: Json = False,
) -> None:
    """Load the answers that are used most from the database into Redis."""
    from stretto.interfaces.cli.cache import warm

    with _management() as cache:
        warm(cache, seconds=seconds, megabytes_=megabytes, as_json=as_json)


@cache_app.command("invalidate")
def cache_invalidate(
    transcript: Annotated[
        str | None, typer.Option(metavar="ID", help="Answers from this transcript's recording.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="Answers from this recording, or from one of this SHA-256.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Answers of this engine.")] = None,
    model: Annotated[str | None, typer.Option(help="Answers of this model.")] = None,
    tag: Annotated[str | None, typer.Option(help="Answers that were kept with this tag.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Answers older than 90m, 12h, 7d or 2w.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All answers.")] = False,
    as_json: Json = False,
) -> None:
    """Delete answers from every level and process; with several options those that all select.

    Transcripts stay, and their recordings are recalled; --no-cache transcribes one anew.
    """
    from stretto.interfaces.cli.cache import invalidate, selection_from

    selection = selection_from(
        source=_recording_of(transcript) if transcript else None,
        file=file,
        engine=engine,
        model=model,
        tag=tag,
        older_than=older_than,
        everything=everything,
    )
    with _management() as cache:
        invalidate(cache, selection, as_json=as_json)


@cache_app.command("clear")
def cache_clear(yes: Yes = False, as_json: Json = False) -> None:
    """Delete all answers from every level and process. Transcripts stay."""
    from stretto.contexts.caching.model import Selection
    from stretto.interfaces.cli.cache import agreed, invalidate

    agreed("Delete all cached answers?", sure=yes)
    with _management() as cache:
        invalidate(cache, Selection(), as_json=as_json)


def _recording_of(transcript: str) -> FileHash:
    from stretto.bootstrap import build_archive, load_settings
    from stretto.contexts.core.identifiers import TranscriptId

    with build_archive(load_settings()) as archive:
        return archive.summary(TranscriptId.parse(transcript)).file_hash


@contextmanager
def _management() -> Generator[CacheManagement, None, None]:
    from stretto.bootstrap import build_database, load_settings
    from stretto.bootstrap.caching import build_cache_management
    from stretto.bootstrap.logs import set_up_plain_logging

    settings = load_settings()
    set_up_plain_logging(settings)
    cache = build_cache_management(settings, build_database(settings))
    try:
        yield cache
    finally:
        cache.close()
