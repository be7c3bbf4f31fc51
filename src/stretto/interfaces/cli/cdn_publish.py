"""Publishes a transcript and its recording: ``cdn publish`` and ``transcribe --publish``."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stretto.contexts.core.errors import (
    InvalidIdentifier,
    InvalidOption,
    UnknownTranscript,
)
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.external.cdn_model import AssetKind, Content, Delivery, Draft
from stretto.contexts.external.cdn_publishing import CDNPublishing
from stretto.contexts.processing.library import Wanted
from stretto.interfaces.cli.cdn import (
    asset_as_json,
    delivery_as_json,
    location_as_json,
    say_troubles,
    shown_size,
)
from stretto.interfaces.cli.progress import MINIMUM_BETWEEN_LINES_S
from stretto.interfaces.formats import format_named

if TYPE_CHECKING:
    from stretto.application import Archive

DOCUMENTS: Final = (AssetKind.JSON, AssetKind.VTT, AssetKind.TXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What somebody wants published; without the recording it is the transcript alone."""

    transcript: Transcript
    recording: Path | None


def wanted_of(
    target: str, recording: str | None, publishing: CDNPublishing, archive: Archive
) -> Publication:
    """``target`` is the id of a transcript, or a recording of which the newest one is meant.

    Raises UnknownTranscript, UnusableMedia, InvalidOption.
    """
    try:
        transcript_id = TranscriptId.parse(target)
    except InvalidIdentifier:
        if recording is not None:
            raise InvalidOption("Name the recording once: as FILE, or with --recording.") from None
        path = Path(target)
        found = archive.page(Wanted(file_hash=publishing.probe(path).file_hash, limit=1)).rows
        if not found:
            raise UnknownTranscript(
                f"{target!r} has no transcript yet. Run: stretto transcribe --publish"
            ) from None
        return Publication(transcript=archive.get(found[0].id), recording=path)
    path_given = Path(recording) if recording else None
    return Publication(transcript=archive.get(transcript_id), recording=path_given)


def documents_of(transcript: Transcript) -> list[Draft]:
    """The transcript as programs (json), players (vtt) and people (txt) read it."""
    forms = [(kind, format_named(kind.value)) for kind in DOCUMENTS]
    return [
        Draft(
            kind=kind,
            content=Content.of_bytes(form.render(transcript).encode()),
            suffix=form.suffix,
            content_type=f"{form.media_type}; charset=utf-8",
            name=transcript.file,
        )
        for kind, form in forms
    ]


def publish(
    publishing: CDNPublishing,
    wanted: Publication,
    *,
    original: bool,
    link_s: float,
    as_json: bool,
) -> None:
    """Publish it, and show what lies where."""
    steps = Steps(quiet=as_json)
    done = _published(publishing, wanted, original=original, steps=steps)
    uploader, transcript_id = publishing.uploader, wanted.transcript.id
    found = [
        (asset, uploader.locate(transcript_id, asset.kind, seconds=link_s))
        for asset in uploader.records.of(transcript_id)
    ]
    if as_json:
        rows = [asset_as_json(asset) | location_as_json(location) for asset, location in found]
        print(json.dumps({"id": str(transcript_id), "assets": rows, **delivery_as_json(done)}))
        return
    for asset, location in found:
        print(f"{asset.kind}\t{shown_size(asset.size_bytes)}\t{location.url}")
    say_troubles(done)


def publish_finished(
    publishing: CDNPublishing,
    transcript: Transcript,
    recording: Path,
    *,
    link_s: float,
    quiet: bool,
) -> str:
    """For ``transcribe --publish``: what to say of it, a line each. Raises StrettoError."""
    wanted = Publication(transcript=transcript, recording=recording)
    done = _published(publishing, wanted, original=False, steps=Steps(quiet=quiet))
    uploader = publishing.uploader
    lines = [
        f"published {asset.kind}: {uploader.locate(transcript.id, asset.kind, seconds=link_s).url}"
        for asset in uploader.records.of(transcript.id)
    ]
    return "\n".join([*lines, *done.troubles])


def _published(
    publishing: CDNPublishing, wanted: Publication, *, original: bool, steps: Steps
) -> Delivery:
    transcript = wanted.transcript
    return publishing.publish(
        transcript,
        documents_of(transcript),
        recording=wanted.recording,
        original=original,
        heard=lambda done_s: steps("encoding", done_s, of=transcript.duration_s),
        sent=lambda asset, count: steps(f"sending {asset.kind}", count, of=asset.size_bytes),
    )


class Steps:
    """A line on standard error every two seconds, for what takes longer than that."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last = time.monotonic()

    def __call__(self, what: str, done: float, *, of: float) -> None:
        if self._quiet or time.monotonic() - self._last < MINIMUM_BETWEEN_LINES_S:
            return
        self._last = time.monotonic()
        print(f"{what}: {min(1.0, done / max(of, 1e-9)):.0%}", file=sys.stderr, flush=True)
