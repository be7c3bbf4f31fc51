"""A list, a detail and a search ask the database a few times, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from stretto.application import Archive
from stretto.bootstrap import build_archive, build_database
from stretto.contexts.core.identifiers import FileHash, TranscriptId
from stretto.contexts.database.adapters.outbox import OutboxWriter
from stretto.contexts.database.adapters.sqlite_watch import SlowRuns
from stretto.contexts.processing.adapters.transcripts import SqlTranscriptStore
from stretto.contexts.processing.library import Wanted
from stretto.interfaces.cli.transcripts import list_transcripts, show_transcript
from tests.conftest import Place
from tests.fakes.examples import a_segment, a_transcript, a_transcript_request, sha256_of
from tests.servers import settings_of

FIRST = TranscriptId(UUID(int=1))
MOST = 3

QUESTIONS: dict[str, Callable[[Archive], object]] = {
    "list": lambda archive: archive.page(Wanted(limit=50)),
    "list, as typed": lambda archive: list_transcripts(
        archive, limit=50, after=None, language="en", status="complete", as_json=True
    ),
    "detail": lambda archive: archive.get(FIRST),
    "detail, as typed": lambda archive: show_transcript(archive, str(FIRST), as_json=False),
    "search": lambda archive: archive.search("talk", limit=50),
}


@pytest.fixture
def watched(place: Place) -> Iterator[tuple[Archive, SlowRuns]]:
    """Everything counts as slow, and so is noted."""
    runs, settings = SlowRuns(slow_ms=0), settings_of(place)
    database = build_database(settings, slow=runs)
    store = SqlTranscriptStore(database, outbox=OutboxWriter())
    for number in range(1, 31):
        file = FileHash(sha256_of(str(number // 10)))
        transcript = a_transcript(
            segments=tuple(a_segment(f"talk {number} part {part}") for part in range(5)),
            id=TranscriptId(UUID(int=number)),
            created_at_s=1000.0 + number,
            file_hash=file,
        )
        store.keep(a_transcript_request(str(number)), transcript)
    archive = build_archive(settings, database=database)
    yield archive, runs
    archive.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_is_asked_row_by_row(
    watched: tuple[Archive, SlowRuns], question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, runs = watched
    list(runs.taken())
    assert QUESTIONS[question](archive) != ()
    asked = [run.statement for run in runs.taken()]
    assert 1 <= len(asked) <= MOST, asked
