"""Declares the commands `stretto cdn …` and their options; the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stretto.application import Archive
    from stretto.contexts.external.cdn_publishing import CDNPublishing

cdn_app = typer.Typer(no_args_is_help=True, help="Publish recordings and transcripts.")

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@cdn_app.command("status")
def cdn_status(as_json: Json = False) -> None:
    """Try the store out, and show what lies there and what waits.

    Exit codes: 0 the store works, 1 it does not.
    """
    from stretto.interfaces.cli.cdn import show_status

    with _cdn() as (publishing, _, _link_s):
        raise typer.Exit(show_status(publishing.uploader, as_json=as_json))


@cdn_app.command("list")
def cdn_list(
    transcript_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Only what is of this transcript.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, 1 to 1000.")] = 100,
    after: Annotated[str, typer.Option(help="Where the page before ended.")] = "",
    as_json: Json = False,
) -> None:
    """Show what was published, and why something is not in the store yet."""
    from stretto.interfaces.cli.cdn import list_assets

    with _cdn() as (publishing, _, _link_s):
        list_assets(publishing.uploader, transcript_id, limit=limit, after=after, as_json=as_json)


@cdn_app.command("publish")
def cdn_publish(
    target: Annotated[
        str, typer.Argument(metavar="ID|FILE", help="A transcript, or a recording that has one.")
    ],
    recording: Annotated[
        str | None, typer.Option(metavar="FILE", help="The recording of the transcript ID.")
    ] = None,
    original: Annotated[
        bool, typer.Option("--original", help="Publish the recording itself too.")
    ] = False,
    stream: Annotated[
        int | None, typer.Option(help="Which audio stream, from 0. [default: the file's own]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish a transcript, and audio for listeners if its recording is at hand."""
    from stretto.interfaces.cli.cdn_publish import publish, wanted_of

    with _cdn(stream=stream) as (publishing, archive, link_s):
        wanted = wanted_of(target, recording, publishing, archive)
        publish(publishing, wanted, original=original, link_s=link_s, as_json=as_json)


@cdn_app.command("link")
def cdn_link(
    transcript_id: Annotated[str, typer.Argument(metavar="ID")],
    kind: Annotated[
        str, typer.Option("--kind", "-k", help="audio, original, json, vtt or txt.")
    ] = "audio",
    seconds: Annotated[
        int | None, typer.Option(help="How long a signed link is good. [default: 3600]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show where something that was published can be fetched just now."""
    from stretto.interfaces.cli.cdn import show_link

    with _cdn() as (publishing, _, link_s):
        lasting_s = link_s if seconds is None else float(seconds)
        show_link(publishing.uploader, transcript_id, kind, seconds=lasting_s, as_json=as_json)


@cdn_app.command("purge")
def cdn_purge(
    ids: Annotated[list[str], typer.Argument(metavar="ID")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Delete what was published of transcripts from every store. The transcripts stay."""
    from stretto.interfaces.cli.cdn import purge

    with _cdn() as (publishing, _, _link_s):
        purge(publishing.uploader, ids, sure=yes, as_json=as_json)


@cdn_app.command("sync")
def cdn_sync(
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything back first; send what is damaged.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send and delete now what waits, and what lies in another store than that of the settings.

    Exit codes: 0 nothing waits any more, 1 something still does.
    """
    from stretto.interfaces.cli.cdn import sync

    with _cdn() as (publishing, _, _link_s):
        raise typer.Exit(sync(publishing.uploader, verify=verify, as_json=as_json))


@contextmanager
def _cdn(stream: int | None = None) -> Generator[tuple[CDNPublishing, Archive, float], None, None]:
    """With how long a signed link is good, in seconds."""
    from stretto.bootstrap import build_archive, build_database, load_settings
    from stretto.bootstrap.cdn import build_publishing
    from stretto.bootstrap.logs import set_up_plain_logging

    settings = load_settings()
    set_up_plain_logging(settings)
    database = build_database(settings)
    with build_archive(settings, database=database) as archive:
        yield (
            build_publishing(settings, database, stream=stream),
            archive,
            float(settings.cdn_link_s),
        )
