"""What many threads write at the same moment becomes one transaction: the disk promises once for
all of them, and each of them hears of it after that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from threading import Event, Lock
from typing import Any, Final, Protocol, TypeVar

from stretto.contexts.core.errors import StorageBusy, StorageUnavailable

Result = TypeVar("Result")
AllAtOnce = Callable[[Any, Sequence[Any]], Sequence[Any]]
"""Does several works in the transaction of a connection, and answers each."""

MOST_TOGETHER: Final = 64
"""So that nobody waits long for what others write."""

GATHERING_S: Final = 0.0005
"""A fraction of what the disk takes, which pays where several write again and again."""


class Database(Protocol):
    """Either of the two databases."""

    @property
    def is_writing(self) -> bool: ...

    def transact(self, work: Callable[[Any], Result], /) -> Result: ...


class Line:
    """Those who wait to be written for: one for all who use a database in this process."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self.is_led = False
        self.last_size = 1
        self.gathering = Lock()


def one_by_one(connection: Any, works: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """Works that know nothing of each other."""
    return [work(connection) for work in works]


class GroupCommit:
    """The ``transact`` of a database, which goes along with those of other threads.

    While one group is being written, the next one gathers; whoever came first writes for all of it.
    ``all_at_once`` does the works of a group; those of another one that stand in the same line are
    done by theirs, in the same transaction. When work raises, nothing of its group is kept, and
    each is done by itself. So work may run twice, and on the thread of any of them: it must change
    nothing but the database, and hold on to nothing of its own thread.
    """

    def __init__(
        self, database: Database, line: Line, *, all_at_once: AllAtOnce = one_by_one
    ) -> None:
        self._database = database
        self._line = line
        self._all_at_once = all_at_once

    def transact(self, work: Any) -> Any:
        """What ``work`` answers, once that is on the disk. Inside another transaction of the same
        thread it is a part of that one. Raises what it raises, and what a ``write`` does."""
        mine = _Waiting(work, self._all_at_once)
        if self._database.is_writing:
            self._together([mine])
            return mine.answer()
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

    def _wait(self, mine: _Waiting) -> None:
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

    def _write(self, group: list[_Waiting]) -> None:
        """Each by itself if need be; but a database that is away is not asked for all of them."""
        try:
            self._together(group)
        except Exception:
            away: Exception | None = None
            for one in group:
                if away is not None:
                    one.fail(away)
                    continue
                try:
                    self._together([one])
                except Exception as error:
                    one.fail(error)
                    away = error if _is_away(error) else None

    def _together(self, group: list[_Waiting]) -> None:
        def work(connection: Any) -> list[tuple[_Waiting, Any]]:
            return [
                answered
                for all_at_once, ones in _by_kind(group)
                for answered in zip(
                    ones, all_at_once(connection, [one.work for one in ones]), strict=True
                )
            ]

        for one, answer in self._database.transact(work):
            one.succeed(answer)

    def _call_next(self) -> None:
        """To write for the group that has gathered; whoever writes is the first of its group."""
        if self._line.waiting:
            self._line.waiting[0].called.set()
        else:
            self._line.is_led = False


class _Waiting:
    """Work of one thread, and what became of it. It is ``called`` when that is known, or to write
    for the others."""

    __slots__ = ("_answer", "_error", "all_at_once", "called", "is_done", "work")

    def __init__(self, work: Any, all_at_once: AllAtOnce) -> None:
        self.work = work
        self.all_at_once = all_at_once
        self.called = Event()
        self.is_done = False
        self._answer: Any = None
        self._error: Exception | None = None

    def succeed(self, answer: Any) -> None:
        self._answer, self.is_done = answer, True

    def fail(self, error: Exception) -> None:
        self._error, self.is_done = error, True

    def answer(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._answer


def _is_away(error: Exception) -> bool:
    return isinstance(error, StorageUnavailable) and not isinstance(error, StorageBusy)


def _by_kind(group: Iterable[_Waiting]) -> Iterable[tuple[AllAtOnce, list[_Waiting]]]:
    kinds: dict[AllAtOnce, list[_Waiting]] = {}
    for one in group:
        kinds.setdefault(one.all_at_once, []).append(one)
    return kinds.items()
