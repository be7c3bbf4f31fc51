"""Recordings that lie at an address: fetched to the disk while they are hashed, from where it was
looked that one may go, and never more than is taken."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap.clock import now
from stretto.bootstrap.fetching import RecordingFetcher
from stretto.contexts.core.errors import AddressRefused, MediaEmpty, MediaNotFetched, MediaTooLarge
from stretto.contexts.processing.adapters.recording_files import RecordingFiles
from stretto.interfaces.cli.exit_codes import ExitCode
from stretto.interfaces.cli.submitting import Request, submit
from stretto.settings import Settings
from tests.fakes.shelf import (
    SOUND,
    Behaviour,
    Shelf,
    at_home,
    breaking_off,
    dripping,
    endless,
    in_chunks,
    sending_on,
    shelf_open,
    whole,
)

ENDS_S = 30.0
Fetcher = Callable[..., RecordingFetcher]


@pytest.fixture
def files(tmp_path: Path) -> RecordingFiles:
    return RecordingFiles(tmp_path / "recordings", clock=now)


@pytest.fixture
def fetcher(files: RecordingFiles, tmp_path: Path) -> Fetcher:
    def made(allowed: str = "127.0.0.0/8", *, most_mb: int = 1, **how: Any) -> RecordingFetcher:
        settings = Settings(home=tmp_path, outgoing_allow=allowed, serve_upload_mb=most_mb)
        return RecordingFetcher(settings, files, **{"resolve": at_home, **how})

    return made


def incoming(files: RecordingFiles, tmp_path: Path) -> list[Path]:
    return list((tmp_path / "recordings").rglob("*.part"))


@pytest.mark.parametrize("way", [whole, in_chunks])
def test_a_recording_is_fetched_and_hashed(
    shelf: Shelf, fetcher: Fetcher, files: RecordingFiles, way: Behaviour
) -> None:
    shelf.behaviours["/talks/The%20talk.mp3"] = way
    found = fetcher().fetch(shelf.url("/talks/The%20talk.mp3?key=1"), owner="anna")
    assert found.path.name == "The talk.mp3"
    assert found.path.read_bytes() == SOUND
    assert found.file_hash.value == hashlib.sha256(SOUND).hexdigest()
    assert files.find("anna", found.file_hash) is not None
    assert files.find("boris", found.file_hash) is None


def test_it_is_called_what_the_other_side_calls_it(shelf: Shelf, fetcher: Fetcher) -> None:
    named = 'attachment; filename="../../etc/Talk.ogg"'
    shelf.behaviours["/get"] = lambda handler: whole(handler, Content_Disposition=named)
    assert fetcher().fetch(shelf.url("/get"), owner="").path.name == "Talk.ogg"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Disposition": "attachment; filename*=a; filename*0=b"},
        {"Content_Disposition": "attachment; filename*=undefined''x"},
        {"Content_Disposition": "\r\n ".join(['attachment; filename="', *[";" * 2_000] * 40])},
        {"Content_Disposition": f"attachment; x={'x' * 1024}; filename=Other.mp3"},
        {"Content_Type": f"audio/mpeg; x={'x' * 1024}; name=Other.mp3"},
    ],
    ids=["mixed", "undefined", "endless", "long", "long type"],
)
def test_headers_that_name_nothing_leave_the_name_of_the_address(
    shelf: Shelf, fetcher: Fetcher, headers: dict[str, str]
) -> None:
    """Of six megabytes, the library would find out the name in hours, and nobody could end it."""
    shelf.behaviours["/Talk.mp3"] = lambda handler: whole(handler, **headers)
    assert fetcher().fetch(shelf.url("/Talk.mp3"), owner="").path.name == "Talk.mp3"


def test_three_redirects_are_followed_and_no_more(shelf: Shelf, fetcher: Fetcher) -> None:
    shelf.behaviours["/1"] = sending_on("/2", 301)
    shelf.behaviours["/2"] = sending_on(shelf.url("/3", host="other.example"), 307)
    shelf.behaviours["/3"] = sending_on("4", 308)
    shelf.behaviours["/4"] = whole
    assert fetcher().fetch(shelf.url("/1"), owner="").path.name == "4"
    assert [host for host, _ in shelf.asked] == ["shelf.example"] * 2 + ["other.example"] * 2
    shelf.behaviours["/0"] = sending_on("/1")
    with pytest.raises(MediaNotFetched, match="more than 3"):
        fetcher().fetch(shelf.url("/0"), owner="")


@pytest.mark.parametrize(
    "place",
    [
        *("http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://[::1]/"),
        *("http://2130706433:{port}/", "http://0x7f.1:{port}/", "http://0177.0.0.1:{port}/"),
        *("http://[::ffff:127.0.0.1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/"),
        *("http://[2002:7f00:1::]:{port}/", "file:///etc/passwd", "gopher://127.0.0.1:6379/"),
        *("http://user:word@shelf.example:{own}/", "//127.0.0.1:{port}/", "http://:{port}/"),
        *("http://[", "//[x", "http://[::1", "http://shelf.example:{own}x/"),
    ],
)
def test_a_redirect_leads_nowhere_where_one_may_not_go(
    shelf: Shelf, fetcher: Fetcher, files: RecordingFiles, tmp_path: Path, place: str
) -> None:
    """Only the address of the one that sends on is allowed, not the canary's."""
    shelf.behaviours["/"] = whole

    def resolve(host: str, port: int) -> list[str]:
        from stretto.contexts.external.adapters.guarded_connection import resolved

        return ["127.0.0.2"] if host == "shelf.example" else list(resolved(host, port))

    with shelf_open("127.0.0.2") as moving:
        moving.behaviours["/"] = whole
        moved = place.format(port=shelf.server_port, own=moving.server_port)
        moving.behaviours["/moved"] = sending_on(moved)
        fetching = fetcher("127.0.0.2/32", resolve=resolve)
        with pytest.raises((AddressRefused, MediaNotFetched)):
            fetching.fetch(moving.url("/moved"), owner="")
    assert moving.asked == [("shelf.example", "/moved")]
    assert shelf.asked == [], "the canary was asked"
    assert incoming(files, tmp_path) == []


def test_a_name_that_changes_its_mind_changes_nothing(shelf: Shelf, fetcher: Fetcher) -> None:
    shelf.behaviours["/talk.mp3"] = whole
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    fetcher(resolve=lambda *_: next(answers)).fetch(shelf.url("/talk.mp3"), owner="")
    assert next(answers) == ["169.254.169.254"], "a name is asked once"


@pytest.mark.parametrize("behaviour", [endless, in_chunks, whole])
def test_more_than_is_taken_is_refused_as_soon_as_it_is_known(
    shelf: Shelf,
    fetcher: Fetcher,
    files: RecordingFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: Behaviour,
) -> None:
    from stretto.bootstrap import fetching

    monkeypatch.setattr(fetching, "MEGABYTE", 200_000)
    shelf.behaviours["/talk.mp3"] = behaviour
    with pytest.raises(MediaTooLarge):
        fetcher().fetch(shelf.url("/talk.mp3"), owner="")
    assert incoming(files, tmp_path) == []


def test_whoever_sends_a_byte_at_a_time_is_left(shelf: Shelf, fetcher: Fetcher) -> None:
    shelf.behaviours["/talk.mp3"] = dripping
    with pytest.raises(MediaNotFetched, match="too long"):
        fetcher(within_s=0.5).fetch(shelf.url("/talk.mp3"), owner="")


def test_a_fetch_is_ended_by_whoever_wants_it_no_more(shelf: Shelf, fetcher: Fetcher) -> None:
    shelf.behaviours["/talk.mp3"] = dripping
    found = fetcher()
    watchdog, raised = found.watchdog(), threading.Event()

    def fetch() -> None:
        with pytest.raises(MediaNotFetched):
            found.fetch(shelf.url("/talk.mp3"), owner="", watchdog=watchdog)
        raised.set()

    fetching = threading.Thread(target=fetch, daemon=True)
    fetching.start()
    watchdog.bite()
    assert raised.wait(ENDS_S)
    fetching.join()


def test_what_does_not_come_as_a_whole_is_no_recording(
    shelf: Shelf, fetcher: Fetcher, files: RecordingFiles, tmp_path: Path
) -> None:
    shelf.behaviours["/broken"] = breaking_off
    shelf.behaviours["/gone"] = lambda handler: handler.begin(404)
    shelf.behaviours["/bomb"] = lambda handler: whole(handler, Content_Encoding="gzip")
    shelf.behaviours["/lost"] = lambda handler: handler.begin(302)
    for path, said in (
        ("/broken", "1000 of 300000"),
        ("/gone", "404"),
        ("/bomb", "compressed"),
        ("/lost", "where to go"),
    ):
        with pytest.raises(MediaNotFetched, match=said):
            fetcher().fetch(shelf.url(f"{path}?token=hunter2"), owner="")
    shelf.behaviours["/empty"] = lambda handler: handler.begin(Content_Length="0")
    with pytest.raises(MediaEmpty):
        fetcher().fetch(shelf.url("/empty"), owner="")
    assert incoming(files, tmp_path) == []


def test_nobody_there_is_said_without_what_the_url_hides(fetcher: Fetcher) -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise OSError("nobody there")

    with pytest.raises(MediaNotFetched) as failed:
        fetcher(resolve=nobody).fetch("https://shelf.example/talk?token=hunter2", owner="")
    assert "shelf.example" in failed.value.message
    assert "hunter2" not in failed.value.message


def test_this_machine_is_not_asked_unless_it_is_allowed(shelf: Shelf, fetcher: Fetcher) -> None:
    for allowed in ("", "10.0.0.0/8"):
        with pytest.raises(AddressRefused):
            fetcher(allowed).fetch(shelf.url("/talk.mp3"), owner="")
    assert shelf.asked == []


def test_the_command_line_submits_what_lies_at_an_address(
    shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf.behaviours["/talk.mp3"] = whole
    shelf.behaviours["/talk.mp3x"] = lambda handler: handler.begin(404)
    url, home = shelf.url("/talk.mp3", host="127.0.0.1"), tmp_path / "home"

    def submitted(*files: str, **allowed: str) -> int:
        request = Request(
            files=files,
            priority="high",
            language="en",
            prompt="",
            key="",
            callback="",
            wait=False,
            quiet=True,
            as_json=True,
            settings={"home": home, **allowed},
        )
        return submit(request)

    assert submitted("http://127.0.0.1:8080/talk.mp3") == ExitCode.WRONG_USAGE
    assert "STRETTO_OUTGOING_ALLOW" in capsys.readouterr().err
    codes = submitted(f"{url}x", url, outgoing_allow="127.0.0.0/8")
    said = capsys.readouterr()
    assert codes == ExitCode.FAILED
    assert "was not fetched from 127.0.0.1" in said.err
    (job,) = map(json.loads, said.out.splitlines())
    assert Path(job["path"]).read_bytes() == SOUND
