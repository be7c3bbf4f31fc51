"""A service in trouble: how often it is asked, how soon it is left alone, and that nothing is lost
when its connections break."""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.fakes.backend import Backend, backend
from tests.fakes.backend_script import Call, Fault, Reply, refused

from benchmarks.figures import Figure
from benchmarks.gateway_figures import Client, Sizes, percentile, small
from stretto.contexts.core.errors import TransientEngineFailure

CALLERS: Final = 20
BREAKS: Final = (
    Fault.RESET_IN_BODY,
    Fault.GOAWAY_AND_CLOSED,
    Fault.NEVER_ANSWERS,
    Fault.RESET,
    Fault.CLOSED,
)
TOLD: Final[tuple[tuple[str, float], ...]] = (
    ("1", 1.0),
    ("1.5", 1.5),
    ("0", 0.0),
    ("-5", 0.0),
    ("soon", 0.0),
    ("", 0.0),
    ("DATE", 1.0),
    ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ("2, 2", 0.0),
    ("1000000000", 3600.0),
)
"""What a service may say in Retry-After, and the seconds that it must be left alone then: 0 where
it means nothing. A DATE is two seconds from now, which is more than one whole second."""


def measured(sizes: Sizes) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as name:
        yield from down(Path(name) / "down", sizes)
        yield from told(Path(name) / "told")
        yield from mixed(Path(name) / "mixed", sizes)


def down(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """Nothing but 503 for a minute under twenty callers, then the service is well again."""
    folder.mkdir()
    seconds = max(3.0, sizes.seconds(60.0))
    ill = threading.Event()
    ill.set()
    began = time.monotonic()
    turned_away: list[tuple[float, float]] = []
    answered_at: list[float] = []
    numbers = itertools.count()

    def ask(client: Client) -> None:
        while time.monotonic() < began + seconds + 10:
            asked_at = time.monotonic()
            try:
                client.send(small(next(numbers)))
                answered_at.append(time.monotonic())
            except TransientEngineFailure as failure:
                if "left alone" in failure.message:
                    turned_away.append((asked_at, time.monotonic() - asked_at))
            time.sleep(0.05)

    script = lambda _: refused(503, "down") if ill.is_set() else Reply(takes_s=0.05)  # noqa: E731
    with backend(folder, script=script) as server:
        client = Client(
            server, authority=str(server.authority_file(folder)), remote_concurrency=CALLERS
        )
        with ThreadPoolExecutor(CALLERS) as pool:
            callers = [pool.submit(ask, client) for _ in range(CALLERS)]
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            ill.clear()
            well_at = time.monotonic()
            [caller.result() for caller in callers]
        client.services.close()
        entries = server.entries()
    turned_away.sort()
    while_ill = [entry for entry in entries if entry.status != 200]
    attempts = Counter(entry.key for entry in while_ill)
    probes = [entry for entry in while_ill if entry.at > turned_away[0][0] + 1.0]
    last_away = max(at for at, _ in turned_away)
    yield Figure(
        what="down: attempts for each first try",
        value=(attempts.total() - 3) / len(attempts),
        unit="×",
        wanted=1.2,
        more={"first tries": len(attempts), "seconds": seconds},
    )
    yield Figure(what="down: attempts at one", value=max(attempts.values()), unit="", wanted=3)
    yield Figure(
        what="down: left alone after", value=turned_away[0][0] - began, unit="s", wanted=2.0
    )
    yield Figure(
        what="down: turned away in, p99",
        value=1000 * percentile([took for _, took in turned_away], 0.99),
        unit="ms",
        wanted=5.0,
        more={"turned away": len(turned_away)},
    )
    yield Figure(
        what="down: probes at once",
        value=max((entry.in_flight for entry in probes), default=0),
        unit="",
        wanted=1,
        more={"probes": len(probes)},
    )
    yield Figure(
        what="well again: nobody turned away after",
        value=max(0.0, last_away - well_at),
        unit="s",
        wanted=10.0,
        more={"answered since": len([at for at in answered_at if at > well_at])},
    )


def told(folder: Path) -> Iterator[Figure]:
    """Ten times twenty clients, each refused once with another word on when to come back."""
    early, gaps_ms, again = 0, [], 0
    for number, (word, seconds) in enumerate(TOLD):
        place = folder / str(number)
        place.mkdir(parents=True)

        def script(call: Call, word: str = word) -> Reply:
            if call.attempt > 1:
                return Reply()
            said = word.replace("DATE", formatdate(time.time() + 2, usegmt=True))
            return refused(429, "slow down", **({"retry_after": said} if said else {}))

        with backend(place, script=script) as server:
            client = Client(
                server,
                authority=str(server.authority_file(place)),
                remote_concurrency=CALLERS,
                remote_deadline_s=10,
            ).with_retries_for_all()
            with ThreadPoolExecutor(CALLERS) as pool:
                for asked in [pool.submit(client.send, small(n)) for n in range(CALLERS)]:
                    asked.exception()  # some are told to wait for longer than there is time
            client.services.close()
            entries = server.entries()
        refused_at = {entry.key: entry.until for entry in entries if entry.attempt == 1}
        starts = sorted((e.at, e.key) for e in entries if e.attempt > 1)
        again += len(starts)
        early += sum(at < refused_at[key] + seconds for at, key in starts)
        gaps_ms += [1000 * (b - a) for (a, _), (b, _) in pairwise(starts)]
    yield Figure(
        what="told when to come back: early",
        value=early,
        unit="",
        wanted=0,
        more={"clients": CALLERS * len(TOLD), "came back": again},
    )
    yield Figure(
        what="told when to come back: nearest two",
        value=min(gaps_ms),
        unit="ms",
        wanted=10.0,
        at_least=True,
    )


def mixed(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """Connections that go away every twenty streams; then calls that break in every other way."""
    calls = sizes.many(500)
    before = _open()
    spared = _through(folder / "away", calls, [Fault.REFUSED], goaway_every=20)
    broken = _through(folder / "broken", calls, BREAKS)
    left = _open() - before
    for name, run in (("connections go away", spared), ("calls break", broken)):
        yield Figure(
            what=f"{name}: answered",
            value=calls - run.failed,
            unit="",
            wanted=calls,
            at_least=True,
            more={"faults": run.faults, "connections": run.connections},
        )
        yield Figure(
            what=f"{name}: above the deadline", value=run.longest_s - 20.0, unit="s", wanted=1.0
        )
    yield Figure(what="connections go away: done twice", value=spared.twice, unit="", wanted=0)
    yield Figure(what="threads and files left open", value=left, unit="", wanted=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    longest_s: float
    failed: int
    twice: int
    faults: int
    connections: int


def _through(folder: Path, calls: int, faults: Sequence[Fault], **given: int) -> _Run:
    """Eight callers at once, one call in twenty of which meets one of ``faults``."""
    folder.mkdir(parents=True)
    dice = random.Random(5)
    planned = {number: dice.choice(faults) for number in range(calls) if dice.random() < 0.05}

    def script(call: Call) -> Reply:
        return Reply(takes_s=0.01, pieces=2, fault=planned.get(call.number, Fault.NONE))

    with backend(folder, script=script, **given) as server:
        client = Client(
            server,
            authority=str(server.authority_file(folder)),
            remote_concurrency=8,
            remote_answer_s=1,
            remote_deadline_s=20,
        )
        longest_s, failed = _sent(client, calls)
        client.services.close()
        entries = server.entries()
        _settle(server)
    executed = Counter(entry.key for entry in entries if entry.executed)
    return _Run(
        longest_s=longest_s,
        failed=failed,
        twice=sum(times > 1 for times in executed.values()),
        faults=len(planned),
        connections=max(entry.connection for entry in entries),
    )


def _sent(client: Client, calls: int) -> tuple[float, int]:
    """The longest call in seconds, and how many came to nothing."""

    def send(number: int) -> tuple[float, bool]:
        began = time.monotonic()
        try:
            client.send(small(number))
        except TransientEngineFailure:
            return time.monotonic() - began, False
        return time.monotonic() - began, True

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(send, range(calls)))
    return max(took for took, _ in results), sum(not well for _, well in results)


def _settle(server: Backend) -> None:
    for _ in range(200):
        if not server.open:
            return
        time.sleep(0.01)


def _open() -> int:
    return threading.active_count() + len(os.listdir("/proc/self/fd"))  # noqa: PTH208
