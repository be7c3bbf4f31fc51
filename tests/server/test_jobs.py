"""Jobs over HTTP: listed page by page, cancelled, tried again, and followed without a gap."""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stretto.bootstrap.text_log import TextLog
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.transcript import Segment
from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import Job, JobProgress
from stretto.interfaces.http import running, streaming, watching
from tests.serving import Site, begin, finish, site

Event = dict[str, Any]


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def events_of(lines: Iterator[str]) -> Iterator[tuple[int, str, Event]]:
    """Server-sent events: their ids, names and data."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line and "data" in fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


@contextmanager
def following(client: httpx2.Client, job: Job, **headers: str) -> Iterator[Any]:
    place = f"/api/jobs/{job.id}/events"
    with client.stream("GET", place, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_of(answer.iter_lines())


def progressed(site: Site, job: Job, fence: int, percent: int) -> None:
    progress = JobProgress(fraction=percent / 100, done_s=float(percent))
    site.serving.queue.dispatcher.change(
        job.id, lambda j, now: transitions.progressed(j, now, fence=fence, progress=progress)
    )


def test_jobs_are_listed_page_by_page(open_site: Site) -> None:
    made = [open_site.job(f"/nowhere/{n}.wav") for n in range(5)]
    client, seen, after = open_site.client(), [], ""
    while True:
        page = client.get("/api/jobs", params={"limit": 2, "after": after}).json()
        seen += [job["id"] for job in page["jobs"]]
        after = page["next"]
        if not after:
            break
    assert seen == [str(job.id) for job in reversed(made)]
    queued = client.get("/api/jobs?status=queued&limit=200").json()["jobs"]
    assert len(queued) == 5
    assert client.get("/api/jobs?status=completed").json() == {"jobs": [], "next": None}


def test_a_job_is_cancelled_and_tried_again(open_site: Site) -> None:
    client, job = open_site.client(), open_site.job()
    assert client.post(f"/api/jobs/{job.id}/cancel").json()["status"] == "cancelled"
    assert client.post(f"/api/jobs/{job.id}/retry").json()["status"] == "queued"
    assert open_site.bell.rings == 1
    refused = client.post(f"/api/jobs/{job.id}/retry")
    assert refused.status_code == 409
    assert refused.headers["x-should-retry"] == "false"


def test_a_job_that_was_given_up_says_why_and_is_tried_again_or_forgotten(
    open_site: Site,
) -> None:
    client, job, other = open_site.client(), open_site.job(), open_site.job("/nowhere/b.wav")
    for one in (job, other):
        finish(open_site, one, JobStatus.FAILED)
    listed = client.get("/api/dlq").json()["jobs"]
    assert {one["id"] for one in listed} == {str(job.id), str(other.id)}
    shown = client.get(f"/api/dlq/{job.id}").json()
    assert shown["error"] == {"kind": "NoAudioStream", "message": "The file has no audio."}
    assert (shown["cause"], shown["trace"]) == ("refused", "Traceback")
    assert client.post(f"/api/dlq/{job.id}/requeue").json()["status"] == "queued"
    assert client.delete(f"/api/dlq/{other.id}").status_code == 204
    assert client.get("/api/dlq").json()["jobs"] == []
    assert client.get(f"/api/jobs/{other.id}").status_code == 404


def test_the_events_of_a_job_come_as_they_happen_and_end_with_it(open_site: Site) -> None:
    job = open_site.job()
    with following(open_site.client(), job) as events:
        assert next(events)[1] == "JobQueued"
        claimed = begin(open_site, job)
        assert next(events)[1] == "JobStarted"
        progressed(open_site, job, claimed.fence, 40)
        number, name, data = next(events)
        assert (name, data["fraction"]) == ("JobProgressed", 0.4)
        open_site.serving.queue.dispatcher.change(
            job.id, lambda j, now: transitions.stopped(j, now, fence=claimed.fence)
        )
        assert next(events)[1] == "JobCancelled"
        assert next(events, None) is None
    again = open_site.client().get(
        f"/api/jobs/{job.id}/events", headers={"last-event-id": str(number + 1)}
    )
    assert again.status_code == 204


def test_nobody_misses_an_event_however_often_the_connection_breaks(open_site: Site) -> None:
    job = open_site.job()
    claimed = begin(open_site, job)
    total, seen = 300, []

    def work() -> None:
        for percent in range(total):
            progressed(open_site, job, claimed.fence, percent % 100)
        open_site.serving.queue.dispatcher.change(
            job.id,
            lambda j, now: transitions.completed(
                j,
                now,
                fence=claimed.fence,
                transcript_id=TranscriptId.new(),
                progress=JobProgress(),
            ),
        )

    worker = threading.Thread(target=work)
    worker.start()
    last, client = 0, open_site.client()
    while not seen or seen[-1][1] != "JobCompleted":
        with following(client, job, **{"last-event-id": str(last)}) as events:
            for taken, event in enumerate(events):
                seen.append(event)
                last = event[0]
                if taken == 37:
                    break
    worker.join()
    numbers = [number for number, _, _ in seen]
    assert numbers == sorted(set(numbers))
    assert [name for _, name, _ in seen].count("JobProgressed") == total


def test_a_listener_far_behind_catches_up_from_the_database(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "REMEMBERED", 4)
    job = open_site.job()
    claimed = begin(open_site, job)
    with following(open_site.client(), job) as fast, following(open_site.client(), job) as slow:
        next(slow)
        for percent in range(40):
            progressed(open_site, job, claimed.fence, percent)
        finish_times = [next(fast)[1] for _ in range(42)]
        assert finish_times.count("JobProgressed") == 40
        assert [next(slow)[1] for _ in range(41)].count("JobProgressed") == 40


def test_a_job_that_is_deleted_is_not_followed_for_ever(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "POLL_SLOWLY_S", 0.2)
    job = open_site.job()
    with following(open_site.client(), job) as events:
        assert next(events)[1] == "JobQueued"
        open_site.serving.queue.cancel(job.id)
        assert next(events)[1] == "JobCancelled"
    other = open_site.job("/nowhere/other.wav")
    with following(open_site.client(), other, **{"last-event-id": "999999"}) as events:
        open_site.serving.queue.cancel(other.id)
        assert next(events, None) is None


def test_a_server_that_stops_lets_those_go_who_follow_and_they_go_on_with_another(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE_S", 3600)  # nobody is let go for want of time
    with site(home) as first:
        job = first.job()
        client = first.client()
        with following(client, job) as events:
            number, name, _ = next(events)
            first.stop()
            assert next(events, None) is None
    with site(home) as second:
        claimed = begin(second, job)
        with following(second.client(), job, **{"last-event-id": str(number)}) as events:
            assert (name, next(events)[1]) == ("JobQueued", "JobStarted")
            second.serving.queue.dispatcher.change(
                job.id, lambda j, now: transitions.stopped(j, now, fence=claimed.fence)
            )
            assert next(events)[1] == "JobCancelled"


@pytest.mark.parametrize("wrong", ["nonsense", "0" * 36, "%00", "%2e%2e"])
def test_an_id_that_is_none_is_no_bug(open_site: Site, wrong: str) -> None:
    client = open_site.client()
    for place in (f"/api/jobs/{wrong}", f"/api/jobs/{wrong}/events", f"/api/transcripts/{wrong}"):
        assert client.get(place).status_code in {404, 422}, place


def test_a_listener_who_does_not_read_is_cut_off_and_the_others_hear_everything(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STALLED_S", 0.5)
    job, place = open_site.job(), httpx2.URL(open_site.url)
    claimed = begin(open_site, job)
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect((place.host, place.port))
        head = f"GET /api/jobs/{job.id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        stalled.sendall(head.encode())
        with following(open_site.client(), job) as events:
            assert [next(events)[1] for _ in range(2)] == ["JobQueued", "JobStarted"]
            text = Segment(start=0.0, end=1.0, text="word " * 2000)
            log = TextLog(open_site.database).of(claimed)
            for count in range(60):
                log.heard((text,))
                log.write()
                assert next(events)[1] == "JobTextHeard", count
        end = time.monotonic() + 60
        while not (error := stalled.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert error == errno.ECONNRESET
