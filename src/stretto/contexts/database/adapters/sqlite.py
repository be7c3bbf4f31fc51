"""One SQLite file: connections for each thread, short durable transactions, errors in sentences."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakSet

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.database.adapters.group_commit import AllAtOnce, GroupCommit, Line, one_by_one
from stretto.contexts.database.adapters.sqlite_errors import translate
from stretto.contexts.database.model import Dialect, JournalMode, journal_mode

Result = TypeVar("Result")

BUSY_TIMEOUT_S: Final = 5.0
"""How long a transaction waits for another one before it gives up."""

NAP_S: Final = (0.0005, 0.004)
"""The shortest and the longest nap between two attempts to begin."""


class SqliteDatabase:
    """The database in the file ``path``. Nothing is opened or created before the first use.

    Safe to use from many threads and processes at once; each thread has a connection of its own.
    All methods raise StorageFull when the disk is full and StorageUnavailable for other trouble.
    ``prepare`` is called once, with a connection, before the first use: it looks at the tables and
    brings them up to date where that is needed. ``connection_class`` is for whoever wants to watch
    the statements.
    """

    dialect: Final = Dialect.SQLITE

    def __init__(
        self,
        path: Path,
        *,
        sqlite_version: tuple[int, int, int] = sqlite3.sqlite_version_info,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        prepare: Callable[[sqlite3.Connection], None] | None = None,
        connection_class: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self.path = path.absolute()  # SQLite gives names such as ":memory:" a meaning of its own
        self._journal_mode = journal_mode(sqlite_version)
        self._busy_timeout_s = busy_timeout_s
        self._prepare = prepare
        self._connection_class = connection_class
        self._preparing = threading.Lock()
        self._local = threading.local()
        self._owned: WeakSet[_Owned] = WeakSet()
        self._guard = threading.Lock()
        self._turn = threading.Lock()  # waiting here is fair and cheap, SQLite's way is polling
        self._closed = False
        self._line = Line()

    @contextmanager
    def read(self) -> Generator[sqlite3.Connection, None, None]:
        """A connection to read from; each statement sees what was committed before it."""
        with self._translated():
            owned = self._prepared()
            with owned.lock:
                self._raise_if_closed()
                yield owned.connection

    @contextmanager
    def write(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction: on the disk when the block ends, undone when the block raises.

        Keep it short, nobody else can write meanwhile. Inside another ``write`` of the same thread
        it is a part of that one.
        """
        with self._translated():
            owned = self._prepared()
            if owned.writing:
                yield owned.connection
                return
            with self._my_turn(), owned.lock:
                self._raise_if_closed()
                with owned.transaction():
                    yield owned.connection

    def transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What ``work`` answers in a ``write``. Writers stand in line here, so that it runs once;
        a server may have it run again, so it must change nothing but the database."""
        with self.write() as connection:
            return work(connection)

    def together(self, all_at_once: AllAtOnce = one_by_one) -> GroupCommit:
        """For those whose ``transact`` goes along with that of other threads."""
        return GroupCommit(self, self._line, all_at_once=all_at_once)

    @property
    def is_writing(self) -> bool:
        """Whether the calling thread is in a ``write``."""
        owned: _Owned | None = getattr(self._local, "owned", None)
        return owned is not None and owned.writing

    def close(self) -> None:
        """Close all connections after what they are doing now; later use is refused."""
        with self._guard:
            self._closed = True
            owned = list(self._owned)
        for one in owned:
            with one.lock:
                one.connection.close()

    def connect(self) -> sqlite3.Connection:
        """A new connection with every guarantee of this file; whoever asks for it closes it."""
        with self._translated():
            return self._connect()

    def _prepared(self) -> _Owned:
        owned = self._mine()
        if self._prepare is not None:
            with self._preparing:
                if self._prepare is not None:
                    self._prepare(owned.connection)
                    self._prepare = None
        return owned

    def _mine(self) -> _Owned:
        owned: _Owned | None = getattr(self._local, "owned", None)
        if owned is None:
            self._raise_if_closed()
            owned = _Owned(self._connect(), busy_timeout_s=self._busy_timeout_s)
            with self._guard:
                self._owned.add(owned)
            self._local.owned = owned
        return owned

    def _connect(self) -> sqlite3.Connection:
        _create_private(self.path)
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,  # transactions begin and end where this file says
            check_same_thread=False,  # close() comes from another thread
            factory=self._connection_class,
        )
        try:
            self._set_journal_mode(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_journal_mode(self, connection: sqlite3.Connection) -> None:
        if self._journal_mode is JournalMode.WAL:
            # Another process may be in the way; without the log it is slower and just as safe.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            return
        (mode,) = connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
        if mode == JournalMode.WAL:
            raise StorageUnavailable(
                f"The database {self.path} is in use by a Stretto with a newer SQLite. "
                "Stop that one first, or use another folder."
            )

    @contextmanager
    def _my_turn(self) -> Generator[None, None, None]:
        if not self._turn.acquire(timeout=self._busy_timeout_s):
            raise StorageUnavailable(
                f"The database {self.path} was busy for {self._busy_timeout_s:g} s. Try again."
            )
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a mistake of ours, not trouble with the storage
        except (sqlite3.Error, _FileTrouble) as error:
            raise translate(error, self.path) from error

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise StorageUnavailable(f"The database {self.path} was closed; open it again.")


class _Owned:
    """A thread's connection. It is closed when the thread ends, or the database is forgotten."""

    __slots__ = ("__weakref__", "_busy_timeout_s", "connection", "lock", "writing")

    def __init__(self, connection: sqlite3.Connection, *, busy_timeout_s: float) -> None:
        self.connection = connection
        self._busy_timeout_s = busy_timeout_s
        self.lock = threading.RLock()
        self.writing = False

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        self._begin()
        self.writing = True
        try:
            yield
            self.connection.execute("COMMIT")
        finally:
            self.writing = False
            if self.connection.in_transaction:
                with suppress(sqlite3.Error):  # the first error is the one worth hearing of
                    self.connection.execute("ROLLBACK")

    def _begin(self) -> None:
        """A reader that turns writer would fail at once, so that this is a writer from the start.

        Other processes are waited for in short naps: SQLite's own grow to 100 ms, and whoever takes
        them never meets the moment between two transactions of a busy neighbour.
        """
        until = time.monotonic() + self._busy_timeout_s
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            while not self._has_begun(last=time.monotonic() >= until):
                time.sleep(random.uniform(*NAP_S))  # noqa: S311 - no secret depends on it
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {1000 * self._busy_timeout_s:.0f}")

    def _has_begun(self, *, last: bool) -> bool:
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def __del__(self) -> None:
        self.connection.close()


class _FileTrouble(OSError):
    """The file or its folder could not be made."""


def _create_private(path: Path) -> None:
    """Make the folder and the file so that only their owner can read them."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise _FileTrouble(error.errno, error.strerror) from error
