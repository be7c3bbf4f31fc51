"""Keys, owners and scopes."""

from __future__ import annotations

import pytest

from stretto.contexts.core.access import (
    AccessKey,
    AccessKeyId,
    Caller,
    Scope,
    hash_of_secret,
    new_secret,
    scopes_from,
)
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Timestamp


def a_key(owner: str = "anna", *scopes: Scope) -> AccessKey:
    return AccessKey(
        id=AccessKeyId.new(),
        sha256=hash_of_secret("secret"),
        owner=owner,
        scopes=frozenset(scopes or (Scope.READ,)),
        created_at=Timestamp(0.0),
    )


def test_no_two_keys_are_the_same_and_none_can_be_guessed() -> None:
    made = {new_secret() for _ in range(1000)}
    assert len(made) == 1000
    assert min(len(one) for one in made) >= len("stretto_") + 43  # 256 bits in Base64
    assert len(hash_of_secret(made.pop())) == 64


@pytest.mark.parametrize("owner", ["", "_", "Anna", "../anna", "a/b", "-rf", "a" * 64, "анна"])
def test_an_owner_is_a_harmless_word(owner: str) -> None:
    with pytest.raises(InvalidOption, match="owner"):
        a_key(owner)


def test_whoever_may_do_everything_may_do_each_thing() -> None:
    admin = Caller.with_key(a_key("root", Scope.ADMIN))
    assert all(admin.may(scope) for scope in Scope)
    assert admin.may_see("anna")
    assert admin.sees is None


def test_others_may_do_what_their_key_says_with_their_own_things() -> None:
    anna = Caller.with_key(a_key("anna", Scope.READ))
    assert anna.may(Scope.READ)
    assert not anna.may(Scope.WRITE)
    assert not anna.may(Scope.ADMIN)
    assert anna.may_see("anna")
    assert not anna.may_see("")
    assert anna.sees == "anna"


def test_scopes_are_read_as_they_are_typed() -> None:
    assert scopes_from(" Read, write") == {Scope.READ, Scope.WRITE}
    for wrong in ("", ",", "read,everything"):
        with pytest.raises(InvalidOption, match="scope"):
            scopes_from(wrong)
