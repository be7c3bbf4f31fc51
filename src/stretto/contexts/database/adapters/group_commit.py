"""What many threads write at the same moment becomes one transaction: the disk promises once for
all of them, and each of them hears of it after that."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event, Lock
from typing import Any, Final, Generic, Protocol, TypeVar

from stretto.contexts.database.model import Dialect

Result = TypeVar("Result")

MOST_TOGETHER: Final = 64
"""So that nobody waits long for what others write."""

GATHERING_S: Final = 0.0005
"""A fraction of what the disk takes, which pays where several write again and again."""


class Database(Protocol):
    """SqliteDatabase."""

    @property
    def is_writing(self) -> bool: ...

    def read(self) -> AbstractContextManager[Any]: ...

    def write(self) -> AbstractContextManager[Any]: ...

    def transact(self, work: Callable[[Any], Result], /) -> Result: ...


class Line:
    """Those who wait to be written for: one for all who use a database in this process."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting[Any]] = []
        self.is_led = False
        self.last_size = 1
        self.gathering = Lock()


class GroupCommit:
    """A database whose ``transact`` goes along with those of other threads.

    While one group is being written, the next one gathers; whoever came first writes for all of it.
    When work raises, nothing of its group is kept, and each is done by itself. So work may run
    twice, and on the thread of any of them: it must change nothing but the database, and hold on to
    nothing of its own thread.
    """

    dialect: Final = Dialect.SQLITE

    def __init__(self, database: Database, line: Line) -> None:
        self._database = database
        self._line = line

    def read(self) -> AbstractContextManager[Any]:
        return self._database.read()

    def write(self) -> AbstractContextManager[Any]:
        return self._database.write()

    def transact(self, work: Callable[[Any], Result]) -> Result:
        """What ``work`` answers, once that is on the disk. Inside another transaction of the same
        thread it is a part of that one. Raises what it raises, and what a ``write`` does."""
        if self._database.is_writing:
            return self._database.transact(work)
        mine = _Waiting(work)
        line = self._line
        with line.gathering:
            line.waiting.append(mine)
            if not line.is_led:
                line.is_led = True
                mine.called.set()
        self._wait(mine)
        if not mine.is_done:
            self._lead()
        return mine.answer()

    def _wait(self, mine: _Waiting[Any]) -> None:
        """Until it is written, or to be the one who writes."""
        try:
            mine.called.wait()
        except BaseException:  # this thread is to end: somebody else is called instead
            with self._line.gathering:
                if mine in self._line.waiting:
                    self._line.waiting.remove(mine)
                    if mine.called.is_set():
                        self._call_next()
            raise

    def _lead(self) -> None:
        line = self._line
        if line.last_size > 1:  # the others of that group are about to come back
            time.sleep(GATHERING_S)
        with line.gathering:
            group, line.waiting = line.waiting[:MOST_TOGETHER], line.waiting[MOST_TOGETHER:]
        line.last_size = len(group)
        try:
            self._write(group)
        finally:
            with line.gathering:
                # There are some left when this thread is to end, and the others are not.
                left = [one for one in group[1:] if not one.is_done]
                line.waiting = [*left, *line.waiting]
                self._call_next()
            for one in group:
                if one.is_done:
                    one.called.set()

    def _write(self, group: list[_Waiting[Any]]) -> None:
        try:
            self._together(group)
        except Exception:
            for one in group:
                try:
                    self._together([one])
                except Exception as error:
                    one.fail(error)

    def _together(self, group: list[_Waiting[Any]]) -> None:
        answers = self._database.transact(lambda c: [one.work(c) for one in group])
        for one, answer in zip(group, answers, strict=True):
            one.succeed(answer)

    def _call_next(self) -> None:
        """To write for the group that has gathered; whoever writes is the first of its group."""
        if self._line.waiting:
            self._line.waiting[0].called.set()
        else:
            self._line.is_led = False


class _Waiting(Generic[Result]):
    """Work of one thread, and what became of it. It is ``called`` when that is known, or to write
    for the others."""

    __slots__ = ("_answer", "_error", "called", "is_done", "work")

    def __init__(self, work: Callable[[Any], Result]) -> None:
        self.work = work
        self.called = Event()
        self.is_done = False
        self._answer: list[Result] = []
        self._error: Exception | None = None

    def succeed(self, answer: Result) -> None:
        self._answer, self.is_done = [answer], True

    def fail(self, error: Exception) -> None:
        self._error, self.is_done = error, True

    def answer(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._answer[0]
