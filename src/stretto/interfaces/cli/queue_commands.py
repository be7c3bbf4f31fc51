"""Declares the commands around jobs and their options; the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stretto.contexts.queue.service import QueueService

queue_app = typer.Typer()
jobs_app = typer.Typer(no_args_is_help=True, help="List, show, watch, cancel and retry jobs.")
dlq_app = typer.Typer(no_args_is_help=True, help="Look after jobs that were given up.")
queue_app.add_typer(jobs_app, name="jobs")
queue_app.add_typer(dlq_app, name="dlq")

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As submit prints it.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID")]
SomeIds = Annotated[list[str] | None, typer.Argument(metavar="ID")]
Limit = Annotated[int, typer.Option(help="How many, 1 to 1000.")]
After = Annotated[str | None, typer.Option(metavar="ID", help="The last job of the page before.")]
Every = Annotated[bool, typer.Option("--all", help="All of them.")]


@queue_app.command()
def submit(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Audio or video files, or URLs of some.")
    ],
    priority: Annotated[str, typer.Option(help="high, medium or low.")] = "medium",
    language: Annotated[
        str | None, typer.Option(help="The language spoken (ISO 639-1, as en). [default: detect]")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="Names and terms that occur; guides the spelling.")
    ] = "",
    model: Annotated[str | None, typer.Option(help="A model name or folder.")] = None,
    engine: Annotated[str | None, typer.Option(help="Who transcribes. [default: whisper]")] = None,
    key: Annotated[
        str, typer.Option(help="A word for this request: made again, it is the same job.")
    ] = "",
    callback: Annotated[
        str, typer.Option(metavar="URL", help="Called, signed, when a job is over.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Show the progress to the end.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show how the files would be shared; submit nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress or messages.")] = False,
    as_json: Json = False,
) -> None:
    """Have files transcribed by a worker: one job id a line, once the job cannot be lost any more.

    Exit codes: 0 accepted (with --wait: complete), 3 some partial, 1 some failed, 2 wrong usage.
    """
    from stretto.interfaces.cli import submitting

    request = submitting.Request(
        files=tuple(files),
        priority=priority,
        language=language,
        prompt=prompt,
        key=key,
        callback=callback,
        wait=wait,
        quiet=quiet,
        as_json=as_json,
        settings={n: v for n, v in (("model", model), ("engine", engine)) if v is not None},
    )
    raise typer.Exit(submitting.show_plans(request) if plan else submitting.submit(request))


@queue_app.command()
def workers(as_json: Json = False) -> None:
    """Show the workers that are alive."""
    from stretto.interfaces.cli.queue import show_workers

    with _queue() as queue:
        show_workers(queue, as_json=as_json)


@queue_app.command()
def worker(
    concurrency: Annotated[int, typer.Option(help="Jobs worked on at once, 1 to 64.")] = 1,
    queues: Annotated[str, typer.Option(help="Which priorities to work on.")] = "high,medium,low",
) -> None:
    """Work on submitted jobs until SIGTERM or Ctrl-C; a second one leaves at once.

    Exit codes: 0 told to leave, 1 something was wrong.
    """
    from stretto.interfaces.cli.working import work

    raise typer.Exit(work(concurrency=concurrency, queues=queues))


@jobs_app.command("list")
def jobs_list(
    status: Annotated[
        str | None,
        typer.Option(help="Only queued, processing, completed, failed or cancelled ones."),
    ] = None,
    limit: Limit = 20,
    after: After = None,
    as_json: Json = False,
) -> None:
    """Show jobs, the newest first."""
    from stretto.interfaces.cli.queue import list_jobs

    with _queue() as queue:
        list_jobs(queue, status=status, limit=limit, after=after, as_json=as_json)


@jobs_app.command("show")
def jobs_show(job_id: Id, as_json: Json = False) -> None:
    """Show one job: where it stands, how far it is, and what went wrong."""
    from stretto.interfaces.cli.queue import show_job

    with _queue() as queue:
        show_job(queue, job_id, as_json=as_json)


@jobs_app.command("watch")
def jobs_watch(
    job_id: Id,
    after: Annotated[int, typer.Option(help="The number of the last event that is known.")] = 0,
    as_json: Json = False,
) -> None:
    """Print what happens to a job, from its beginning to its end.

    Exit codes: 0 completed, 1 failed or cancelled.
    """
    from stretto.interfaces.cli.queue import watch_job

    with _queue() as queue:
        raise typer.Exit(watch_job(queue, job_id, after=after, as_json=as_json))


@jobs_app.command("cancel")
def jobs_cancel(ids: Ids, as_json: Json = False) -> None:
    """Cancel jobs, wherever they run; what was finished of them is kept."""
    from stretto.interfaces.cli.queue import cancel_jobs

    with _queue() as queue:
        cancel_jobs(queue, ids, as_json=as_json)


@jobs_app.command("retry")
def jobs_retry(ids: Ids, as_json: Json = False) -> None:
    """Try jobs again that failed or were cancelled; only what is missing is computed."""
    from stretto.interfaces.cli.queue import retry_jobs

    with _queue() as queue:
        retry_jobs(queue, ids, as_json=as_json)


@dlq_app.command("list")
def dlq_list(limit: Limit = 20, after: After = None, as_json: Json = False) -> None:
    """Show the jobs that were given up, the newest first."""
    from stretto.interfaces.cli.queue import list_jobs

    with _queue() as queue:
        list_jobs(queue, status="failed", limit=limit, after=after, as_json=as_json)


@dlq_app.command("show")
def dlq_show(job_id: Id, as_json: Json = False) -> None:
    """Show why a job was given up, where that came from, and what was done of it."""
    from stretto.interfaces.cli.queue import show_dead_letter

    with _queue() as queue:
        show_dead_letter(queue, job_id, as_json=as_json)


@dlq_app.command("requeue")
def dlq_requeue(ids: SomeIds = None, every: Every = False, as_json: Json = False) -> None:
    """Try jobs again that were given up; only what is missing is computed."""
    from stretto.interfaces.cli.queue import dead_letters, retry_jobs

    with _queue() as queue:
        retry_jobs(queue, dead_letters(queue, ids or (), every=every), as_json=as_json)


@dlq_app.command("purge")
def dlq_purge(ids: SomeIds = None, every: Every = False, as_json: Json = False) -> None:
    """Forget jobs that were given up."""
    from stretto.interfaces.cli.queue import dead_letters, purge_jobs

    with _queue() as queue:
        purge_jobs(queue, dead_letters(queue, ids or (), every=every), as_json=as_json)


@contextmanager
def _queue() -> Generator[QueueService, None, None]:
    from stretto.bootstrap import load_settings, open_queue
    from stretto.bootstrap.logs import set_up_plain_logging

    settings = load_settings()
    set_up_plain_logging(settings)
    queue = open_queue(settings)
    try:
        yield queue
    finally:
        queue.close()
