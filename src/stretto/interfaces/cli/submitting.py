"""``stretto submit``: jobs for the workers, and with ``--wait`` what becomes of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stretto.application import options_from
from stretto.contexts.core.errors import (
    AddressRefused,
    InvalidOption,
    MediaNotFound,
    UnusableMedia,
)
from stretto.contexts.core.events import JobPartRetried, JobProgressed, JobRetried, JobStarted
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.processing.model import ProcessingProgress
from stretto.contexts.queue.model import FileWork, Job, JobPriority
from stretto.contexts.queue.service import QueueService, error_of
from stretto.interfaces.cli.exit_codes import ExitCode, exit_code_of
from stretto.interfaces.cli.printing import printable
from stretto.interfaces.cli.progress import Display, display
from stretto.interfaces.cli.queue import as_document, hint_without_workers

StatusOf = Callable[[Job], TranscriptStatus]
_URL: Final = re.compile(r"https?://", re.IGNORECASE)
WORST_FIRST = (ExitCode.WRONG_USAGE, ExitCode.FAILED, ExitCode.INTERRUPTED, ExitCode.PARTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was typed."""

    files: tuple[str, ...]
    priority: str
    language: str | None
    prompt: str
    key: str
    callback: str
    wait: bool
    quiet: bool
    as_json: bool
    settings: dict[str, Any]


def submit(request: Request) -> int:
    """A job for each file, and for what lies at each URL. One that is not there is named, and the
    others are submitted."""
    from stretto.bootstrap import build_archive, load_settings, open_queue
    from stretto.bootstrap.logs import set_up_plain_logging

    if request.key and len(request.files) > 1:
        raise InvalidOption("--key is for one request: give one file with it.")
    settings = load_settings(overrides=request.settings)
    set_up_plain_logging(settings)
    options = options_from(language=request.language or settings.language, prompt=request.prompt)
    priority = JobPriority.parse(request.priority)

    def accept(path: Path) -> Job:
        work = FileWork(
            path=str(path), options=options, engine=settings.engine, model=settings.model
        )
        return queue.submit(work, priority=priority, key=request.key, callback=request.callback)

    def fetch(url: str) -> Path:
        from stretto.bootstrap.fetching import fetched

        return fetched(settings, url)

    queue = open_queue(settings)
    try:
        codes, jobs = _accept(request, fetch, accept)
        if jobs and not request.quiet:
            hint_without_workers(queue)
        if request.wait:
            with build_archive(settings) as archive, display(sys.stderr, quiet=request.quiet) as on:

                def status_of(job: Job) -> TranscriptStatus:
                    assert job.transcript_id is not None
                    return archive.summary(job.transcript_id).status

                for job in jobs:
                    codes.append(_wait(queue, job, on, status_of))
    finally:
        queue.close()
    return int(next((code for code in WORST_FIRST if code in codes), ExitCode.COMPLETE))


def show_plans(request: Request) -> int:
    """``--plan``: whether the chunks of each file would be shared by all workers, and which."""
    from stretto.interfaces.cli import transcribe

    asked = transcribe.Request(
        files=request.files,
        formats=(),
        output=None,
        language=request.language,
        prompt=request.prompt,
        stream=None,
        words=False,
        layout=(None, None),
        no_cache=False,
        publish=False,
        quiet=request.quiet,
        as_json=request.as_json,
        debug=False,
        settings=request.settings,
    )
    return transcribe.show_plans(asked)


def _accept(
    request: Request, fetch: Callable[[str], Path], accept: Callable[[Path], Job]
) -> tuple[list[ExitCode], list[Job]]:
    codes: list[ExitCode] = []
    jobs: list[Job] = []
    for file in request.files:
        try:
            path = fetch(file) if _URL.match(file) else _found(file)
        except (UnusableMedia, AddressRefused) as error:
            print(printable(f"stretto: {error.message}"), file=sys.stderr)
            codes.append(exit_code_of(error))
            continue
        jobs.append(job := accept(path))
        print(json.dumps(as_document(job)) if request.as_json else job.id, flush=True)
    return codes, jobs


def _found(file: str) -> Path:
    """Raises MediaNotFound."""
    path = Path(file).absolute()
    if not path.exists():
        raise MediaNotFound(f"There is no file {path}.")
    return path


def _wait(queue: QueueService, job: Job, shown: Display, status_of: StatusOf) -> ExitCode:
    begun = False
    for heard in queue.follow(job.id):
        event = heard.event
        if isinstance(event, JobStarted) and not begun:
            begun = True
            shown.begin(job.file)
        elif isinstance(event, JobRetried | JobPartRetried):
            chunk = f"chunk {event.part}: " if isinstance(event, JobPartRetried) else ""
            shown.say(f"{job.file}: {chunk}{event.reason} Tried again in {event.delay_s:.0f} s.")
        elif isinstance(event, JobProgressed):
            shown.update(
                ProcessingProgress(
                    fraction=event.fraction,
                    done_s=event.done_s,
                    total_s=event.total_s,
                    chunks_done=event.chunks_done,
                    chunks_known=event.chunks_known,
                )
            )
    shown.end()
    over = queue.get(job.id)
    error = error_of(over)
    if error is not None:
        shown.say(f"{job.file}: {error.message}")
        return ExitCode.FAILED
    status = status_of(over)
    shown.say(f"{job.file}: {status}, kept as {over.transcript_id}")
    return ExitCode.PARTIAL if status is TranscriptStatus.PARTIAL else ExitCode.COMPLETE
