"""Whose job it is, is known where calls wait for their turn: from the queue to the service."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap import build
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.external.ratelimit import Permit, RateLimitHandler
from stretto.contexts.queue.model import FileWork, JobPriority
from stretto.settings import Settings
from tests.e2e.recordings import hissing, speech
from tests.fakes.backend import backend
from tests.mediagen import media


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The tenant and the recording of each call that waits for its turn."""
    seen: set[tuple[str, str]] = set()
    enter = RateLimitHandler.enter

    def noted(handler: RateLimitHandler, **given: Any) -> Permit:
        seen.add((given["tenant"], given["recording"]))
        return enter(handler, **given)

    monkeypatch.setattr(RateLimitHandler, "enter", noted)
    return seen


def test_the_owner_of_a_job_is_the_tenant_of_its_calls(
    tmp_path: Path, lines: set[tuple[str, str]]
) -> None:
    owners = {"anna": ("one", "two"), "boris": ("three",)}
    with backend(tmp_path) as server:
        settings = Settings(
            home=tmp_path / "home",
            engine="openai",
            language="en",
            openai_url=server.url,
            openai_answers="json",
            remote_ca_file=str(server.authority_file(tmp_path)),
        )
        with build(settings) as application:
            queue = application.queueing.made().service
            jobs = []
            for seed, (owner, name) in enumerate((o, n) for o in owners for n in owners[o]):
                path = tmp_path / f"{name}.wav"
                path.write_bytes(media(hissing(speech(), seed=seed)))
                options = TranscriptionOptions(scope=owner)
                jobs.append(queue.submit(FileWork(path=str(path), options=options)).id)
            worker = application.worker(concurrency=2, queues=tuple(JobPriority))
            thread = threading.Thread(target=worker.run)
            thread.start()
            try:
                done = [queue.wait(job_id, timeout_s=120) for job_id in jobs]
            finally:
                worker.leave()
                thread.join()
    assert [job.error for job in done] == [None] * 3
    assert [sum(owner == tenant for tenant, _ in lines) for owner in owners] == [2, 1]
    assert len({recording for _, recording in lines}) == 3
