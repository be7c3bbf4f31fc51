"""Streams of events: of all that is somebody's, and no more of them than one may have."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from stretto.contexts.core.access import Scope
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.transcript import Segment
from stretto.interfaces.http import feed, running
from tests.server.test_jobs import Event, events_of
from tests.serving import Site, begin, end, finish, heard, site

SOON_S: Final = 60.0


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def listening(client: httpx2.Client, **headers: str) -> Iterator[Iterator[tuple[int, str, Event]]]:
    with client.stream("GET", "/api/events", headers=headers) as answer:
        assert answer.status_code == 200
        yield events_of(answer.iter_lines())


def told(events: Iterator[tuple[int, str, Event]], count: int) -> list[tuple[str, str]]:
    """The next ones, and the ids of their jobs."""
    return [(name, data["job_id"]) for _, name, data in (next(events) for _ in range(count))]


def test_what_happens_to_all_jobs_is_told_from_now_on(open_site: Site) -> None:
    open_site.job("/nowhere/before.wav")
    with listening(open_site.client()) as events:
        first, second = (open_site.job(f"/nowhere/{n}.wav") for n in range(2))
        claimed = begin(open_site, first)
        heard(open_site, claimed, Segment(start=0.0, end=1.0, text="Hello."))
        end(open_site, claimed, JobStatus.FAILED)
        open_site.serving.queue.cancel(second.id)
        assert told(events, 6) == [
            ("JobQueued", str(first.id)),
            ("JobQueued", str(second.id)),
            ("JobStarted", str(first.id)),
            ("JobTextHeard", str(first.id)),
            ("JobFailed", str(first.id)),
            ("JobCancelled", str(second.id)),
        ]


def test_nobody_misses_an_event_of_any_job(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "REMEMBERED", 4)
    jobs = [open_site.job(f"/nowhere/{n}.wav") for n in range(20)]
    for job in jobs:
        finish(open_site, job, JobStatus.FAILED)
    seen: list[int] = []
    names: list[str] = []
    client = open_site.client()
    while len(seen) < 60:
        with listening(client, **{"last-event-id": str(seen[-1] if seen else 0)}) as events:
            for _ in range(min(17, 60 - len(seen))):
                number, name, _ = next(events)
                seen.append(number)
                names.append(name)
    assert seen == sorted(set(seen))
    told_of_jobs = [name for name in names if name.startswith("Job")]
    assert {told_of_jobs.count(name) for name in told_of_jobs} == {len(jobs)}


def test_everybody_hears_of_their_own_jobs_and_an_operator_of_all(keyed_site: Site) -> None:
    anna, boris = (keyed_site.client(keyed_site.key(name)) for name in ("anna", "boris"))
    admin = keyed_site.client(keyed_site.key("root", Scope.ADMIN))
    hers, his = (keyed_site.job(f"/nowhere/{n}.wav", owner=n) for n in ("anna", "boris"))
    begun = {"last-event-id": "0"}
    with listening(anna, **begun) as one, listening(boris, **begun) as other:
        assert told(one, 1) == [("JobQueued", str(hers.id))]
        assert told(other, 1) == [("JobQueued", str(his.id))]
        keyed_site.serving.queue.cancel(his.id)
        keyed_site.serving.queue.cancel(hers.id)
        assert told(one, 1) == [("JobCancelled", str(hers.id))]
        assert told(other, 1) == [("JobCancelled", str(his.id))]
    with listening(admin, **begun) as everything:
        assert len({job for _, job in told(everything, 4)}) == 2


def test_one_stream_more_than_an_owner_may_have_is_refused(home: Path) -> None:
    with (
        site(home, key_needed=True, settings={"serve_streams": 3}) as found,
        ExitStack() as streams,
    ):
        first, second = (found.client(found.key("anna")) for _ in range(2))
        job = found.job(owner="anna")
        streams.enter_context(listening(first))
        streams.enter_context(listening(second))
        closing = streams.enter_context(ExitStack())
        closing.enter_context(first.stream("GET", f"/api/jobs/{job.id}/events"))
        refused = second.get("/api/events")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
        assert int(refused.headers["retry-after"]) > 0
        assert second.get(f"/api/jobs/{job.id}/events").status_code == 429
        with listening(found.client(found.key("boris"))):
            pass
        closing.close()
        until = time.monotonic() + SOON_S
        while (status := status_of(second)) == 429:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert status == 200


def status_of(client: httpx2.Client) -> Any:
    with client.stream("GET", "/api/events") as answer:
        return answer.status_code


def test_a_server_that_stops_lets_those_go_who_listen_to_everything(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE_S", 3600)  # nobody is let go for want of time
    with site(home) as found, listening(found.client()) as events:
        found.stop()
        assert next(events, None) is None
