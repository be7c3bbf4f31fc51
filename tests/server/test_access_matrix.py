"""Every route by everybody: a stranger, the owner, another tenant, somebody whose key was revoked,
and an administrator. The routes are the server's own list; one with a new kind of id fails here
until somebody says what it leads to."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from stretto.bootstrap.serving import list_keys, revoke_key
from stretto.contexts.core.access import Scope
from stretto.contexts.core.canonical import request_digest
from stretto.contexts.core.identifiers import FileHash, JobId, TranscriptId
from stretto.contexts.core.job import JobStatus
from tests.fakes.examples import a_recognition_request, a_transcript, a_transcript_request
from tests.mediagen import media, tone
from tests.server.test_security import OPEN, routes
from tests.serving import Site, finish

SPOKEN, NAME = "zanzibar marmalade", "annas-own-talk.wav"
TUS = {"tus-resumable": "1.0.0"}
BODIES: dict[str, object] = {
    "edits": {"segments": [{"index": 0, "text": "changed"}]},
    "session": {"key": "stretto_wrong"},
    "silence": {"seconds": 1},
    "invalidate": {"everything": True},
}
"""By how the path ends."""


@dataclass(frozen=True)
class Belongings:
    """What one owner has, and what of it must be told to nobody else."""

    ids: dict[str, str]
    dead: str
    file_hash: str

    def place(self, path: str) -> str:
        ids = {**self.ids, "job_id": self.dead} if "/dlq/" in path else self.ids
        return path.replace("{name:path}", "{name}").format(**ids)

    def is_told_in(self, body: str) -> bool:
        return any(mark in body for mark in (*SPOKEN.split(), NAME, self.file_hash))


@pytest.fixture
def annas(keyed_site: Site) -> Belongings:
    client = keyed_site.client(keyed_site.key("anna"))
    sound = media(tone(0.5), container="wav", codec="pcm_s16le")
    job = client.post("/api/jobs", files={"file": (NAME, sound)}).json()["id"]
    file_hash = path_of(keyed_site, job).parent.name
    dead = keyed_site.job(f"/nowhere/{NAME}", owner="anna")
    finish(keyed_site, dead, JobStatus.FAILED)
    transcript = replace(
        a_transcript(SPOKEN), id=TranscriptId.new(), file=NAME, file_hash=FileHash(file_hash)
    )
    kept = keyed_site.keep(transcript, owner="anna")
    named = f"filename {base64.b64encode(NAME.encode()).decode()}"
    head = {**TUS, "upload-length": "10", "upload-metadata": named}
    upload = client.post("/api/uploads", headers=head).headers["location"].rpartition("/")[2]
    ids = {"job_id": job, "transcript_id": str(kept), "upload_id": upload}
    ids |= {"name": "whisper-1", "rule": "dead-letters"}
    return Belongings(ids=ids, dead=str(dead.id), file_hash=file_hash)


def path_of(found: Site, job: str) -> Path:
    """Where the recording of a job lies."""
    return Path(found.serving.queue.get(JobId.parse(job)).work.path)


def asked(client: httpx2.Client, method: str, place: str, **given: object) -> tuple[int, str]:
    """The status and the text; of a stream that goes on, its beginning is enough."""
    body = BODIES.get(place.rpartition("/")[2])
    with client.stream(method, place, json=body, headers=TUS, **given) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer.status_code, next(answer.iter_text())
        answer.read()
        return answer.status_code, answer.text


def table(found: Site) -> Iterator[tuple[str, str, Scope | None]]:
    """Looking first, changing then, deleting last."""
    order = {"GET": 0, "HEAD": 0, "OPTIONS": 0, "POST": 1, "PATCH": 1, "DELETE": 2}
    yield from sorted(routes(found), key=lambda row: (order[row[0]], row[1]))


def test_a_stranger_and_a_revoked_key_are_let_in_nowhere(
    keyed_site: Site, annas: Belongings
) -> None:
    revoked = keyed_site.key("anna", *Scope)
    newest = max(list_keys(keyed_site.serving.settings), key=lambda key: key.created_at)
    revoke_key(keyed_site.serving.settings, str(newest.id))
    for client in (keyed_site.client(), keyed_site.client(revoked)):
        for method, path, needed in table(keyed_site):
            status, text = asked(client, method, annas.place(path))
            if needed is None:
                assert path in OPEN
                assert status != 403
            else:
                # after ten wrong keys nobody looks at another one for a minute
                assert status in {401, 429}, (method, path, status)
            assert not annas.is_told_in(text), (method, path)


def test_another_tenant_meets_nothing_of_hers(keyed_site: Site, annas: Belongings) -> None:
    boris = keyed_site.client(keyed_site.key("boris"))
    refused = 0
    for method, path, needed in table(keyed_site):
        status, text = asked(boris, method, annas.place(path))
        assert not annas.is_told_in(text), (method, path)
        if needed is Scope.ADMIN:
            assert status == 403, (method, path)
        elif any(f"{{{kind}_id}}" in path for kind in ("job", "transcript", "upload")):
            assert status in {404, 415}, (method, path)  # 415: before anything is looked up
            refused += 1
    assert refused > 15
    for wanted in ({"file_hash": annas.file_hash}, {"upload": annas.ids["upload_id"]}):
        assert boris.post("/api/jobs", json=wanted).status_code == 404
    for place in ("/api/jobs", "/api/dlq"):
        assert boris.get(place, params={"after": annas.ids["job_id"]}).status_code == 404
    found = boris.get("/api/transcripts", params={"file_hash": annas.file_hash})
    assert found.json() == {"transcripts": [], "next": None}


def test_the_owner_and_an_administrator_are_let_in_to_what_is_theirs(
    keyed_site: Site, annas: Belongings
) -> None:
    keys = {
        "owner": (keyed_site.key("anna"), Scope.WRITE),
        "administrator": (keyed_site.key("root", Scope.ADMIN), Scope.ADMIN),
    }
    for who, (key, most) in keys.items():
        client = keyed_site.client(key)
        for method, path, needed in table(keyed_site):
            if method == "DELETE" and who == "owner":
                continue  # the administrator needs something to look at
            if who == "administrator" and "{upload_id}" in path:
                continue  # what is on its way is its sender's alone, like the letters of a post
            status, _ = asked(client, method, annas.place(path))
            if needed is Scope.ADMIN and most is not Scope.ADMIN:
                assert status == 403, (who, method, path)
            elif path not in {"/{name:path}", "/api/session"}:
                assert status not in {401, 403, 404}, (who, method, path)


def test_one_who_may_only_read_changes_nothing(keyed_site: Site, annas: Belongings) -> None:
    reader = keyed_site.client(keyed_site.key("anna", Scope.READ))
    for method, path, needed in table(keyed_site):
        status, _ = asked(reader, method, annas.place(path))
        assert (status == 403) == (needed in {Scope.WRITE, Scope.ADMIN}), (method, path, status)


def test_the_same_recording_of_two_tenants_shares_nothing(
    keyed_site: Site, annas: Belongings
) -> None:
    boris = keyed_site.client(keyed_site.key("boris"))
    sound = media(tone(0.5), container="wav", codec="pcm_s16le")
    job = boris.post("/api/jobs", files={"file": ("mine.wav", sound)}).json()
    assert (job["status"], job["attempts"], job["transcript_id"]) == ("queued", 0, None)
    path = path_of(keyed_site, job["id"])
    assert annas.file_hash == path.parent.name, "it is the same recording"
    assert path.parents[1].name == "boris", "and lies in a place of his own"
    for made in (a_recognition_request(), a_transcript_request()):
        hers, his = (
            request_digest(replace(made, scope=owner), schema_version=1)
            for owner in ("anna", "boris")
        )
        assert hers != his, "what is known of hers is not known of his"


def test_who_says_that_he_comes_from_elsewhere_is_not_believed(keyed_site: Site) -> None:
    codes = []
    for number in range(12):
        headers = {"x-forwarded-for": f"203.0.113.{number}", "forwarded": f"for=203.0.113.{number}"}
        client = keyed_site.client(f"stretto_guess{number}", **headers)
        codes.append(client.get("/api/jobs").status_code)
    assert codes == [401] * 10 + [429] * 2
