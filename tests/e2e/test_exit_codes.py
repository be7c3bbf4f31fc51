"""What a shell sees: the exit code, one sentence for what is wrong, and no debris."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import Known
from tests.e2e.program import Finished, command, environment, stretto, without_privileges
from tests.mediagen import media, silence, tone

COMPLETE, FAILED, WRONG_USAGE = 0, 1, 2
GOOD = "good.wav"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A request that cannot be met: ``sentence`` is a part of what must be said of it."""

    arguments: tuple[str, ...]
    code: int
    sentence: str
    file: tuple[str, bytes | Callable[[], bytes]] | None = None


def bad_file(name: str, content: bytes | Callable[[], bytes], sentence: str) -> Bad:
    return Bad(arguments=(name,), code=FAILED, sentence=sentence, file=(name, content))


def bad_request(*options: str, sentence: str, code: int = WRONG_USAGE) -> Bad:
    return Bad(arguments=(GOOD, *options), code=code, sentence=sentence)


BAD_FILES = {
    "missing": Bad(arguments=("missing.wav",), code=FAILED, sentence="no file missing.wav"),
    "a folder": Bad(arguments=("folder",), code=FAILED, sentence="folder"),
    "empty": bad_file("empty.wav", b"", "empty"),
    "text": bad_file("words.mp3", b"words and no sound\n" * 99, "text"),
    "too short": bad_file("short.wav", lambda: media(tone(0.05)), "less than 0.1 seconds"),
    "no audio": bad_file(
        "mute.mp4", lambda: media(container="mp4", picture_s=1), "mute.mp4 has no audio"
    ),
    "a playlist": bad_file("list.m3u8", b"#EXTM3U\n#EXTINF:5,\nx.ts\n", "playlist"),
    "a playlist called mp3": bad_file("list.mp3", b"#EXTM3U\n#EXTINF:5,\n/x.ts\n", "playlist"),
    "an address": bad_file("address.wav", b"http://127.0.0.1/talk.wav\n", "address.wav"),
    "nothing but a header": bad_file("cut.wav", lambda: media(tone(1))[:44], "cut.wav"),
}
BAD_REQUESTS = {
    "no such language": bad_request("--language", "xx", sentence="'xx'"),
    "no such model": bad_request("--model", "nonsense", sentence="tiny.en"),
    "a folder without a model": bad_request("--model", "./folder", sentence="no Whisper model"),
    "no such engine": bad_request("--engine", "nonsense", sentence="cloudru, openai, whisper"),
    "no such format": bad_request("--format", "doc", sentence="verbose_json"),
    "no such stream": bad_request("--stream", "7", sentence="no audio stream 7"),
    "no chunk at once": bad_request("--concurrency", "0", sentence="1 to 64"),
    "too many chunks at once": bad_request("--concurrency", "65", sentence="1 to 64"),
    "subtitles without width": bad_request("--max-line-width", "0", sentence="1 to 1000"),
    "onto the recording itself": bad_request("--output", GOOD, sentence="the recording itself"),
    "two formats into one file": bad_request(
        "--format", "srt,vtt", "--output", "file", sentence="Give a folder"
    ),
    "under a file": bad_request(
        "--output", "file/result.txt", sentence="cannot be written", code=FAILED
    ),
    "a full device": bad_request("--output", "/dev/full", sentence="full", code=FAILED),
}
USAGE = {
    "no file": (),
    "no such option": (GOOD, "--nonsense"),
    "no number": (GOOD, "--stream", "a"),
}


@pytest.fixture
def folder(tmp_path: Path, known: Known) -> Path:
    """A folder with a good recording (which is known), a file and a folder."""
    work = tmp_path / "work"
    (work / "folder").mkdir(parents=True)
    (work / "file").write_text("mine\n")
    shutil.copyfile(known.recording, work / GOOD)
    return work


def is_one_sentence(finished: Finished, *, about: str) -> None:
    assert "Traceback" not in finished.err
    sentences = [line for line in finished.messages if not line.endswith(": started")]
    assert len(sentences) == 1, finished.err
    assert about in sentences[0]


@pytest.mark.parametrize("name", [*BAD_FILES, *BAD_REQUESTS])
def test_what_cannot_be_done_gets_one_sentence_and_leaves_nothing(
    known: Known, folder: Path, name: str
) -> None:
    bad = {**BAD_FILES, **BAD_REQUESTS}[name]
    if bad.file is not None:
        called, content = bad.file
        (folder / called).write_bytes(content if isinstance(content, bytes) else content())
    before = contents(folder)

    done = stretto("transcribe", *bad.arguments, home=known.home, folder=folder)

    assert (done.code, done.out) == (bad.code, "")
    assert contents(folder) == before
    is_one_sentence(done, about=bad.sentence)


def test_a_file_that_cannot_be_opened_is_not_said_to_have_started(
    known: Known, folder: Path
) -> None:
    done = stretto("transcribe", "missing.wav", home=known.home, folder=folder)
    assert len(done.messages) == 1, done.err
    assert done.err.count("missing.wav") == 1


def test_a_wrong_language_is_wrong_usage_told_once_however_many_files_there_are(
    known: Known, folder: Path
) -> None:
    files = (GOOD, "missing.wav", "other.wav")
    done = stretto("transcribe", *files, "--language", "xx", home=known.home, folder=folder)
    assert done.code == WRONG_USAGE
    assert len(done.messages) == 1, done.err


@pytest.mark.parametrize("name", ["missing", "no such language"])
def test_quiet_does_not_silence_what_went_wrong(known: Known, folder: Path, name: str) -> None:
    bad = {**BAD_FILES, **BAD_REQUESTS}[name]
    done = stretto("transcribe", "--quiet", *bad.arguments, home=known.home, folder=folder)
    assert (done.code, done.out) == (bad.code, "")
    is_one_sentence(done, about=bad.sentence)


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_is_2_and_points_to_the_help(known: Known, folder: Path, name: str) -> None:
    done = stretto("transcribe", *USAGE[name], home=known.home, folder=folder)
    assert (done.code, done.out) == (WRONG_USAGE, "")
    assert "--help" in done.err
    assert "Traceback" not in done.err


def test_debug_shows_where_it_happened_and_keeps_the_exit_code(known: Known, folder: Path) -> None:
    model = stretto("transcribe", GOOD, "--model", "x", "--debug", home=known.home, folder=folder)
    assert "Traceback" in model.err
    assert model.code == WRONG_USAGE


def test_a_silent_recording_is_complete_and_says_so(known: Known, folder: Path) -> None:
    (folder / "silent.wav").write_bytes(media(silence(3)))
    done = stretto("transcribe", "silent.wav", home=known.home, folder=folder)
    assert (done.code, done.out) == (COMPLETE, "")
    assert "no speech" in done.err


def test_quiet_says_nothing_when_all_is_well(known: Known) -> None:
    done = stretto("transcribe", known.recording, "--quiet", home=known.home)
    assert done.code == COMPLETE
    assert done.out
    assert done.err == ""


def test_what_may_not_be_read_or_written_is_named(known: Known, folder: Path) -> None:
    before = without_privileges()
    (folder / GOOD).chmod(0)
    unreadable = stretto("transcribe", GOOD, home=known.home, folder=folder, before=before)
    (folder / GOOD).chmod(0o600)
    (folder / "folder").chmod(0o500)
    unwritable = stretto(
        "transcribe", GOOD, "-o", "folder/", home=known.home, folder=folder, before=before
    )
    (folder / "folder").chmod(0o700)
    assert (unreadable.code, unwritable.code) == (FAILED, FAILED)
    assert contents(folder / "folder") == {}
    is_one_sentence(unwritable, about="may not write")
    is_one_sentence(unreadable, about=GOOD)


@pytest.mark.parametrize("name", ["transcribe", "transcribe --plan", "doctor"])
def test_a_full_standard_output_is_one_sentence(known: Known, name: str) -> None:
    first, *options = name.split()
    files = [known.recording] if first == "transcribe" else []
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = into(full.fileno(), command(first, *options, *files), known.home)
    assert done.returncode == FAILED
    assert "Traceback" not in done.stderr
    assert "full" in done.stderr or "No space" in done.stderr


def test_a_reader_that_goes_away_is_no_reason_for_a_traceback(known: Known) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = into(writing, command("transcribe", "-f", "json", known.recording), known.home)
    finally:
        os.close(writing)
    assert done.returncode != COMPLETE
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_standard_output_is_no_reason_for_a_traceback(known: Known) -> None:
    arguments = command("transcribe", known.recording)
    done = into(subprocess.DEVNULL, ["sh", "-c", 'exec "$@" >&-', "sh", *arguments], known.home)
    assert "Traceback" not in done.stderr


def into(target: int, arguments: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        stdout=target,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(home),
        timeout=60,
        check=False,
    )


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below, with what is in it; None for a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
