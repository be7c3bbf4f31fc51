"""One real recording through the whole program: text, times, formats, and never twice."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Known
from tests.e2e.program import ENGINE_MODULES, shown_on_a_terminal, stretto
from tests.e2e.recordings import SECONDS, SPOKEN, word_error_rate
from tests.mediagen import Samples, damaged, media, silence

WORDS = ("times", "wisdom", "incredulity", "darkness", "despair", "heaven", "superlative")
FORMATS = ("txt", "timed", "srt", "vtt", "json", "verbose_json", "tsv")


@pytest.fixture(scope="module")
def plain(spoken: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording at 16 kHz, so that lossless copies of it hold the same samples."""
    path = tmp_path_factory.mktemp("plain") / "plain.wav"
    path.write_bytes(media(spoken))
    return path


@pytest.fixture(scope="module")
def plain_document(plain: Path, known: Known) -> dict[str, Any]:
    return stretto("transcribe", plain, "-f", "json", home=known.home).document


def test_the_words_that_were_spoken_are_in_the_text(known: Known) -> None:
    text = known.first.document["text"].lower()
    assert [word for word in WORDS if word not in text] == []


def test_no_more_than_one_word_in_twenty_is_wrong(known: Known) -> None:
    assert word_error_rate(known.first.document["text"]) <= 0.05


def test_the_document_says_what_was_done_and_that_nothing_is_missing(known: Known) -> None:
    document = known.first.document
    assert document["schema"] == 1
    assert document["file"] == known.recording.name
    assert document["language"] == "en"
    assert document["duration"] == pytest.approx(SECONDS, abs=0.01)
    assert document["status"] == "complete"
    assert document["coverage"]["gaps"] == []
    assert 0 < document["coverage"]["transcribed_s"] <= document["coverage"]["speech_s"] <= SECONDS
    assert (document["engine"], document["model"]) == ("whisper", "tiny.en")
    assert document["cache"] == {"hits": 0, "misses": 1, "recalled_s": 0.0}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["id"])


def test_times_never_go_back_and_stay_inside_the_recording(known: Known) -> None:
    segments = known.first.document["segments"]
    words = [word for segment in segments for word in segment["words"]]
    for pieces in (segments, words):
        assert all(0 <= piece["start"] < piece["end"] <= SECONDS + 0.01 for piece in pieces)
        assert all(a["end"] <= b["start"] + 0.001 for a, b in pairwise(pieces))
    assert segments[0]["start"] < 3
    assert segments[-1]["end"] > SECONDS - 5


def test_every_word_has_its_time_within_its_segment(known: Known) -> None:
    for segment in known.first.document["segments"]:
        assert [word["word"] for word in segment["words"]] == segment["text"].split()
        for word in segment["words"]:
            assert segment["start"] - 0.001 <= word["start"]
            assert word["end"] <= segment["end"] + 0.001
            assert 0 <= word["probability"] <= 1


def test_the_second_run_says_the_same_without_loading_a_model(known: Known) -> None:
    again = stretto("transcribe", known.recording, "-f", "json", home=known.home, imports=True)
    assert again.code == 0
    assert known.first.imported >= ENGINE_MODULES
    assert again.imported.isdisjoint({*ENGINE_MODULES, "numpy", "av"})
    first, second = known.first.document, again.document
    assert (second["id"], second["text"]) == (first["id"], first["text"])
    assert second["cache"] == {"hits": 1, "misses": 0, "recalled_s": second["duration"]}


def test_words_are_shown_only_when_they_are_asked_for(known: Known) -> None:
    plain = stretto("transcribe", known.recording, "-f", "json", home=known.home).document
    assert all("words" not in segment for segment in plain["segments"])


@pytest.mark.parametrize(
    ("container", "codec", "tags"),
    [
        ("wav", "pcm_s16le", {"title": "A Tale of Two Cities", "artist": "Charles Dickens"}),
        ("matroska", "flac", {}),
        ("mov", "alac", {"comment": "another container, another codec"}),
    ],
)
def test_the_same_sound_in_another_file_is_answered_from_the_chunks(
    known: Known,
    spoken: Samples,
    plain: Path,
    plain_document: dict[str, Any],
    tmp_path: Path,
    container: str,
    codec: str,
    tags: dict[str, str],
) -> None:
    copy = tmp_path / f"copy.{container}"
    copy.write_bytes(media(spoken, container=container, codec=codec, tags=tags))
    assert copy.read_bytes() != plain.read_bytes()

    answer = stretto("transcribe", copy, "-f", "json", home=known.home)

    cache, duration = answer.document["cache"], answer.document["duration"]
    assert cache == {"hits": 1, "misses": 0, "recalled_s": duration}
    assert answer.document["id"] != plain_document["id"]
    assert answer.document["text"] == plain_document["text"]


def test_all_formats_are_written_side_by_side(known: Known, tmp_path: Path) -> None:
    given = ",".join(FORMATS[:4])
    others = [part for name in FORMATS[4:] for part in ("--format", name)]
    target = tmp_path / "new" / "results"
    done = stretto(
        "transcribe", known.recording, "-f", given, *others, "-o", target, home=known.home
    )
    assert (done.code, done.out) == (0, "")
    files = {path.name: path.read_text() for path in target.iterdir()}
    assert len(files) == len(FORMATS)
    assert all(str(target / name) in done.err for name in files)
    subtitles, captions = files["two_cities.srt"], files["two_cities.vtt"]
    assert subtitles.startswith("1\n00:00:0")
    assert " --> " in subtitles
    assert captions.startswith("WEBVTT\n\n00:00:0")
    rows = [line.split("\t") for line in files["two_cities.tsv"].splitlines()]
    assert rows[0] == ["start", "end", "text"]
    assert all(int(row[0]) < int(row[1]) for row in rows[1:])
    documents = [json.loads(text) for name, text in files.items() if name.endswith("json")]
    assert [abs(document["duration"] - SECONDS) < 0.01 for document in documents] == [True, True]
    assert all("despair" in text for text in files.values())


def test_subtitle_lines_keep_to_the_width_and_count_that_were_asked_for(known: Known) -> None:
    limits = ("--max-line-width", "24", "--max-line-count", "1")
    done = stretto("transcribe", known.recording, "-f", "srt", *limits, home=known.home)
    blocks = [block.splitlines() for block in done.out.strip().split("\n\n")]
    assert all(len(block) == 3 and len(block[2]) <= 24 for block in blocks)
    assert word_error_rate(" ".join(block[2] for block in blocks)) <= 0.05


def test_of_several_files_the_good_ones_are_written_and_the_bad_one_is_told(
    known: Known, tmp_path: Path
) -> None:
    (tmp_path / "good.wav").write_bytes(known.recording.read_bytes())
    (tmp_path / "bad.mp3").write_text("these are words and no sound\n" * 99)
    (tmp_path / "silent.wav").write_bytes(media(silence(3)))
    names = ("bad.mp3", "good.wav", "silent.wav")
    done = stretto("transcribe", *names, home=known.home, folder=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert word_error_rate((tmp_path / "good.txt").read_text()) <= 0.05
    assert (tmp_path / "silent.txt").read_text() == ""
    assert not (tmp_path / "bad.txt").exists()
    assert any("bad.mp3" in line and "text" in line for line in done.messages)
    assert done.messages[-1] == "3 files: 2 complete, 1 failed"


def test_the_plan_names_the_chunks_and_transcribes_nothing(
    known: Known, spoken: Samples, tmp_path: Path, home: Path
) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(media(spoken))
    done = stretto("transcribe", path, "--plan", "--json", home=home, imports=True)
    assert done.code == 0
    plan = done.document
    assert plan["duration"] == pytest.approx(SECONDS, abs=0.01)
    assert plan["reason"]
    assert [(c["start"], c["cached"]) for c in plan["chunks"]] == [(0.0, False)]
    assert plan["chunks"][-1]["end"] == pytest.approx(SECONDS, abs=0.01)
    assert done.imported.isdisjoint(ENGINE_MODULES)
    text = stretto("transcribe", known.recording, "--plan", home=known.home).out
    assert "1 of 1 chunks are cached" in text


def test_damage_in_the_middle_costs_what_is_damaged_and_is_never_called_complete(
    spoken: Samples, tmp_path: Path, known: Known
) -> None:
    path = tmp_path / "damaged.flac"
    path.write_bytes(damaged(media(spoken, container="flac", codec="flac"), length=30_000))
    done = stretto("transcribe", path, "-f", "json", home=known.home)
    assert done.code == 3
    document = done.document
    assert document["status"] == "partial"
    assert document["duration"] == pytest.approx(SECONDS, abs=0.01)
    (gap,) = document["coverage"]["gaps"]
    assert gap["reason"] == "unreadable_audio"
    assert 15 < gap["start"] < gap["end"] < 30
    assert "best of times" in document["text"]
    assert "superlative degree" in document["text"]
    assert len(document["text"]) < len(SPOKEN)
    again = stretto("transcribe", path, "-f", "json", home=known.home)
    assert again.code == 3
    assert again.document["coverage"]["gaps"] == [gap]


@pytest.mark.parametrize("known_before", [True, False], ids=["recalled", "computed"])
def test_the_text_goes_to_a_file_although_the_messages_go_to_a_terminal(
    known: Known, home: Path, tmp_path: Path, known_before: bool
) -> None:
    text = stretto("transcribe", known.recording, "-f", "timed", home=known.home).out
    target = tmp_path / "text"
    with target.open("wb") as file:
        shown = on_a_terminal(known, known.home if known_before else home, stdout=file.fileno())
    assert target.read_text(encoding="utf-8") == text
    assert text.splitlines()[0] not in shown


@pytest.mark.parametrize("known_before", [True, False], ids=["recalled", "computed"])
def test_text_and_progress_do_not_tear_each_other_on_a_terminal(
    known: Known, home: Path, known_before: bool
) -> None:
    text = stretto("transcribe", known.recording, "-f", "timed", home=known.home).out
    shown = on_a_terminal(known, known.home if known_before else home, stdout=None)
    assert text in shown.replace("\r\n", "\n")


def on_a_terminal(known: Known, home: Path, *, stdout: int | None) -> str:
    """What a terminal shows that has standard error, and standard output too without another."""
    arguments = ("transcribe", known.recording, "-f", "timed")
    code, shown = shown_on_a_terminal(*arguments, home=home, stdout=stdout)
    assert code == 0
    return shown
