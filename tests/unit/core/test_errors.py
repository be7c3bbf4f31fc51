"""One tree of errors: drawn as it is, each with a sentence, each saying whether a retry helps."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from stretto.contexts.core import errors
from stretto.contexts.core.errors import StrettoError

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, StrettoError)
]
NAME = re.compile(r"\b[A-Z][A-Za-z]+\b")


def drawn() -> dict[str, str]:
    """Each name in the drawing of the module docstring with the one it hangs from."""
    assert errors.__doc__
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"^([│├└─ ]*)([A-Z]\w+(?: · [A-Z]\w+)*)(?:\s{2,}.*)?$", line)
        if not found or (path and not found[1]):
            continue
        depth = len(found[1]) // 4
        names = found[2].split(" · ")
        path[depth:] = [names[-1]]
        parents |= dict.fromkeys(names, path[depth - 1] if depth else "")
    return parents


def test_the_drawing_shows_the_tree_as_it_is() -> None:
    real = {
        kind.__name__: kind.__bases__[0].__name__ if kind is not StrettoError else ""
        for kind in CLASSES
    }
    assert drawn() == real


@pytest.mark.parametrize("kind", CLASSES)
def test_the_docstring_is_a_sentence_and_the_default_message(kind: type[StrettoError]) -> None:
    said = kind.__doc__ or ""
    assert "__doc__" in vars(kind)
    assert re.fullmatch(r"[A-Z][^\n]+[a-z0-9]\.", said)
    assert kind().message == said == str(kind())


@pytest.mark.parametrize("kind", CLASSES)
def test_a_message_of_its_own_replaces_the_default(kind: type[StrettoError]) -> None:
    assert kind("The disk is on fire.").message == "The disk is on fire."
    assert kind("").message == kind.__doc__


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_being_sent_to_another_process(kind: type[StrettoError]) -> None:
    again = pickle.loads(pickle.dumps(kind("It broke.")))
    assert type(again) is kind
    assert again.message == "It broke."


@pytest.mark.parametrize("kind", CLASSES)
def test_a_retry_never_helps_against_a_wrong_request_or_a_wrong_file(
    kind: type[StrettoError],
) -> None:
    if issubclass(kind, errors.InvalidRequest | errors.UnusableMedia | errors.Cancelled):
        assert not kind.retryable


def test_a_retry_may_help_where_the_drawing_says_so() -> None:
    assert {kind.__name__ for kind in CLASSES if kind.retryable} == {
        "Unavailable",
        "BrokerUnavailable",
        "CallbackFailed",
        "DecoderUnavailable",
        "StorageUnavailable",
        "CDNUnavailable",
        "StorageBusy",
        "StorageFull",
        "TransientEngineFailure",
    }
