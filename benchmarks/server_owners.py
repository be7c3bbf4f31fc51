"""Whether an owner can find out, by how long an answer takes, what another one has transcribed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx2
import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figure
from benchmarks.server_site import Served, Size, at_least, at_most, served, speech
from stretto.bootstrap import load_settings
from stretto.bootstrap.serving import create_key
from stretto.contexts.core.access import Scope

OWNERS: Final = ("anna", "boris")
RECORDING_S: Final = 1.5
TURNS: Final = 10_000


def owners(size: Size) -> list[Figure]:
    """A has transcribed one recording of each pair; B asks for both, in an order that changes."""
    with served("--jobs", "1", prepare=_make_keys, STRETTO_SERVE_KEYS="always") as site:
        first, second = (_client(site, owner) for owner in OWNERS)
        with first, second:
            _have_transcribed(first, [2 * pair for pair in range(size.pairs)])
            known: list[float] = []
            unknown: list[float] = []
            for pair in range(size.pairs):
                order = [2 * pair, 2 * pair + 1]
                for seed in order if pair % 2 else reversed(order):
                    (unknown if seed % 2 else known).append(_took(second, seed))
            again = [_took(second, 2 * pair) for pair in range(min(5, size.pairs))]
            page = second.get("/api/transcripts?limit=1000").json()
            found = sum(one["owner"] != OWNERS[1] for one in page["transcripts"])
    before, new = np.array(known), np.array(unknown)
    more = {
        "known to A, ms": round(1000 * float(np.median(before)), 1),
        "known to nobody, ms": round(1000 * float(np.median(new)), 1),
        "known to B, ms": round(1000 * float(np.median(again)), 1),
        "runs": 2 * size.pairs,
    }
    return [
        at_least("what A knows: p for B", _chance(np.log(before) - np.log(new)), "", 0.05, **more),
        at_most("what A knows: found by B", found, "", 0),
    ]


def _make_keys(home: Path) -> None:
    settings = load_settings({"STRETTO_HOME": str(home)})
    for owner in OWNERS:
        scopes = frozenset({Scope.READ, Scope.WRITE})
        (home / owner).write_text(create_key(settings, owner=owner, scopes=scopes)[0])


def _client(site: Served, owner: str) -> httpx2.Client:
    headers = {"authorization": f"Bearer {(site.home / owner).read_text()}"}
    return httpx2.Client(base_url=site.url, headers=headers, timeout=60)


def _have_transcribed(client: httpx2.Client, seeds: Sequence[int]) -> None:
    for seed in seeds:
        body = speech(RECORDING_S, seed)
        client.post("/api/jobs", files={"file": ("talk.wav", body)}).raise_for_status()
    for status in ("queued", "processing"):
        while client.get(f"/api/jobs?status={status}&limit=1").json()["jobs"]:
            time.sleep(0.2)


def _took(client: httpx2.Client, seed: int) -> float:
    """Seconds from the question to the text."""
    body = speech(RECORDING_S, seed)
    begun = time.perf_counter()
    answer = client.post(
        "/v1/audio/transcriptions",
        files={"file": ("talk.wav", body)},
        data={"model": "whisper-1"},
    )
    took = time.perf_counter() - begun
    assert answer.status_code == 200, answer.text
    return took


def _chance(differences: npt.NDArray[np.float64]) -> float:
    """How likely a mean as far from nothing is when each difference might as well be turned round
    (a permutation test of pairs, two-sided)."""
    dice = np.random.default_rng(1)
    signs = dice.choice([-1.0, 1.0], (TURNS, len(differences)))
    means = np.abs((signs * differences).mean(axis=1))
    return float((1 + (means >= abs(differences.mean())).sum()) / (1 + TURNS))
