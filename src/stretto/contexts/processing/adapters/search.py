"""Searches all transcripts: the database's word index finds candidates, our own code decides."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stretto.contexts.core.identifiers import Language, Timestamp, TranscriptId
from stretto.contexts.processing.adapters import stemming
from stretto.contexts.processing.adapters.connections import Connection, Database
from stretto.contexts.processing.adapters.segments import segment_rows, time_of, write_segments
from stretto.contexts.processing.adapters.transcripts import decoded
from stretto.contexts.processing.library import SearchHit
from stretto.contexts.processing.searching import (
    Match,
    Query,
    Term,
    indexable,
    match,
    passage,
    promise,
    tokens_of,
)

CANDIDATES_FOR_EACH_HIT: Final = 5
"""Of so many of the newest segments with the words the best are shown. A search for a word that
stands everywhere costs no more than one for a rare one, and each candidate may be a read of its
own from a slow disk."""

MOST_HITS: Final = 100
UNREADABLE: Final = -1
_SHORTER_BY: Final = 4
_BATCH: Final = 50

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Candidate:
    number: int
    transcript: int
    found: Match


class SqlTranscriptSearch:
    """All methods raise StorageFull or StorageUnavailable when the database is in trouble."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def search(self, text: str, *, limit: int, owner: str | None = None) -> tuple[SearchHit, ...]:
        """At most ``limit`` (no more than 100) segments with all of the words, the best first;
        of equally good ones the newest. ``owner`` leaves the transcripts of one.

        Raises InvalidOption for a text without a word.
        """
        query = Query.parse(text, stem=stemming.stem)
        limit = max(1, min(limit, MOST_HITS))
        candidates = CANDIDATES_FOR_EACH_HIT * limit
        values = {"query": _EXPRESSIONS[self._dialect](query), "limit": candidates}
        values |= {} if owner is None else {"owner": owner}
        while True:
            with self._database.read() as connection:
                if connection.execute(_UNINDEXED, {"limit": 1}).fetchone() is None:
                    return self._found(connection, query, values, limit=limit)
            self.index_what_is_not()

    def _found(
        self, connection: Connection, query: Query, values: dict[str, Any], *, limit: int
    ) -> tuple[SearchHit, ...]:
        """On one connection from end to end: in a rush, nobody waits for a second one."""
        table = _CANDIDATES_OF_OWNER if "owner" in values else _CANDIDATES
        rows = connection.execute(table[self._dialect], values).fetchall()
        best = _ranked(query, rows, limit=limit)
        if not best:
            return ()
        names = {f"n{i}": candidate.number for i, candidate in enumerate(best)}
        places = ", ".join(f":{name}" for name in names)
        details = connection.execute(_DETAILS.format(places=places), names).fetchall()
        by_number = {row[0]: row for row in details}  # one may have been deleted meanwhile
        return tuple(_hit(by_number[c.number], c) for c in best if c.number in by_number)

    def index_what_is_not(self) -> int:
        """Write the segments of transcripts that an older Stretto kept. Returns how many."""
        count = 0
        while True:
            with self._database.read() as connection:
                rows = connection.execute(_UNINDEXED, {"limit": _BATCH}).fetchall()
            for number, transcript_id, document in rows:
                self._index(number, transcript_id, document)
            count += len(rows)
            if len(rows) < _BATCH:
                return count

    def _index(self, number: int, transcript_id: str, document: object) -> None:
        transcript = decoded(transcript_id, document)
        segments = segment_rows(transcript) if transcript else []
        state = stemming.VERSION if transcript else UNREADABLE
        values = {"number": number, "state": state}

        def work(connection: Connection) -> None:
            # Somebody else may do the same; the one who changes the row writes the segments.
            if connection.execute(_INDEXED, values).rowcount == 1:
                write_segments(connection, number, segments)

        self._database.transact(work)


def _ranked(query: Query, rows: Sequence[Any], *, limit: int) -> list[_Candidate]:
    """Those that really match: the best first, of equals the newest transcript's in order."""
    promising = [
        (-worth, -transcript, number, text)
        for number, transcript, text, stems in rows
        if (worth := promise(query, stems)) is not None
    ]
    found: list[_Candidate] = []
    for _, transcript, number, text in sorted(promising):
        if fits := match(query, tokens_of(text, stem=stemming.stem)):
            found.append(_Candidate(number, -transcript, fits))
        if len(found) == 2 * limit:  # the very form of a word can lift one over another
            break
    return sorted(found, key=lambda c: (-c.found.score, -c.transcript, c.number))[:limit]


def _hit(row: Sequence[Any], candidate: _Candidate) -> SearchHit:
    _, start_s, end_s, text, words, transcript_id, file, version, language, created_at = row
    marks = candidate.found.marks
    shown, inside = passage(text, marks)
    return SearchHit(
        transcript_id=TranscriptId.parse(transcript_id),
        file=file,
        version=version,
        language=Language(language) if language else None,
        created_at=Timestamp(created_at),
        start=start_s,
        end=end_s,
        at=time_of(marks[0][0], text, words, otherwise=start_s),
        text=shown,
        marks=inside,
        score=candidate.found.score,
    )


def _endings(term: Term) -> list[tuple[str, bool]]:
    """What the last word may be in the index, and whether that is only its beginning.

    Stems are what is indexed, and the stem of a word may be shorter than the beginning that was
    typed: "universi*" has to find "univers", the stem of "university".
    """
    word = term.words[-1]
    if not term.prefix:
        return [(term.stems[-1], False)]
    shorter = {word[:-n] for n in range(1, _SHORTER_BY + 1) if len(word) - n >= 2}
    shorter.add(stemming.stem(word))
    return [(indexable(word), True), *((indexable(ending), False) for ending in sorted(shorter))]


def _for_sqlite(query: Query) -> str:
    """In the language of FTS5. Words are letters and digits, nothing in them can mean anything."""
    terms = []
    for term in query.terms:
        either = [
            f'"{" ".join((*term.stems[:-1], ending))}"' + ("*" if begins else "")
            for ending, begins in _endings(term)
        ]
        terms.append(f"({' OR '.join(either)})")
    return " AND ".join(terms)


def _for_postgresql(query: Query) -> str:
    """In the language of ``to_tsquery``."""
    terms = []
    for term in query.terms:
        before = [f"'{stem}'" for stem in term.stems[:-1]]
        either = [
            " <-> ".join((*before, f"'{ending}'" + (":*" if begins else "")))
            for ending, begins in _endings(term)
        ]
        terms.append("(" + " | ".join(f"({one})" for one in either) + ")")
    return " & ".join(terms)


_EXPRESSIONS: Final = {"sqlite": _for_sqlite, "postgresql": _for_postgresql}
_CANDIDATES: Final = {
    "sqlite": """
        SELECT segment.number, segment.transcript, segment.text, segment.stems FROM (
            SELECT rowid AS number FROM segment_words WHERE segment_words MATCH :query
            ORDER BY rowid DESC LIMIT :limit
        ) AS found JOIN segment ON segment.number = found.number
        ORDER BY segment.number DESC
    """,
    "postgresql": """
        SELECT number, transcript, text, stems FROM segment
        WHERE lexemes @@ to_tsquery('simple', :query)
        ORDER BY number DESC LIMIT :limit
    """,
}
_CANDIDATES_OF_OWNER: Final = {
    "sqlite": """
        SELECT segment.number, segment.transcript, segment.text, segment.stems
        FROM segment_words JOIN segment ON segment.number = segment_words.rowid
        JOIN transcript ON transcript.number = segment.transcript AND transcript.owner = :owner
        WHERE segment_words MATCH :query
        ORDER BY segment_words.rowid DESC LIMIT :limit
    """,
    "postgresql": """
        SELECT segment.number, segment.transcript, segment.text, segment.stems FROM segment
        JOIN transcript ON transcript.number = segment.transcript AND transcript.owner = :owner
        WHERE segment.lexemes @@ to_tsquery('simple', :query)
        ORDER BY segment.number DESC LIMIT :limit
    """,
}
_DETAILS: Final = """
    SELECT segment.number, start_s, end_s, text, words,
        transcript.id, file, version, language, created_at
    FROM segment JOIN transcript ON transcript.number = segment.transcript
    WHERE segment.number IN ({places})
"""
_UNINDEXED: Final = """
    SELECT number, id, document FROM transcript WHERE indexed = 0 ORDER BY number LIMIT :limit
"""
_INDEXED: Final = """
    UPDATE transcript SET indexed = :state WHERE number = :number AND indexed = 0
"""
