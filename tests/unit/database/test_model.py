"""Addresses that hide their passwords, pools of a sensible size, and what a revision means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.database.model import ConnectionString, PoolSize, SchemaState, schema_state

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


def test_an_address_is_read_in_all_its_parts() -> None:
    address = ConnectionString.parse(
        "postgresql+psycopg://me:p%40ss@db.example:6543/stretto?sslmode=require"
    )
    assert address == ConnectionString(
        user="me",
        password="p@ss",
        host="db.example",
        port=6543,
        database="stretto",
        options=(("sslmode", "require"),),
    )


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_the_usual_spellings_mean_the_same(scheme: str) -> None:
    address = ConnectionString.parse(f"{scheme}://db/stretto")
    assert str(address) == "postgresql+psycopg://db/stretto"


@given(user=WORDS, password=WORDS, database=WORDS)
def test_an_address_survives_being_written_and_read(
    user: str, password: str, database: str
) -> None:
    address = ConnectionString(user=user, password=password, host="db", database=database)
    assert ConnectionString.parse(address.url) == address


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:geheim@db/x",
        "postgresql://db/x?password=geheim",
        "postgresql://me@db/x?sslpassword=geheim",
    ],
)
def test_a_password_is_in_nothing_that_can_be_shown(url: str) -> None:
    address = ConnectionString.parse(url)
    assert "geheim" in address.url
    shown = f"{address} {address!r} {[address]}"
    assert "geheim" not in shown
    assert "***" in str(address)


@pytest.mark.parametrize("sizes", [(2, 1, 0), (-1, 1, 0), (0, 0, 0), (0, 1, -1)])
def test_a_pool_that_cannot_be_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidOption):
        PoolSize(minimum=sizes[0], maximum=sizes[1], overflow=sizes[2])


@pytest.mark.parametrize(
    ("recorded", "state"),
    [
        (None, SchemaState.EMPTY),
        ("1", SchemaState.OLDER),
        ("2", SchemaState.CURRENT),
        ("3", SchemaState.NEWER),
    ],
)
def test_a_revision_is_older_current_or_newer(recorded: str | None, state: SchemaState) -> None:
    assert schema_state(recorded, known=("1", "2")) is state
