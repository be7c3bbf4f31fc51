"""Every kind of bad news from a PostgreSQL, and from its address, is one sentence that helps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa

from stretto.contexts.core.errors import (
    InvalidOption,
    StorageBusy,
    StorageFull,
    StorageUnavailable,
    StrettoError,
)
from stretto.contexts.database.adapters import postgresql
from stretto.contexts.database.adapters.postgresql_errors import translate
from stretto.contexts.database.model import ConnectionString
from tests.servers import Database, Server, opened


@pytest.fixture
def address(server: Server, postgres_template: str) -> Iterator[ConnectionString]:
    with server.database(template=postgres_template) as address:
        yield address


def reached(address: ConnectionString) -> Database:
    return opened(address, database_pool_min=0)


def trouble_with(database: Database) -> StrettoError:
    with pytest.raises(StrettoError) as caught, database.read() as connection:
        connection.execute("SELECT 1")
    database.close()
    return caught.value


def test_a_server_that_is_down_is_named_without_its_password() -> None:
    down = ConnectionString(
        user="me", password="geheim", host="127.0.0.1", port=1, database="stretto"
    )
    trouble = trouble_with(reached(down))
    assert isinstance(trouble, StorageUnavailable)
    assert "cannot be reached (Connection refused)" in trouble.message
    assert "me:***@127.0.0.1:1/stretto" in trouble.message
    assert "geheim" not in trouble.message
    assert "Start the server" in trouble.message


def test_a_wrong_password_is_called_that(server: Server) -> None:
    if server.folder is None:
        pytest.skip("needs a server of ours, with a user that has a password")
    server.run("DROP ROLE IF EXISTS guarded")
    server.run("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    wrong = replace(server.address, user="guarded", password="wrong-secret")
    trouble = trouble_with(reached(wrong))
    assert "refuses the user or password" in trouble.message
    assert "wrong-secret" not in repr(trouble)


def test_a_database_that_does_not_exist_is_called_that(server: Server) -> None:
    trouble = trouble_with(reached(replace(server.address, database="no_such_place")))
    assert "does not exist. Create it" in trouble.message


def test_a_database_that_lets_nobody_in_is_not_called_missing(
    address: ConnectionString, server: Server
) -> None:
    server.run(f'ALTER DATABASE "{address.database}" ALLOW_CONNECTIONS false')
    assert "Try again when it is up" in trouble_with(reached(address)).message


def test_a_user_without_rights_is_told_so(address: ConnectionString, server: Server) -> None:
    server.run("DROP ROLE IF EXISTS stranger")
    server.run("CREATE ROLE stranger LOGIN")
    database = reached(replace(address, user="stranger"))
    with pytest.raises(StorageUnavailable, match="Grant it the rights"), database.read() as c:
        c.execute("SELECT count(*) FROM transcript")
    database.close()


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ("53100", StorageFull, "Free some space"),
        ("53300", StorageBusy, "max_connections"),
        ("57P01", StorageUnavailable, "Try again when it is up"),
        ("40P01", StorageBusy, "Try again"),
        ("57014", StorageBusy, "took longer"),
        ("25006", StorageUnavailable, "read-only"),
        ("XX001", StorageUnavailable, "damaged"),
        ("58030", StorageUnavailable, "disk"),
    ],
)
def test_what_the_server_says_becomes_a_sentence(
    state: str, kind: type[StrettoError], words: str
) -> None:
    cause = psycopg.errors.lookup(state)("a message of the server")
    ours = translate(sa.exc.DBAPIError("SELECT 1", {}, cause), "postgresql+psycopg://db/x")
    assert type(ours) is kind
    assert words in ours.message


URLS = [
    "mysql://me:geheim@db/x",
    "postgresql+asyncpg://me:geheim@db/x",
    "geheim",
    "postgresql://me:geheim@db",
    "postgresql://me:geheim@db:notaport/x",
    "postgresql://me:geheim@[::1/x",
]


@pytest.mark.parametrize("url", URLS)
def test_a_wrong_address_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(InvalidOption, match="STRETTO_DATABASE_URL") as caught:
        ConnectionString.parse(url)
    assert "geheim" not in caught.value.message or url == "geheim"


PARAMETERS = [
    ("nonsense=geheim", "'nonsense'"),
    ("connect_timeout=geheim", "connect_timeout"),
    ("row_factory=geheim", "'row_factory'"),
]


@pytest.mark.parametrize(("parameter", "named"), PARAMETERS)
def test_a_parameter_that_the_driver_does_not_take_is_named_without_its_value(
    parameter: str, named: str
) -> None:
    address = ConnectionString.parse(f"postgresql://me@127.0.0.1:1/x?sslmode=disable&{parameter}")
    with pytest.raises(InvalidOption, match="STRETTO_DATABASE_URL") as caught:
        reached(address)
    assert named in caught.value.message
    assert "geheim" not in caught.value.message


def test_a_server_that_is_too_old_is_refused(
    address: ConnectionString, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "OLDEST_SERVER", (99,))
    trouble = trouble_with(reached(address))
    assert isinstance(trouble, StorageUnavailable)
    assert "needs 99 or newer" in trouble.message
    assert "Upgrade the server" in trouble.message
