"""The commands `stretto transcripts …`: list, show, export, delete and search what was kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Language, TranscriptId
from stretto.contexts.core.transcript import TranscriptStatus
from stretto.contexts.processing.library import (
    BEGINNING,
    Cursor,
    SearchHit,
    TranscriptSummary,
    Wanted,
)
from stretto.interfaces.cli.printing import printable
from stretto.interfaces.cli.progress import clock
from stretto.interfaces.files import prepare_folder, write_atomically
from stretto.interfaces.formats import FORMATS, format_named

if TYPE_CHECKING:
    from stretto.application import Archive

MOST_VERSIONS: Final = 100


def list_transcripts(
    archive: Archive,
    *,
    limit: int,
    after: str | None,
    language: str | None,
    status: str | None,
    as_json: bool,
) -> None:
    """The newest first: a table on a terminal, else a line with tabs for each."""
    wanted = Wanted(
        limit=limit,
        after=Cursor.parse(after) if after else BEGINNING,
        language=Language.parse(language) if language else None,
        status=_status(status),
    )
    page = archive.page(wanted)
    if as_json:
        rows = [_as_json(row) for row in page.rows]
        print(json.dumps({"transcripts": rows, "next": str(page.next) if page.next else None}))
        return
    if sys.stdout.isatty():
        _print_table(page.rows)
    else:
        for row in page.rows:
            print("\t".join(_cells(row)))
    if page.next:
        print(f"There are more; go on with --after {page.next}", file=sys.stderr)


def show_transcript(archive: Archive, transcript_id: str, *, as_json: bool) -> None:
    """What is known of one transcript, the other versions of its file, and the text with times."""
    found = TranscriptId.parse(transcript_id)
    transcript, summary = archive.get(found), archive.summary(found)
    versions = archive.page(Wanted(file_hash=summary.file_hash, limit=MOST_VERSIONS)).rows
    if as_json:
        document = json.loads(format_named("json").render(transcript))
        others = [{"id": str(row.id), "version": row.version} for row in versions]
        print(json.dumps({**_as_json(summary), "versions": others, "transcript": document}))
        return
    for name, value in _described(summary, versions):
        print(f"{name + ':':<10} {value}")
    print()
    print(format_named("timed").render(transcript), end="")


def export_transcript(
    archive: Archive,
    transcript_id: str,
    *,
    format_name: str | None,
    output: str | None,
    words: bool,
) -> None:
    """Write a kept transcript in one of the formats, to a file or to standard output."""
    from stretto.interfaces.cli.transcribe import print_document

    form = format_named(format_name or _format_for(output))
    transcript = archive.get(TranscriptId.parse(transcript_id))
    document = form.render(transcript if words else transcript.without_words())
    if output in {None, "-"}:
        print_document(document)
        return
    path = Path(str(output))
    if str(output).endswith("/") or path.is_dir():
        path /= f"{Path(printable(transcript.file)).stem or 'transcript'}{form.suffix}"
    prepare_folder(path.parent)
    write_atomically(path, document)
    print(f"written to {path}", file=sys.stderr)


def delete_transcripts(archive: Archive, ids: Sequence[str], *, sure: bool) -> None:
    """Delete, once each of them is known to be there and somebody said yes."""
    found = [archive.summary(TranscriptId.parse(one)) for one in dict.fromkeys(ids)]
    if not sure and not _agreed(found):
        raise InvalidOption("Nothing was deleted. Say --yes to delete without a question.")
    for row in found:
        archive.delete(row.id)
        print(f"deleted {row.id} ({printable(row.file)}, version {row.version})")


def search_transcripts(archive: Archive, words: str, *, limit: int, as_json: bool) -> None:
    """The best segments first, each with its file, time and passage."""
    if not 1 <= limit <= 100:
        raise InvalidOption(f"A search shows 1 to 100 hits, not {limit}.")
    hits = archive.search(words, limit=limit)
    if as_json:
        print(json.dumps({"hits": [_hit_as_json(hit) for hit in hits]}))
    elif sys.stdout.isatty():
        _print_hits(hits)
    else:
        for hit in hits:
            cells = (str(hit.transcript_id), clock(hit.at), printable(hit.file), hit.text)
            print("\t".join(cells))
    if not hits and not as_json:
        print("Nothing was found.", file=sys.stderr)


def _agreed(rows: Sequence[TranscriptSummary]) -> bool:
    if not sys.stdin.isatty():
        return False
    for row in rows:
        print(f"{row.id}  {printable(row.file)}, version {row.version}", file=sys.stderr)
    print("Delete with everything that came of it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _status(text: str | None) -> TranscriptStatus | None:
    if text is None:
        return None
    try:
        return TranscriptStatus(text.lower())
    except ValueError as cause:
        raise InvalidOption(f"A status is complete or partial, not {text[:32]!r}.") from cause


def _format_for(output: str | None) -> str:
    if output in {None, "-"}:
        return "txt"
    suffix = Path(str(output)).suffix.lower()
    return next((one.name for one in FORMATS.values() if one.suffix == suffix), "txt")


def _as_json(row: TranscriptSummary) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "file": row.file,
        "file_hash": row.file_hash.value,
        "version": row.version,
        "language": row.language.code if row.language else None,
        "status": row.status.value,
        "duration_s": row.duration_s,
        "engine": row.engine,
        "model": row.model,
        "created_at": row.created_at.unix_s,
    }


def _hit_as_json(hit: SearchHit) -> dict[str, Any]:
    return {
        "id": str(hit.transcript_id),
        "file": hit.file,
        "version": hit.version,
        "language": hit.language.code if hit.language else None,
        "start": round(hit.start, 3),
        "end": round(hit.end, 3),
        "at": round(hit.at, 3),
        "text": hit.text,
        "matches": [list(mark) for mark in hit.marks],
        "score": round(hit.score, 4),
    }


def _cells(row: TranscriptSummary) -> tuple[str, ...]:
    return (
        str(row.id),
        moment(row.created_at.unix_s),
        clock(row.duration_s),
        row.language.code if row.language else "-",
        row.status.value,
        str(row.version),
        printable(row.model),
        printable(row.file),
    )


def _described(
    row: TranscriptSummary, versions: Sequence[TranscriptSummary]
) -> list[tuple[str, str]]:
    others = ", ".join(f"{v.version} ({v.id})" for v in versions if v.id != row.id)
    return [
        ("id", str(row.id)),
        ("file", printable(row.file)),
        ("made", f"{moment(row.created_at.unix_s)} by {row.engine} {printable(row.model)}"),
        ("length", clock(row.duration_s)),
        ("language", row.language.english_name if row.language else "unknown"),
        ("status", row.status.value),
        ("version", f"{row.version}" + (f"; others: {others}" if others else "")),
    ]


def moment(unix_s: float) -> str:
    """Example: ``2026-11-24T17:01:10Z``."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return "unknown"


def _print_table(rows: Sequence[TranscriptSummary]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    for name in ("id", "made", "length", "lang", "status", "v", "model"):
        table.add_column(name, no_wrap=name in {"id", "made"})
    table.add_column("file", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    Console().print(table)


def _print_hits(hits: Sequence[SearchHit]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for hit in hits:
        passage = Text(hit.text)
        for start, end in hit.marks:
            passage.stylize("bold yellow", start, end)
        place = f"{printable(hit.file)}  {clock(hit.at)}"
        console.print(Text(place, style="bold"), Text(f"  {hit.transcript_id}", style="dim"))
        console.print(Text("  ") + passage)
