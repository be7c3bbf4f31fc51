"""Real servers on the loopback interface, for tests that speak HTTP to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from stretto.bootstrap.database import Database
from stretto.bootstrap.serving import Serving, build_serving, create_key
from stretto.contexts.core.access import Scope
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.recognition import (
    EngineIdentity,
    TranscriptionOptions,
    TranscriptRequest,
)
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.queue.model import FileWork, Job
from stretto.interfaces.http.running import address_of, bound, uvicorn_of
from stretto.interfaces.http.server import Server
from stretto.interfaces.http.watching import Watch
from stretto.settings import Settings


@dataclass
class Bell:
    """Counts how often somebody was told that there is something to do."""

    rings: int = 0
    work: bool = False

    def ring(self) -> None:
        self.rings += 1


@dataclass(frozen=True, kw_only=True)
class Site:
    """A server that runs, without a worker: jobs stay queued unless the test does something."""

    url: str
    serving: Serving
    bell: Bell
    stop: Callable[[], None]
    clients: list[httpx2.Client] = field(default_factory=list)

    @property
    def database(self) -> Database:
        """Where all of it is kept."""
        return self.serving.keeper.database

    def client(self, key: str = "", **headers: str) -> httpx2.Client:
        if key:
            headers["authorization"] = f"Bearer {key}"
        client = httpx2.Client(base_url=self.url, headers=headers, timeout=30)
        self.clients.append(client)
        return client

    def key(self, owner: str, *scopes: Scope) -> str:
        wanted = frozenset(scopes or (Scope.READ, Scope.WRITE))
        secret, _ = create_key(self.serving.settings, owner=owner, scopes=wanted)
        return secret

    def job(self, path: Path | str = "/nowhere/talk.wav", *, owner: str = "") -> Job:
        """One that was submitted otherwise."""
        options = TranscriptionOptions(scope=owner)
        return self.serving.queue.submit(FileWork(path=str(path), options=options))

    def keep(self, transcript: Transcript, *, owner: str = "") -> TranscriptId:
        """A transcript that somebody made."""
        identity = EngineIdentity(
            engine="whisper", engine_version="1", model="tiny.en", model_revision="r1"
        )
        request = TranscriptRequest(
            file_hash=transcript.file_hash,
            stream_index=None,
            engine=identity,
            options=TranscriptionOptions(),
            scope=owner,
        )
        self.serving.transcripts.keep(request, transcript)
        return transcript.id


@contextmanager
def site(
    home: Path,
    *,
    key_needed: bool = False,
    settings: dict[str, Any] | None = None,
    host: str = "127.0.0.1",
) -> Generator[Site, None, None]:
    made = Settings(home=home, offline=True, model="tiny.en", serve_host=host, **(settings or {}))
    serving = build_serving(made, key_needed=key_needed)
    bell, ready = Bell(), threading.Event()
    server = Server(serving=serving, watch=Watch(serving.queue), hands=bell)
    with closing(bound("127.0.0.1", 0)) as listening:
        uvicorn = uvicorn_of(server, ready=ready.set)
        thread = threading.Thread(target=uvicorn.run, kwargs={"sockets": [listening]})
        thread.start()
        assert ready.wait(10)

        def stop() -> None:
            uvicorn.should_exit = True

        found = Site(url=address_of(listening), serving=serving, bell=bell, stop=stop)
        try:
            yield found
        finally:
            for client in found.clients:
                client.close()
            stop()
            thread.join(20)
            serving.close()
    assert not thread.is_alive()


def finish(site: Site, job: Job, what: JobStatus, **details: Any) -> None:
    """As a worker would have ended it."""
    from stretto.contexts.queue import transitions
    from stretto.contexts.queue.model import JobError, JobProgress
    from stretto.contexts.queue.policy import RetryPolicy

    dispatcher = site.serving.queue.dispatcher
    claimed = begin(site, job)
    decide: Callable[..., Any]
    if what is JobStatus.COMPLETED:
        decide = lambda j, now: transitions.completed(  # noqa: E731
            j, now, fence=claimed.fence, progress=JobProgress(), **details
        )
    else:
        error = JobError(kind="NoAudioStream", message="The file has no audio.", trace="Traceback")
        decide = lambda j, now: transitions.failed(  # noqa: E731
            j, now, fence=claimed.fence, error=error, retryable=False, policy=RetryPolicy()
        )
    dispatcher.change(job.id, decide)


def begin(site: Site, job: Job) -> Job:
    """As a worker would have claimed it."""
    from stretto.contexts.queue import transitions

    dispatcher = site.serving.queue.dispatcher
    claimed = dispatcher.change(
        job.id,
        lambda j, now: transitions.claimed(j, now, holder="w1", lease=dispatcher.terms.lease(now)),
    )
    assert claimed is not None
    return claimed
