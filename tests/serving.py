"""Real servers on the loopback interface, for tests that speak HTTP to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx2

from stretto.bootstrap.database import Database
from stretto.bootstrap.fetching import RecordingFetcher
from stretto.bootstrap.serving import Serving, build_serving, create_key
from stretto.bootstrap.text_log import TextLog
from stretto.contexts.core.access import Scope
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.recognition import (
    EngineIdentity,
    TranscriptionOptions,
    TranscriptRequest,
)
from stretto.contexts.core.transcript import Segment, Transcript
from stretto.contexts.external.adapters.guarded_connection import resolved
from stretto.contexts.external.address_guard import Resolve
from stretto.contexts.queue import transitions
from stretto.contexts.queue.model import Change, FileWork, Job, JobError, JobProgress, Moment
from stretto.contexts.queue.policy import RetryPolicy
from stretto.interfaces.http.running import address_of, bound, uvicorn_of
from stretto.interfaces.http.server import Server
from stretto.interfaces.http.watching import Watch
from stretto.settings import Settings

NO_AUDIO: Final = JobError(
    kind="NoAudioStream", message="The file has no audio.", trace="Traceback"
)
STARTS_S: Final = 60.0
STOPS_S: Final = 60.0


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
    answering: Callable[[], int]
    """How many requests are being answered."""

    clients: list[httpx2.Client] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

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
    port: int = 0,
    resolve: Resolve = resolved,
) -> Generator[Site, None, None]:
    made = Settings(home=home, offline=True, model="tiny.en", serve_host=host, **(settings or {}))
    with closing(build_serving(made, key_needed=key_needed)) as built:
        fetcher = RecordingFetcher(made, built.recordings, resolve=resolve)
        serving = replace(built, fetcher=fetcher)
        bell, ready = Bell(), threading.Event()
        server = Server(serving=serving, watch=Watch(serving.queue), hands=bell)
        with closing(bound("127.0.0.1", port)) as listening:
            uvicorn = uvicorn_of(server, ready=ready.set)
            thread = threading.Thread(target=uvicorn.run, kwargs={"sockets": [listening]})
            thread.start()

            def stop() -> None:
                uvicorn.should_exit = True

            found = Site(
                url=address_of(listening),
                serving=serving,
                bell=bell,
                stop=stop,
                answering=lambda: len(uvicorn.server_state.tasks),
            )
            try:
                assert ready.wait(STARTS_S), "the server did not start"
                yield found
            finally:
                for client in found.clients:
                    client.close()
                stop()
                thread.join(STOPS_S)
    assert not thread.is_alive(), "the server did not stop"


def begin(site: Site, job: Job) -> Job:
    """As a worker would have claimed it."""
    dispatcher = site.serving.queue.dispatcher
    claimed = dispatcher.change(
        job.id,
        lambda j, now: transitions.claimed(j, now, holder="w1", lease=dispatcher.terms.lease(now)),
    )
    assert claimed is not None
    return claimed


def heard(site: Site, claimed: Job, *segments: Segment) -> None:
    """As a worker would have told of the text while it recognises it."""
    log = TextLog(site.database).of(claimed)
    log.heard(segments)
    log.write()


def finish(site: Site, job: Job, what: JobStatus, **details: Any) -> None:
    """As a worker would have ended it."""
    end(site, begin(site, job), what, **details)


def end(site: Site, claimed: Job, what: JobStatus, **details: Any) -> None:
    """The same for a job that was begun. What failed has an ``error`` if it is not to be another
    one."""

    def decide(job: Job, now: Moment) -> Change | None:
        fence = claimed.fence
        if what is JobStatus.COMPLETED:
            return transitions.completed(job, now, fence=fence, progress=JobProgress(), **details)
        return transitions.failed(
            job,
            now,
            fence=fence,
            error=details.get("error", NO_AUDIO),
            retryable=False,
            policy=RetryPolicy(),
        )

    site.serving.queue.dispatcher.change(claimed.id, decide)
