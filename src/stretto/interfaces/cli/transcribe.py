"""``stretto transcribe``: several files, one display, results where they were asked for."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.application import options_from
from stretto.contexts.core.errors import (
    Cancelled,
    InvalidOption,
    OutputNotWritable,
    StorageFull,
    StrettoError,
)
from stretto.contexts.core.events import FileProcessingStarted
from stretto.contexts.core.transcript import (
    Segment,
    Transcript,
    TranscriptNotKept,
    TranscriptStatus,
)
from stretto.contexts.processing.model import CancelToken
from stretto.interfaces.cli.exit_codes import ExitCode, exit_code_of
from stretto.interfaces.cli.interrupt import cancelling_on_interrupt
from stretto.interfaces.cli.printing import printable
from stretto.interfaces.cli.progress import Display, clock, display
from stretto.interfaces.files import output_paths, write_atomically
from stretto.interfaces.formats import FORMATS, SubtitleLayout, format_named
from stretto.interfaces.formats.cleaning import well_formed

if TYPE_CHECKING:
    from stretto.application import Application

logger = logging.getLogger(__name__)

WITH_OPTIONAL_WORDS = frozenset({"json", "verbose_json"})
WORTH_SAYING_QUIETLY = frozenset(
    {ExitCode.FAILED, ExitCode.WRONG_USAGE, ExitCode.INTERRUPTED, ExitCode.PARTIAL}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was typed. ``layout`` is (columns, lines) of a subtitle, None for the default."""

    files: tuple[str, ...]
    formats: tuple[str, ...]
    output: str | None
    language: str | None
    prompt: str
    stream: int | None
    words: bool
    layout: tuple[int | None, int | None]
    no_cache: bool
    publish: bool
    quiet: bool
    as_json: bool
    debug: bool
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one file."""

    file: str
    code: ExitCode
    message: str


def split_formats(given: Iterable[str] | None) -> tuple[str, ...]:
    """``["srt,json", "vtt"]`` means three formats; each counts once."""
    names = [name.strip() for value in given or () for name in value.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def transcribe(request: Request) -> int:
    """Returns the exit code. Raises InvalidRequest for what is wrong before any work began."""
    formats = request.formats or default_formats(request)
    writers = [format_named(name) for name in formats]
    layout = subtitle_layout(request.layout)
    options_from(language=request.language, prompt=request.prompt)  # raises before any work
    single = len(request.files) == 1 and len(formats) == 1
    if request.output == "-" and not single:
        raise InvalidOption("Standard output takes one file in one format; name a folder instead.")
    to_stdout = single and request.output in {None, "-"}
    paths = [Path(file) for file in request.files]
    targets = None if to_stdout else output_paths(paths, formats=formats, output=request.output)
    prepare_folders(target.parent for by_format in targets or () for target in by_format.values())

    line = writers[0].line if to_stdout else None

    def write(index: int, transcript: Transcript) -> str:
        if line:
            return ""  # it was printed as it came
        documents = {
            w.name: w.render(_shown(transcript, w.name, words=request.words), layout=layout)
            for w in writers
        }
        if targets is None:
            print_document(next(iter(documents.values())))
            return ""
        for name, text in documents.items():
            write_atomically(targets[index][name], text)
        return ", ".join(printable(str(target)) for target in targets[index].values())

    return _run(request, paths, write, line)


def _run(
    request: Request,
    paths: list[Path],
    write: Callable[[int, Transcript], str],
    line: Callable[[Segment], str] | None,
) -> int:
    cancel = CancelToken()
    with (
        cancelling_on_interrupt(cancel),
        _application(request) as application,
        display(sys.stderr, quiet=request.quiet) as shown,
    ):
        application.events.subscribe(FileProcessingStarted, lambda e: shown.begin(e.file))
        outcomes = []
        for index, path in enumerate(paths):
            outcome = _one(application, request, path, index, write, line, cancel, shown)
            outcomes.append(outcome)
            if outcome.code not in WORTH_SAYING_QUIETLY and request.quiet:
                continue
            _say(shown, outcome, quiet=request.quiet)
            if outcome.code is ExitCode.INTERRUPTED:
                break
        if len(paths) > 1:
            _summarise(shown, outcomes, total=len(paths))
    return int(_worst(outcomes))


def _one(
    application: Application,
    request: Request,
    path: Path,
    index: int,
    write: Callable[[int, Transcript], str],
    line: Callable[[Segment], str] | None,
    cancel: CancelToken,
    shown: Display,
) -> Outcome:
    started = time.monotonic()
    not_kept = ""
    try:
        try:
            transcript = application.transcribe(
                path,
                language=request.language,
                prompt=request.prompt,
                stream=request.stream,
                again=request.no_cache,
                cancel=cancel,
                progressed=shown.update,
                heard=_printed_with(line, shown) if line else None,
            )
        except TranscriptNotKept as error:  # the work is done: give what there is
            transcript, not_kept = error.transcript, error.message
        shown.end()
        written = write(index, transcript)
        published = "" if not_kept else _published(request, transcript, path)
    except StrettoError as error:
        shown.end()
        if request.debug and not isinstance(error, Cancelled):
            logger.exception("%s", path)
        said = printable(error.message)
        return Outcome(file=str(path), code=exit_code_of(error), message=said)
    if not_kept:
        return Outcome(file=str(path), code=ExitCode.FAILED, message=printable(not_kept))
    partial = transcript.status is TranscriptStatus.PARTIAL
    return Outcome(
        file=str(path),
        code=ExitCode.PARTIAL if partial else ExitCode.COMPLETE,
        message=_report(
            transcript, application.database, seconds=time.monotonic() - started, written=written
        )
        + published,
    )


def _published(request: Request, transcript: Transcript, path: Path) -> str:
    """Lines about what listeners can fetch now, if it was asked for."""
    if not request.publish:
        return ""
    from stretto.bootstrap import build_database, load_settings
    from stretto.bootstrap.cdn import build_publishing
    from stretto.interfaces.cli.cdn_publish import publish_finished

    settings = load_settings(overrides=request.settings)
    database = build_database(settings)
    try:
        publishing = build_publishing(settings, database, stream=request.stream)
        link_s, quiet = float(settings.cdn_link_s), request.quiet
        return "\n" + publish_finished(publishing, transcript, path, link_s=link_s, quiet=quiet)
    finally:
        database.close()


def _printed_with(
    line: Callable[[Segment], str], shown: Display
) -> Callable[[tuple[Segment, ...]], None]:
    def heard(segments: tuple[Segment, ...]) -> None:
        with shown.aside() if sys.stdout and sys.stdout.isatty() else nullcontext():
            print_document(well_formed("".join(map(line, segments))))

    return heard


def _report(transcript: Transcript, database: str, *, seconds: float, written: str) -> str:
    """What is said of a finished file, on standard error."""
    lines = [f"warning: {warning}" for warning in transcript.warnings]
    lines += [
        f"missing: {clock(gap.start)} to {clock(gap.end)} ({gap.reason.value.replace('_', ' ')})"
        + (f": {gap.detail}" if gap.detail else "")
        for gap in transcript.coverage.gaps
    ]
    if not transcript.has_speech and not transcript.coverage.gaps:
        lines.append("no speech in this recording")
    use = transcript.cache
    how = (
        "recalled, nothing computed"
        if use.hits and not use.misses
        else f"{transcript.duration_s / max(seconds, 0.001):.0f}× real time, "
        f"{clock(use.recalled_s)} of it known before"
    )
    lines.append(
        f"{transcript.status.value}: {clock(transcript.duration_s)} of audio in {seconds:.1f} s "
        f"({how}; {transcript.model}, {transcript.language or 'no language'})"
    )
    if written:
        lines.append(f"written to {written}")
    lines.append(f"kept as {transcript.id} in {database}")
    return "\n".join(lines)


def _say(shown: Display, outcome: Outcome, *, quiet: bool) -> None:
    if quiet:
        said = printable(_named(outcome.file, outcome.message))
        print(f"stretto: {said}", file=sys.stderr)
        return
    for line in outcome.message.splitlines():
        shown.say(_named(Path(outcome.file).name, line))


def _named(file: str, line: str) -> str:
    """The line with the file's name before it, unless it says the name itself."""
    name = printable(file)
    return line if name in line else f"{name}: {line}"


def _summarise(shown: Display, outcomes: list[Outcome], *, total: int) -> None:
    count = {code: sum(o.code is code for o in outcomes) for code in ExitCode}
    failed = count[ExitCode.FAILED] + count[ExitCode.WRONG_USAGE]
    not_begun = total - len(outcomes) + count[ExitCode.INTERRUPTED]
    parts = [f"{count[ExitCode.COMPLETE]} complete"]
    parts += [f"{count[ExitCode.PARTIAL]} partial"] if count[ExitCode.PARTIAL] else []
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{not_begun} not finished"] if not_begun else []
    shown.say(f"{total} files: " + ", ".join(parts))


def _worst(outcomes: list[Outcome]) -> ExitCode:
    """Of several files: interrupted before failed before partial; usage only if alone."""
    codes = {outcome.code for outcome in outcomes}
    if codes == {ExitCode.WRONG_USAGE}:
        return ExitCode.WRONG_USAGE
    if codes & {ExitCode.INTERRUPTED}:
        return ExitCode.INTERRUPTED
    if codes & {ExitCode.FAILED, ExitCode.WRONG_USAGE}:
        return ExitCode.FAILED
    return ExitCode.PARTIAL if ExitCode.PARTIAL in codes else ExitCode.COMPLETE


def show_plans(request: Request) -> int:
    """``--plan``: the chunks of each file, the reason for their size, and the cached share."""
    from stretto.interfaces.cli.plan import plan_document, plan_text

    outcomes = []
    with _application(request) as application:
        for file in request.files:
            try:
                report = application.plan(
                    file, language=request.language, prompt=request.prompt, stream=request.stream
                )
            except StrettoError as error:
                if request.debug:
                    logger.exception("%s", file)
                outcomes.append(Outcome(file=file, code=exit_code_of(error), message=""))
                print(printable(f"stretto: {file}: {error.message}"), file=sys.stderr)
                continue
            print(plan_document(report) if request.as_json else plan_text(report))
            outcomes.append(Outcome(file=file, code=ExitCode.COMPLETE, message=""))
    return int(_worst(outcomes))


def default_formats(request: Request) -> tuple[str, ...]:
    """Json if programs read it, what the output file is named for, else text; on a terminal the
    text has times."""
    if request.as_json:
        return ("json",)
    if request.output not in {None, "-"}:
        suffix = Path(str(request.output)).suffix.lower()
        return next(((f.name,) for f in FORMATS.values() if f.suffix == suffix), ("txt",))
    return ("timed" if sys.stdout and sys.stdout.isatty() else "txt",)


def print_document(document: str) -> None:
    """Raises OutputNotWritable or StorageFull when standard output cannot take it."""
    if sys.stdout is None:
        raise OutputNotWritable("Standard output is closed; name a file with --output.")
    try:
        sys.stdout.write(document)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as cause:
        # What is still in the buffer would be tried, and fail, again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if cause.errno == errno.ENOSPC:
            raise StorageFull("Standard output was not written: the disk is full.") from cause
        raise OutputNotWritable(f"Standard output was not written: {cause.strerror}.") from cause


def subtitle_layout(given: tuple[int | None, int | None]) -> SubtitleLayout:
    width, count = given
    usual = SubtitleLayout()
    return SubtitleLayout(
        max_line_width=usual.max_line_width if width is None else width,
        max_line_count=usual.max_line_count if count is None else count,
    )


def prepare_folders(folders: Iterable[Path]) -> None:
    """Make sure before hours of work that the results can be written."""
    from stretto.interfaces.files import prepare_folder

    for folder in dict.fromkeys(folders):
        prepare_folder(folder)


def _shown(transcript: Transcript, name: str, *, words: bool) -> Transcript:
    return transcript.without_words() if name in WITH_OPTIONAL_WORDS and not words else transcript


def _application(request: Request) -> Application:
    from stretto.bootstrap import build, load_settings
    from stretto.bootstrap.logs import set_up_plain_logging

    settings = load_settings(overrides=request.settings)
    level = "DEBUG" if request.debug else "CRITICAL" if request.quiet else settings.log_level
    set_up_plain_logging(settings, level=level)
    return build(settings, use_cache=not request.no_cache)
