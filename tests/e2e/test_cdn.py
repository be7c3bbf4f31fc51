"""From a recording to playing audio and back to nothing, by the commands, with real servers."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import av
import pytest

from stretto.bootstrap import build, build_archive, build_database
from stretto.bootstrap.cdn import build_uploader
from stretto.contexts.core.events import AssetPublished
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.external.cdn_delivery import LEASE_S, CDNDelivery
from stretto.contexts.external.cdn_model import AssetKind, AssetState
from stretto.settings import Settings
from tests.e2e.conftest import Known
from tests.e2e.program import Finished, command, environment, stretto
from tests.fakes.clock import FakeClock
from tests.stores import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, rclone_server
from tests.wire import wire_to


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone_server(tmp_path_factory.mktemp("rclone")) as server:
        yield server


def settings_of(server: S3Server, **others: str) -> dict[str, str]:
    return {
        "STRETTO_CDN_URL": f"s3://{BUCKET}/talks",
        "STRETTO_CDN_ENDPOINT": server.endpoint,
        "STRETTO_CDN_ACCESS_KEY": ACCESS_KEY,
        "STRETTO_CDN_SECRET_KEY": SECRET_KEY,
        "STRETTO_LOG_LEVEL": "DEBUG",
        **others,
    }


@dataclass
class Shell:
    """A data folder in which the recording was transcribed, and the settings of a store."""

    home: Path
    recording: Path
    settings: dict[str, str]

    def run(self, *arguments: str | Path) -> Finished:
        began = time.monotonic()
        done = subprocess.run(
            command(*arguments),
            capture_output=True,
            encoding="utf-8",
            env={**environment(self.home), **self.settings},
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert SECRET_KEY not in done.stdout + done.stderr
        took = time.monotonic() - began
        return Finished(code=done.returncode, out=done.stdout, err=done.stderr, seconds=took)

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        finished = self.run(*arguments, "--json")
        assert finished.out, finished.err
        return finished.document

    @property
    def id(self) -> str:
        (row,) = self.json("transcripts", "list")["transcripts"]
        return str(row["id"])


@pytest.fixture
def shell(known: Known, tmp_path: Path, server: S3Server) -> Shell:
    home = tmp_path / "home"
    shell = Shell(home, known.recording, settings_of(server))
    home.mkdir()
    for source in known.home.glob("stretto.sqlite3"):
        with closing(build_database(Settings(home=known.home))) as kept, kept.read() as connection:
            connection.execute("VACUUM INTO :path", {"path": str(home / source.name)})
        keep_the_oldest(home / source.name)
    return shell


def keep_the_oldest(database: Path) -> None:
    """Other tests may have added versions to what was known."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(
            "DELETE FROM transcript WHERE number > (SELECT min(number) FROM transcript)"
        )


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def seconds_of(audio: bytes, path: Path) -> float:
    path.write_bytes(audio)
    with av.open(str(path)) as container:
        return float((container.duration or 0) / av.time_base)


def test_a_recording_is_published_played_and_deleted_with_its_transcript(
    shell: Shell, server: S3Server, tmp_path: Path
) -> None:
    report = shell.json("cdn", "publish", shell.recording, "--original")
    urls = {asset["kind"]: asset["url"] for asset in report["assets"]}
    assert set(urls) == set(AssetKind)
    assert seconds_of(fetched(urls["audio"]), tmp_path / "a") == pytest.approx(44.4, abs=0.2)
    assert fetched(urls["original"]) == shell.recording.read_bytes()
    assert fetched(urls["vtt"]).startswith(b"WEBVTT")
    assert json.loads(fetched(urls["json"]))["id"] == report["id"]
    assert b"best of times" in fetched(urls["txt"])
    assert shell.run("transcripts", "delete", "--yes", report["id"]).code == 0
    for url in urls.values():
        with pytest.raises(HTTPError, match="404"):
            fetched(url)
    assert shell.json("cdn", "list")["assets"] == []
    assert not [path for path in (shell.home / "cdn").rglob("*") if path.is_file()]
    assert not [path for path in Path(server.command[-1]).rglob("*") if path.is_file()]


def test_while_the_store_is_down_the_origin_serves_and_then_all_is_sent(
    shell: Shell, server: S3Server
) -> None:
    server.stop()
    done = shell.run("transcribe", "--publish", shell.recording)
    assert done.code == 0, done.err
    assert "cannot be reached" in done.err
    link = shell.json("cdn", "link", shell.id)
    assert (link["place"], link["url"].startswith("file://")) == ("origin", True)
    assert shell.run("cdn", "sync").code == 1
    status = shell.run("cdn", "status")
    assert (status.code, "cannot be reached" in status.out) == (1, True)
    server.start()
    assert shell.json("cdn", "sync")["waiting"] == 0
    link = shell.json("cdn", "link", shell.id, "--seconds", "60")
    assert link["place"] == "edge"
    assert fetched(link["url"])[:4] == b"OggS"
    assert shell.run("cdn", "status").code == 0


def test_a_transcript_deleted_while_the_store_is_down_leaves_it_later(
    shell: Shell, server: S3Server
) -> None:
    url = shell.json("cdn", "publish", shell.recording)["assets"][0]["url"]
    transcript_id = shell.id
    server.stop()
    assert shell.run("transcripts", "delete", "--yes", transcript_id).code == 0
    assert shell.run("cdn", "link", transcript_id).code == 2
    server.start()
    assert fetched(url)  # it is still there
    assert shell.json("cdn", "sync")["waiting"] == 0
    with pytest.raises(HTTPError, match="404"):
        fetched(url)


def test_a_crash_between_the_deletion_and_the_purge_loses_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [asset["url"] for asset in shell.json("cdn", "publish", shell.recording)["assets"]]
    transcript_id = TranscriptId.parse(shell.id)
    for name, value in shell.settings.items():
        monkeypatch.setenv(name, value)
    settings = Settings(home=shell.home)
    archive = build_archive(settings)
    assert archive.library.delete(transcript_id)  # and here the power goes off: nobody delivers
    assert all(fetched(url) for url in urls)
    assert shell.run("transcripts", "list").code == 0  # whatever comes next
    for url in urls:
        with pytest.raises(HTTPError, match="404"):
            fetched(url)


def test_what_waits_is_sent_in_the_background_of_a_program_that_runs(
    shell: Shell, server: S3Server
) -> None:
    server.stop()
    shell.run("cdn", "publish", shell.id)
    with closing(build_database(Settings(home=shell.home))) as database:
        database.transact(lambda c: c.execute("UPDATE cdn_asset SET due_at = 0"))
    server.start()
    settings = Settings(
        home=shell.home,
        cdn_url=f"s3://{BUCKET}/talks",
        cdn_endpoint=server.endpoint,
        cdn_access_key=ACCESS_KEY,
        cdn_secret_key=SECRET_KEY,
    )
    seen: list[str] = []
    with build(settings) as application:
        application.events.subscribe(AssetPublished, lambda event: seen.append(event.kind))
        deadline = time.monotonic() + 30
        while shell.json("cdn", "status")["stored"]["assets"] < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert shell.json("cdn", "status")["stored"]["assets"] == 3


def test_whoever_is_killed_in_the_middle_of_an_upload_leaves_nothing_half_and_nothing_lost(
    shell: Shell, server: S3Server, tmp_path: Path
) -> None:
    recording = tmp_path / "long.wav"
    transcript_id = shell.id
    with wire_to(server.port) as wire:
        wire.bytes_per_s = 2_000_000
        shell.settings["STRETTO_CDN_ENDPOINT"] = wire.endpoint
        publisher = subprocess.Popen(
            [*_publishing(shell, transcript_id, recording)],
            env={**environment(shell.home), **shell.settings},
        )
        deadline = time.monotonic() + 60
        while wire.sent < 4_000_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        publisher.kill()
        publisher.wait()
        assert wire.sent >= 4_000_000
    database = build_database(Settings(home=shell.home))
    later = FakeClock(time.time() + LEASE_S + 1)
    uploader = build_uploader(_settings(shell, server), database)
    (asset,) = uploader.records.of(TranscriptId.parse(transcript_id))
    assert asset.state is AssetState.PENDING
    edge = uploader.edge
    assert edge is not None
    assert edge.size(asset.key) is None
    assert uploader.deliver(early=True).stored == 0  # the lease of the dead one still holds
    delivery = CDNDelivery(
        origin=uploader.origin,
        edge=edge,
        records=uploader.records,
        work=uploader.work,
        exists=uploader.exists,
        clock=later,
        chance=lambda: 0.5,
        publish_event=lambda _: None,
    )
    assert delivery.run().stored == 1
    assert edge.size(asset.key) == asset.size_bytes
    database.close()


def _settings(shell: Shell, server: S3Server) -> Settings:
    return Settings(
        home=shell.home,
        cdn_url=shell.settings["STRETTO_CDN_URL"],
        cdn_endpoint=server.endpoint,
        cdn_access_key=ACCESS_KEY,
        cdn_secret_key=SECRET_KEY,
    )


def _publishing(shell: Shell, transcript_id: str, recording: Path) -> list[str]:
    """A process that publishes 24 MB."""
    script = f"""
import sys
from stretto.bootstrap import build_database, load_settings
from stretto.bootstrap.cdn import build_uploader
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.external.cdn_model import AssetKind, Content, Draft
settings = load_settings()
data = bytes(range(256)) * (24 << 12)
draft = Draft(kind=AssetKind.ORIGINAL, content=Content.of_bytes(data), suffix=".wav",
              content_type="audio/wav", name="long.wav")
uploader = build_uploader(settings, build_database(settings))
uploader.publish(TranscriptId.parse({transcript_id!r}), [draft])
"""
    return [command()[0], "-c", script]


WRONG = {
    "no such transcript": (("publish", "00000000-0000-4000-8000-000000000001"), "no transcript"),
    "no such file": (("publish", "nowhere.wav"), "no file nowhere.wav"),
    "no such kind": (("link", "00000000-0000-4000-8000-000000000001", "-k", "mp4"), "vtt"),
    "nothing published": (("link", "00000000-0000-4000-8000-000000000001"), "was not published"),
    "no id": (("purge", "talk", "--yes"), "is not an id"),
    "nobody agreed": (("purge", "00000000-0000-4000-8000-000000000001"), "--yes"),
    "too long": (
        ("link", "00000000-0000-4000-8000-000000000001", "--seconds", "9999999"),
        "604800",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_sentence(case: str, tmp_path: Path) -> None:
    arguments, sentence = WRONG[case]
    finished = stretto("cdn", *arguments, home=tmp_path / "home")
    assert (finished.code != 0, finished.out, len(finished.messages)) == (True, "", 1)
    assert sentence in finished.err


def test_another_recording_is_not_published_for_a_transcript(shell: Shell, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(shell.recording.read_bytes()[:-2])
    refused = shell.run("cdn", "publish", shell.id, "--recording", other)
    assert (refused.code, "is not the recording of the transcript" in refused.err) == (2, True)
    unknown = shell.run("cdn", "publish", other)
    assert (unknown.code, "has no transcript yet" in unknown.err) == (2, True)
    assert shell.json("cdn", "list")["assets"] == []


def cdn_line(done: Finished) -> list[str]:
    (line,) = [line for line in done.out.splitlines() if line.split("\t")[1:2] == ["CDN"]]
    return line.split("\t")


def test_the_doctor_says_whether_the_store_works_with_a_certificate_of_ones_own(
    tmp_path: Path,
) -> None:
    recording = tmp_path / "none.wav"
    with rclone_server(tmp_path / "store", encrypted=True) as server:
        settings = settings_of(server)
        unknown = cdn_line(Shell(tmp_path / "home", recording, settings).run("doctor"))
        assert unknown[0] == "broken"
        settings["SSL_CERT_FILE"] = str(server.authority)
        known = cdn_line(Shell(tmp_path / "home", recording, settings).run("doctor"))
        assert known[0] == "ok", known
        assert "read back and deleted" in known[2]


def test_help_loads_neither_a_client_nor_a_codec(tmp_path: Path) -> None:
    shown = stretto("cdn", "--help", home=tmp_path, imports=True)
    assert shown.imported.isdisjoint({"obstore", "av", "numpy", "sqlalchemy"})
