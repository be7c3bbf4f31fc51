"""Words are cut down to the same stems however many threads do it at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from stretto.contexts.processing.adapters import stemming

ENGLISH = ["".join(parts) for parts in product("bdfgklmnprst", "aeiou", "ln", ["ationally", "ing"])]
RUSSIAN = [
    "".join(parts) for parts in product("бвгдкл", "аеиоу", "лн", ["ениями", "ующих", "ость"])
]
WORDS = ENGLISH + RUSSIAN


@pytest.fixture
def _threads_take_turns_all_the_time() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_threads_take_turns_all_the_time")
def test_threads_do_not_disturb_each_other() -> None:
    alone = [stemming.stem(word) for word in WORDS]
    stemming.stem.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(stemming.stem, WORDS))
    stemming.stem.cache_clear()  # a wrong stem would be remembered
    assert together == alone
