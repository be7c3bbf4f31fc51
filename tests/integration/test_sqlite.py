"""The database under many hands, sudden death, a full disk and a damaged file."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from stretto.contexts.core.errors import StorageFull, StorageUnavailable
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
from stretto.contexts.database.adapters.sqlite_watch import SlowRuns
from stretto.contexts.database.model import JournalMode, journal_mode

SPAWN = multiprocessing.get_context("spawn")
NOTES = "CREATE TABLE IF NOT EXISTS note (writer TEXT, number INTEGER, text BLOB)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "stretto.db"


@pytest.fixture
def database(path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(path)
    yield database
    database.close()


def write_note(database: SqliteDatabase, writer: str, number: int, size: int = 10) -> None:
    with database.write() as connection:
        connection.execute(NOTES)
        connection.execute("INSERT INTO note VALUES (?, ?, ?)", (writer, number, bytes(size)))


def notes(path: Path) -> set[tuple[str, int]]:
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("SELECT writer, number FROM note"))


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def write_many(path: Path, writer: str, count: int) -> None:
    database = SqliteDatabase(path)
    for number in range(count):
        write_note(database, writer, number)
    database.close()


def write_until_killed(path: Path, acknowledge: Connection) -> None:
    database = SqliteDatabase(path)
    for number in range(10**9):
        write_note(database, "doomed", number, size=20_000)
        acknowledge.send(number)


# -- one file, its folder and its settings


def test_making_the_object_touches_nothing(path: Path) -> None:
    SqliteDatabase(path)
    assert not path.parent.exists()


def test_only_the_owner_can_read_the_folder_and_the_file(
    path: Path, database: SqliteDatabase
) -> None:
    write_note(database, "me", 1)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_commits_are_synced_and_foreign_keys_are_checked(database: SqliteDatabase) -> None:
    with database.read() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    assert mode == journal_mode(sqlite3.sqlite_version_info)


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        *[((3, 7, 0), JournalMode.TRUNCATE), ((3, 40, 1), JournalMode.TRUNCATE)],
        *[((3, 44, 5), JournalMode.TRUNCATE), ((3, 44, 6), JournalMode.WAL)],
        *[((3, 44, 9), JournalMode.WAL), ((3, 45, 0), JournalMode.TRUNCATE)],
        *[((3, 46, 1), JournalMode.TRUNCATE), ((3, 49, 99), JournalMode.TRUNCATE)],
        *[((3, 50, 6), JournalMode.TRUNCATE), ((3, 50, 7), JournalMode.WAL)],
        *[((3, 51, 0), JournalMode.TRUNCATE), ((3, 51, 2), JournalMode.TRUNCATE)],
        *[
            ((3, 51, 3), JournalMode.WAL),
            ((3, 52, 0), JournalMode.WAL),
            ((4, 0, 0), JournalMode.WAL),
        ],
    ],
)
def test_the_write_ahead_log_is_used_only_where_it_is_repaired(
    version: tuple[int, int, int], mode: JournalMode
) -> None:
    assert journal_mode(version) is mode


@pytest.mark.parametrize("version", [(3, 40, 1), (3, 51, 3)])
def test_both_journals_keep_what_was_written(path: Path, version: tuple[int, int, int]) -> None:
    database = SqliteDatabase(path, sqlite_version=version)
    write_note(database, "me", 1)
    with database.read() as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    database.close()
    assert mode == journal_mode(version)
    assert notes(path) == {("me", 1)}


def test_an_unsafe_sqlite_does_not_join_in_on_a_log_that_another_one_uses(path: Path) -> None:
    newer, older = (SqliteDatabase(path, sqlite_version=v) for v in ((3, 51, 3), (3, 40, 1)))
    write_note(newer, "newer", 1)
    with pytest.raises(StorageUnavailable):
        write_note(older, "older", 1)
    newer.close()
    write_note(older, "older", 1)
    older.close()
    assert notes(path) == {("newer", 1), ("older", 1)}


# -- transactions


def test_a_block_that_raises_leaves_no_trace(path: Path, database: SqliteDatabase) -> None:
    write_note(database, "me", 1)
    with pytest.raises(ZeroDivisionError):
        write_two_and_fail(database)
    write_note(database, "me", 4)
    assert notes(path) == {("me", 1), ("me", 4)}


def write_two_and_fail(database: SqliteDatabase) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO note VALUES ('me', 2, '')")
        write_note(database, "me", 3)  # a write inside a write is a part of it
        raise ZeroDivisionError


def test_a_mistake_in_our_own_statements_is_not_called_trouble_with_the_storage(
    database: SqliteDatabase,
) -> None:
    with database.write() as connection:
        connection.execute("CREATE TABLE thing (id INTEGER UNIQUE)")
    with pytest.raises(sqlite3.IntegrityError), database.write() as connection:
        connection.execute("INSERT INTO thing VALUES (1), (1)")


def test_a_lock_that_is_never_given_back_ends_in_a_sentence(path: Path) -> None:
    database = SqliteDatabase(path, busy_timeout_s=0.05)
    write_note(database, "me", 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageUnavailable, match="in use by another process"):
            write_note(database, "me", 2)
    write_note(database, "me", 3)
    database.close()
    assert notes(path) == {("me", 1), ("me", 3)}


def test_a_thread_that_never_ends_its_write_does_not_hang_the_others(path: Path) -> None:
    database = SqliteDatabase(path, busy_timeout_s=0.05)
    write_note(database, "me", 1)
    with database.write(), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(write_note, database, "other", 1)
        assert isinstance(waiting.exception(), StorageUnavailable)
    database.close()


def test_after_closing_use_is_refused_and_closing_again_is_harmless(path: Path) -> None:
    database = SqliteDatabase(path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: write_note(database, "pool", n), range(8)))
        database.close()
        database.close()
        late = pool.submit(write_note, database, "late", 1)
        assert isinstance(late.exception(), StorageUnavailable)
    with pytest.raises(StorageUnavailable, match="closed"), database.read():
        pass


def test_connections_of_threads_that_ended_are_closed(path: Path, database: SqliteDatabase) -> None:
    for number in range(20):
        thread = threading.Thread(target=write_note, args=(database, "thread", number))
        thread.start()
        thread.join()
    assert open_files(path) <= 1


def open_files(path: Path) -> int:
    links = list(Path("/proc/self/fd").iterdir())
    return sum(link.is_symlink() and link.readlink() == path for link in links)


# -- before the first use


def test_the_tables_are_looked_at_once_before_the_first_use(path: Path) -> None:
    looks: list[int] = []
    database = SqliteDatabase(path, prepare=lambda connection: looks.append(id(connection)))
    assert looks == []
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: write_note(database, "me", n), range(8)))
    assert len(looks) == 1
    database.close()


def test_trouble_with_the_tables_is_met_again_by_the_next_caller(path: Path) -> None:
    def refuse(_: sqlite3.Connection) -> None:
        raise StorageUnavailable("too new")

    database = SqliteDatabase(path, prepare=refuse)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="too new"):
            write_note(database, "me", 1)
    database.close()


def test_whoever_wants_to_watches_every_statement(path: Path) -> None:
    slow = SlowRuns(slow_ms=0)
    database = SqliteDatabase(path, connection_class=slow.connection_class())
    write_note(database, "me", 1)
    heard = [run.statement.split()[0] for run in slow.taken()]
    heard = [word for word in heard if word != "PRAGMA"]
    assert heard[-4:] == ["BEGIN", "CREATE", "INSERT", "COMMIT"]
    database.close()


# -- many hands


def test_threads_and_processes_write_at_once_and_nothing_is_lost(
    path: Path, database: SqliteDatabase
) -> None:
    processes = [
        SPAWN.Process(target=write_many, args=(path, f"process {n}", 15)) for n in range(2)
    ]
    for process in processes:
        process.start()
    start = threading.Barrier(8)

    def write_some(thread: int) -> None:
        start.wait()
        for number in range(15):
            write_note(database, f"thread {thread}", number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_some, range(8)))
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    writers = [f"process {n}" for n in range(2)] + [f"thread {n}" for n in range(8)]
    assert notes(path) == {(writer, number) for writer in writers for number in range(15)}
    assert is_sound(path)


def test_what_was_acknowledged_survives_a_kill_in_the_middle_of_writing(path: Path) -> None:
    for acknowledgements in (3, 10, 25):
        receiver, sender = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=write_until_killed, args=(path, sender))
        process.start()
        sender.close()
        acknowledged = {("doomed", receiver.recv()) for _ in range(acknowledgements)}
        process.kill()
        process.join()
        with receiver:
            while receiver.poll():
                try:
                    acknowledged.add(("doomed", receiver.recv()))
                except EOFError:
                    break
        process.close()
        write_many(path, f"after {acknowledgements}", 1)
        assert is_sound(path)
        assert acknowledged <= notes(path)


# -- trouble


def test_a_full_disk_is_said_loses_nothing_and_passes(path: Path, database: SqliteDatabase) -> None:
    write_note(database, "me", 1)
    with database.read() as connection:
        connection.execute("PRAGMA max_page_count = 8")
    with pytest.raises(StorageFull, match="Free some space"):
        write_note(database, "me", 2, size=200_000)
    with database.read() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    write_note(database, "me", 3, size=200_000)
    assert notes(path) == {("me", 1), ("me", 3)}
    assert is_sound(path)


@pytest.mark.parametrize("content", [b"this is a text, long enough to be read\n" * 99, bytes(5000)])
def test_a_file_that_is_no_database_is_named_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    database = SqliteDatabase(path)
    with pytest.raises(StorageUnavailable, match="Move it away") as trouble:
        write_note(database, "me", 1)
    assert str(path) in trouble.value.message
    assert path.read_bytes() == content
    database.close()


def test_a_damaged_database_is_named(path: Path, database: SqliteDatabase) -> None:
    for number in range(20):
        write_note(database, "me", number, size=3000)
    database.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    damaged = SqliteDatabase(path)
    with pytest.raises(StorageUnavailable, match="damaged"), damaged.read() as connection:
        connection.execute("SELECT count(*), max(number) FROM note").fetchall()
    damaged.close()


def test_a_folder_in_the_place_of_the_file_is_named(path: Path, database: SqliteDatabase) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StorageUnavailable, match="is a folder"):
        write_note(database, "me", 1)


def test_a_file_in_the_place_of_the_folder_is_named(path: Path, database: SqliteDatabase) -> None:
    path.parent.write_text("a file")
    with pytest.raises(StorageUnavailable, match="STRETTO_HOME"):
        write_note(database, "me", 1)


def test_a_database_that_is_deleted_while_in_use_is_not_written_into_the_void(
    path: Path, database: SqliteDatabase
) -> None:
    write_note(database, "me", 1)
    path.unlink()
    with pytest.raises(StorageUnavailable, match="moved or deleted"):
        write_note(database, "me", 2)


READ_ONLY_SCRIPT = """
import os, sys
from pathlib import Path
from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.database.adapters.sqlite import SqliteDatabase
if os.geteuid() == 0:
    os.setuid(65534)  # permissions do not count for root
try:
    with SqliteDatabase(Path(sys.argv[1])).write() as connection:
        connection.execute("CREATE TABLE n (i)")
except StorageUnavailable as error:
    print(error.message)
"""


@pytest.mark.parametrize("exists", [False, True], ids=["new database", "old database"])
def test_a_folder_that_cannot_be_written_is_named(exists: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        path, folder = Path(name) / "stretto.db", Path(name)
        if exists:
            write_many(path, "me", 1)
            path.chmod(0o444)
        folder.chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY_SCRIPT, str(path)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        folder.chmod(0o755)
    assert "STRETTO_HOME" in told
    assert str(path) in told
