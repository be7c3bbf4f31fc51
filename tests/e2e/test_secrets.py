"""Twelve secrets are planted, and everything goes wrong that can: none of them is told in what the
program says at its most talkative, in what it keeps, or in the list of processes."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stretto.contexts.core.access import Scope
from tests.e2e.program import command, environment
from tests.e2e.recordings import speech
from tests.fakes.backend import Backend, backend
from tests.fakes.backend_script import Call, Reply, refused
from tests.mediagen import media
from tests.servers import copied
from tests.serving import site

NOWHERE = "127.0.0.1:9"
SECRETS = {
    "openai_api_key": "sk-planted-service-01",
    "cloudru_api_key": "sk-planted-service-02",
    "cdn_access_key": "planted-access-03",
    "cdn_secret_key": "planted-secret-04",
    "redis_url": f"redis://user:planted-redis-05@{NOWHERE}/0",
    "webhook_secret": "whsec_planted/webhook/06/planted/webhook06",
    "alert_webhook_secret": "planted-alert-07",
    "alert_webhook_url": f"http://{NOWHERE}/planted-hook-08",
    "alert_smtp_url": f"smtp://user:planted-mail-09@{NOWHERE}/?from=a@x.org&to=b@x.org",
    "broker_url": f"redis://:planted-broker-10@{NOWHERE}/1",
    "remote_proxy": "",
    "database_url": f"postgresql+psycopg://guarded:planted-database-11@{NOWHERE}/stretto",
}
PLANTED = "planted"
PROMPT = "planted-prompt-12"
OTHERS = ("database_url", "broker_url", "redis_url")
"""Left away where the command would not come to anything else."""


@dataclass
class House:
    """The program with all of its secrets, and everything that it ever said."""

    home: Path
    service: Backend
    folder: Path
    said: list[str] = field(default_factory=list)

    def environment(self, *without: str, **given: str) -> dict[str, str]:
        ours = {f"STRETTO_{n.upper()}": v for n, v in SECRETS.items() if n not in without}
        ours |= {
            "STRETTO_OPENAI_URL": self.service.url,
            "STRETTO_REMOTE_CA_FILE": str(self.service.authority_file(self.folder)),
            "STRETTO_REMOTE_ANSWER_S": "5",
            "STRETTO_ENGINE": "openai",
            "STRETTO_LOG_LEVEL": "DEBUG",
            "STRETTO_CDN_URL": "s3://bucket",
            "STRETTO_CDN_ENDPOINT": f"http://{NOWHERE}",
            "STRETTO_CDN_PUBLIC_URL": f"http://{NOWHERE}",
        }
        return {**environment(self.home), "STRETTO_MODEL": "", **ours, **given}

    def run(self, *arguments: str | Path, without: tuple[str, ...] = OTHERS, **given: str) -> str:
        done = subprocess.run(
            command(*arguments),
            capture_output=True,
            encoding="utf-8",
            env=self.environment(*without, **given),
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        self.said += [done.stdout, done.stderr]
        return done.stdout + done.stderr

    def assert_nothing_is_told(self) -> None:
        assert not [line for text in self.said for line in text.splitlines() if PLANTED in line]
        for path in self.home.rglob("*"):
            if path.is_file():
                assert PLANTED.encode() not in path.read_bytes(), path


def repeats_the_key(call: Call) -> Reply:
    """As some services do with keys that they refuse."""
    return refused(401, f"Received API key = {call.headers.get('authorization')}")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with backend(tmp_path) as service:
        yield House(tmp_path / "home", service, tmp_path)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(media(speech()[: 6 * 16_000], container="wav", codec="pcm_s16le"))
    return path


def test_no_secret_is_told_when_all_goes_well_and_when_services_fail(
    house: House, recording: Path
) -> None:
    well = house.run("transcribe", recording, "--debug", without=("database_url", "broker_url"))
    assert "The recording has" in well
    house.service.script = repeats_the_key
    ill = house.run("transcribe", recording, "--debug", "--no-cache")
    assert "Bearer ***" in ill
    assert "cannot" in house.run("jobs", "list", without=("broker_url",))
    house.run("doctor", without=())
    house.run("cdn", "status")
    house.run("transcribe", recording, STRETTO_DATABASE_URL="mysql://u:planted@h/x")
    house.assert_nothing_is_told()


def test_no_secret_is_told_by_a_worker_whose_services_fail(house: House, recording: Path) -> None:
    house.service.script = repeats_the_key
    house.run("submit", recording)
    arguments, log = command("worker"), house.folder / "log"
    with (
        log.open("w") as stream,
        subprocess.Popen(
            arguments, env=house.environment(*OTHERS), stderr=stream, stdout=stream
        ) as worker,
    ):
        try:
            end = time.monotonic() + 90
            while "failed" not in house.run("jobs", "list"):
                assert time.monotonic() < end
                assert worker.poll() is None
                time.sleep(0.2)
            listed = Path(f"/proc/{worker.pid}/cmdline").read_text()
            children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
            listed += "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in children)
            assert PLANTED not in listed
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
    house.said.append(log.read_text())
    job = house.run("jobs", "list").split()[-1]
    listed = json.loads(house.run("dlq", "list", "--json", STRETTO_LOG_LEVEL="ERROR"))
    assert "***" in house.run("dlq", "show", listed["jobs"][0]["id"]), job
    house.run("monitoring", "alerts")
    house.assert_nothing_is_told()


def test_a_server_writes_no_key_cookie_or_prompt_into_its_log(
    sqlite_template: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with site(copied(sqlite_template, tmp_path / "home"), key_needed=True) as found:
        secret = found.key("anna", Scope.READ, Scope.WRITE)
        bearer, browser = found.client(secret), found.client()
        browser.post("/api/session", json={"key": secret}).raise_for_status()
        given = {"prompt": PROMPT, "model": "whisper-1"}
        for client in (bearer, browser):
            for place in ("/api/jobs", "/v1/audio/transcriptions"):
                client.post(place, data=given, files={"file": ("a.wav", b"RIFF")})
            client.post("/api/jobs", json={"prompt": PROMPT * 1000, "upload": "x"})
            client.get("/api/search", params={"q": PROMPT})
            client.get(f"/api/transcripts/{PROMPT}")
        found.client(secret + "x").get("/api/jobs")
        metrics = found.client(found.key("root", Scope.ADMIN)).get("/metrics").text
    clients = ("httpx2", "httpcore2")  # the test's own, which asked for what it wants to keep
    said = "".join(r.getMessage() for r in caplog.records if r.name.split(".")[0] not in clients)
    assert "POST" not in said, "requests are in no log at all"
    assert secret not in said + metrics
    assert PROMPT not in said + metrics
