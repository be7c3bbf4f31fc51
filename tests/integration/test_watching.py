"""Units of work on real databases: what is seen of them, and what is loaded together."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import Engine, ForeignKey, insert, select, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    relationship,
    sessionmaker,
)

from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.database.adapters.eager_loading import load_together
from stretto.contexts.database.adapters.statement_watch import watch
from stretto.contexts.database.nplus1 import N1QueryEliminator
from stretto.contexts.database.observations import LoadingState, ObservedStatement
from tests.fakes.advice import MemoryAdviceStore

ROWS = 12


class Base(DeclarativeBase):
    pass


class Transcript(Base):
    __tablename__ = "transcript"
    id: Mapped[int] = mapped_column(primary_key=True)
    segments: Mapped[list[Segment]] = relationship(
        order_by="Segment.id", back_populates="transcript"
    )
    raising: Mapped[list[Segment]] = relationship(lazy="raise", viewonly=True)


class Segment(Base):
    __tablename__ = "segment"
    id: Mapped[int] = mapped_column(primary_key=True)
    transcript_id: Mapped[int] = mapped_column(ForeignKey("transcript.id"))
    transcript: Mapped[Transcript] = relationship(back_populates="segments")
    words: Mapped[list[Word]] = relationship(order_by="Word.id")


class Word(Base):
    __tablename__ = "word"
    id: Mapped[int] = mapped_column(primary_key=True)
    segment_id: Mapped[int] = mapped_column(ForeignKey("segment.id"))


class Seen:
    """A listener that keeps everything; ``count`` counts the reading statements since ``reset``."""

    def __init__(self) -> None:
        self.statements: list[ObservedStatement] = []
        self.ended: list[int] = []

    def statement_ran(self, observed: ObservedStatement) -> None:
        self.statements.append(observed)

    def unit_ended(self, unit: int) -> None:
        self.ended.append(unit)

    @property
    def count(self) -> int:
        return sum(one.shape.startswith("select") for one in self.statements)

    def reset(self) -> None:
        self.statements.clear()
        self.ended.clear()


class Watched:
    """A database with ROWS transcripts of two segments of two words each, and who watches it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        Base.metadata.create_all(engine)
        ids = range(1, ROWS + 1)
        with engine.begin() as connection:
            connection.execute(insert(Transcript), [{"id": i} for i in ids])
            connection.execute(
                insert(Segment),
                [{"id": i, "transcript_id": 1 + i // 2 % ROWS} for i in range(2 * ROWS)],
            )
            connection.execute(
                insert(Word), [{"id": i, "segment_id": i // 2} for i in range(4 * ROWS)]
            )
        self.seen = Seen()
        self.store = MemoryAdviceStore()
        self.eliminator = N1QueryEliminator(store=self.store, now=lambda: Timestamp(1.0))
        self.sessions = sessionmaker(engine)
        watch(engine, [self.seen, self.eliminator])
        load_together(self.sessions, self.eliminator)

    def statements_of(self, work: object) -> int:
        """How many reading statements a unit of work takes."""
        self.seen.reset()
        with self.sessions() as session:
            work(session)  # type: ignore[operator]
        return self.seen.count


@pytest.fixture
def watched(engine: Engine) -> Watched:
    return Watched(engine)


def list_segments(session: Session) -> None:
    for transcript in session.scalars(select(Transcript)):
        assert len(transcript.segments) == 2


def list_words(session: Session) -> None:
    for transcript in session.scalars(select(Transcript)):
        for segment in transcript.segments:
            assert len(segment.words) == 2


def list_upwards(session: Session) -> None:
    for segment in session.query(Segment).all():
        assert segment.transcript.id


def test_after_the_first_time_a_relationship_is_loaded_with_one_statement(watched: Watched) -> None:
    assert watched.statements_of(list_segments) == 1 + ROWS
    assert watched.statements_of(list_segments) == 2
    (learned,) = watched.eliminator.loadings()
    assert learned.path == "Transcript.segments"
    assert learned.site == f"{__name__}:list_segments"
    assert learned.most_statements == ROWS


def test_so_is_a_relationship_of_a_relationship(watched: Watched) -> None:
    assert watched.statements_of(list_words) == 1 + ROWS + 2 * ROWS
    assert watched.statements_of(list_words) == 3


def test_so_is_the_one_that_many_belong_to(watched: Watched) -> None:
    assert watched.statements_of(list_upwards) == 1 + ROWS
    assert watched.statements_of(list_upwards) == 2


def test_what_was_learned_in_one_place_changes_no_other(watched: Watched) -> None:
    def elsewhere(session: Session) -> None:
        session.scalars(select(Transcript)).all()

    watched.statements_of(list_segments)
    assert watched.statements_of(elsewhere) == 1


def test_a_few_rows_are_no_pattern(watched: Watched) -> None:
    def four(session: Session) -> None:
        for transcript in session.scalars(select(Transcript).limit(4)):
            assert transcript.segments

    assert [watched.statements_of(four) for _ in range(3)] == [5, 5, 5]
    assert watched.eliminator.loadings() == ()


def test_what_is_switched_off_is_loaded_row_by_row_again(watched: Watched) -> None:
    watched.statements_of(list_segments)
    (learned,) = watched.eliminator.loadings()
    watched.eliminator.set_state(learned.id, LoadingState.OFF)
    assert watched.statements_of(list_segments) == 1 + ROWS
    watched.eliminator.set_state(learned.id, LoadingState.PINNED)
    assert watched.statements_of(list_segments) == 2


def test_a_relationship_that_must_not_be_loaded_lazily_still_must_not(watched: Watched) -> None:
    def careless(session: Session) -> None:
        for transcript in session.scalars(select(Transcript)):
            with pytest.raises(InvalidRequestError, match="lazy='raise'"):
                assert transcript.raising

    assert watched.statements_of(careless) == 1


def test_queries_for_columns_aliases_and_vanished_relationships_are_left_alone(
    watched: Watched,
) -> None:
    def same_place(session: Session, query: object = None) -> None:
        chosen = select(Transcript) if query is None else query
        for row in session.execute(chosen):  # type: ignore[call-overload]
            if query is None:
                assert row[0].segments

    watched.statements_of(same_place)
    alias = aliased(Transcript)
    for query in (select(Transcript.id), select(alias), select(Segment), text("SELECT 1")):
        assert watched.statements_of(lambda s, q=query: same_place(s, q)) == 1
    (learned,) = watched.eliminator.loadings()
    renamed = type(learned)(
        site=learned.site,
        path="Transcript.renamed",
        line=1,
        state=LoadingState.PINNED,
        most_statements=9,
        last_seen_s=1.0,
    )
    watched.store.learn([renamed], [])
    watched.eliminator.flush()
    assert watched.statements_of(same_place) == 2


def test_the_same_statement_for_each_row_is_named_with_its_line(watched: Watched) -> None:
    def by_hand(session: Session) -> None:
        connection = session.connection()
        for (transcript_id,) in connection.execute(text("SELECT id FROM transcript")).all():
            connection.execute(
                text("SELECT id FROM segment WHERE transcript_id = :id"), {"id": transcript_id}
            ).all()

    assert watched.statements_of(by_hand) == 1 + ROWS
    (found,) = watched.eliminator.repeated_statements()
    assert found.shape == "select id from segment where transcript_id = ?"
    assert found.most_statements == ROWS
    assert found.site.endswith("by_hand")
    assert watched.eliminator.loadings() == ()


def test_each_transaction_is_a_unit_of_work(watched: Watched) -> None:
    watched.seen.reset()
    for _ in range(2):
        with watched.engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            connection.execute(text("SELECT 2"))
    units = [one.unit for one in watched.seen.statements]
    assert units[0] == units[1] != units[2] == units[3]
    assert watched.seen.ended == [units[0], units[2]]


def test_a_statement_is_seen_with_shape_time_place_and_without_values(watched: Watched) -> None:
    watched.seen.reset()
    with watched.engine.connect() as connection:
        chosen = select(Transcript.id).where(Transcript.id.in_([1, 2, 3]))
        connection.execute(chosen).all()
    (one,) = watched.seen.statements
    assert one.duration_ms > 0
    assert one.site.module == __name__
    assert "%" not in one.statement
    assert one.shape.startswith("select transcript.id from transcript where transcript.id in (?")
    assert one.shape.count("?") == 1


def test_who_watches_is_not_watched(watched: Watched) -> None:
    watched.seen.reset()
    with watched.engine.connect().execution_options(stretto_unwatched=True) as connection:
        connection.execute(text("SELECT 1"))
    assert watched.seen.statements == []


def test_a_watcher_that_fails_breaks_nothing(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Seen):
        def statement_ran(self, observed: ObservedStatement) -> None:
            raise ValueError("broken")

    seen = Seen()
    watch(engine, [Failing(), seen])
    with caplog.at_level(logging.ERROR), engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    assert seen.count == 1
    assert "A watcher of statements failed." in caplog.text
