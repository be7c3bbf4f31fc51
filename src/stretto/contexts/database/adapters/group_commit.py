"""What many threads write at the same moment becomes one transaction: the disk promises once for
all of them, and each of them hears of it after that."""

from __future__ import annotations

import sqlite3
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

    def read(self) -> AbstractContextManager[sqlite3.Connection]: ...

    def write(self) -> AbstractContextManager[sqlite3.Connection]: ...

    def transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result: ...


class Line:
    """Those who wait to be written for: one for all who use a database in this process."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting[Any]] = []
        self.is_led = False
        self.last_size = 1
        self.gathering = Lock()


class GroupCommit:
    """A SqliteDatabase whose ``transact`` goes along with those of other threads.

    While one group is being written, the next one gathers; whoever came first writes for all of it.
    Work that raises is undone by itself, and the others of the group are kept. It runs on the
    thread of any of them, so it must hold on to nothing of its own thread.
    """

    dialect: Final = Dialect.SQLITE

    def __init__(self, database: Database, line: Line) -> None:
        self._database = database
        self._line = line

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._database.read()

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._database.write()

    def transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
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
            with self._database.write() as connection:
                for one in group:
                    one.run(connection, alone=len(group) == 1)
        except Exception as error:  # nothing of it is on the disk
            for one in group:
                one.error = error
        except BaseException:  # this thread is to end; the others are not
            with line.gathering:
                line.waiting = [*group[1:], *line.waiting]
                self._call_next()
            raise
        with line.gathering:
            self._call_next()
        for one in group:
            one.is_done = True
            one.called.set()

    def _call_next(self) -> None:
        """To write for the group that has gathered; whoever writes is the first of its group."""
        if self._line.waiting:
            self._line.waiting[0].called.set()
        else:
            self._line.is_led = False


class _Waiting(Generic[Result]):
    """Work of one thread, and what became of it. It is ``called`` when that is known, or to write
    for the others."""

    __slots__ = ("_result", "_work", "called", "error", "is_done")

    def __init__(self, work: Callable[[sqlite3.Connection], Result]) -> None:
        self._work = work
        self._result: list[Result] = []
        self.called = Event()
        self.error: Exception | None = None
        self.is_done = False

    def run(self, connection: sqlite3.Connection, *, alone: bool) -> None:
        self.error = None
        if alone:
            self._result = [self._work(connection)]
            return
        connection.execute("SAVEPOINT one")
        try:
            self._result = [self._work(connection)]
        except sqlite3.Error:
            raise  # the database is in trouble, and so are all
        except Exception as error:
            connection.execute("ROLLBACK TO one")
            self.error = error
        connection.execute("RELEASE one")

    def answer(self) -> Result:
        if self.error is not None:
            raise self.error
        return self._result[0]
