"""What readers, players and programs may rely on in every output format, whatever was said."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
import unicodedata
import uuid
from dataclasses import FrozenInstanceError, dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import FileHash, Language, Timestamp, TranscriptId
from stretto.contexts.core.transcript import (
    CacheUse,
    Coverage,
    Gap,
    GapReason,
    Seam,
    Segment,
    Transcript,
    Word,
)
from stretto.interfaces.formats import FORMATS, SubtitleLayout, render

TIMING = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3})")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
HOSTILE = [
    "-->",
    "a --> b",
    "---->> 00:00:01,000 --> 00:00:02,000",
    "first\n\nsecond",
    "7\r\n00:00:01,000 --> 00:00:02,000\r\nforged",
    "1999",
    "WEBVTT\n\nNOTE x",
    "<img src=x onerror=alert(1)>",
    "</c> &amp; <b>bold</b> & <",
    "nul\x00 and \x1b[31m escape",
    "next\x85line\u2028and\u2029paragraph\x0bvertical\x0cfeed",
    "\ufeffmark",
]


@dataclass(frozen=True)
class ReadCue:
    start_ms: int
    end_ms: int
    lines: list[str]

    @property
    def text(self) -> str:
        return " ".join(self.lines)


def segment(start: float, end: float, text: str, *words: Word) -> Segment:
    return Segment(start=start, end=end, text=text, words=words)


def word(start: float, end: float, text: str) -> Word:
    return Word(start=start, end=end, text=text, probability=0.9)


def transcript(*segments: Segment, **changes: object) -> Transcript:
    facts: dict[str, object] = {
        "id": TranscriptId(uuid.UUID(int=1)),
        "file": "talk.mp3",
        "file_hash": FileHash("0" * 64),
        "language": Language("en"),
        "duration_s": 60.0,
        "segments": segments,
        "coverage": Coverage(speech_s=50.0, transcribed_s=50.0),
        "engine": "whisper",
        "model": "tiny.en",
        "created_at": Timestamp(0.0),
    }
    return Transcript(**(facts | changes))  # type: ignore[arg-type]


SILENT = transcript(language=None, coverage=Coverage(speech_s=0.0, transcribed_s=0.0))


def milliseconds(clock: str) -> int:
    found = TIMING.fullmatch(clock)
    assert found, clock
    hours, minutes, seconds, rest = map(int, found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def cue_from(timing: str, lines: list[str]) -> ReadCue:
    start, arrow, end = timing.split(" ")
    assert arrow == "-->"
    return ReadCue(milliseconds(start), milliseconds(end), lines)


def assert_only_text(lines: list[str]) -> None:
    assert lines
    assert all("-->" not in line and line.strip() for line in lines)


def read_srt(document: str) -> list[ReadCue]:
    """A strict reader, which takes every line break that Unicode knows for one."""
    assert document == "" or document.endswith("\n\n")
    blocks = document.split("\n\n")[:-1]
    cues = []
    for number, block in enumerate(blocks, 1):
        lines = block.splitlines()
        assert_only_text(lines[2:])
        assert lines[0] == str(number)
        assert "," in lines[1]
        cues.append(cue_from(lines[1], lines[2:]))
    return cues


def read_vtt(document: str) -> list[ReadCue]:
    header, *blocks = document.removesuffix("\n").split("\n\n")
    assert header == "WEBVTT"
    cues = []
    for block in blocks:
        timing, *lines = block.splitlines()
        assert_only_text(lines)
        assert not any(re.search(r"[<>]|&(?!amp;|lt;|gt;)", line) for line in lines)
        plain = [html.unescape(line) for line in lines]
        cues.append(cue_from(timing, plain))
    return cues


def characters(text: str) -> str:
    """What must survive of a text: everything but blanks, control characters and long arrows."""
    visible = "".join(CONTROLS.sub(" ", text).replace("\ufeff", "").split())
    return re.sub(r"-+>", "->", visible)


def assert_a_player_can_show(cues: list[ReadCue]) -> None:
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))


any_time = st.floats(0, 400_000) | st.floats() | st.sampled_from([0.0, 59.9996, 3599.9999, 360_000])
any_text = st.text(max_size=120) | st.sampled_from(HOSTILE)
any_segment = st.builds(segment, any_time, any_time, any_text)
any_layout = st.builds(
    SubtitleLayout,
    max_line_width=st.none() | st.integers(1, 60),
    max_line_count=st.none() | st.integers(1, 3),
)
plain_word = st.text(st.sampled_from("abcxyzЖщيםあ,.!?'1"), min_size=1, max_size=12).filter(
    lambda text: "あ" not in text
)
sentence = st.lists(plain_word, min_size=1, max_size=40).map(" ".join)


@given(st.lists(any_segment, max_size=6), any_layout)
def test_whatever_was_said_srt_reads_back_as_the_same_text_in_order(segments, layout):
    cues = read_srt(render(transcript(*segments), name="srt", layout=layout))
    said = "".join(characters(s.text) for s in segments)
    assert characters("".join(cue.text for cue in cues)) == characters(said)
    assert_a_player_can_show(cues)


@given(st.lists(any_segment, max_size=6), any_layout)
def test_whatever_was_said_vtt_reads_back_as_the_same_text_in_order(segments, layout):
    cues = read_vtt(render(transcript(*segments), name="vtt", layout=layout))
    said = "".join(characters(s.text) for s in segments)
    assert characters("".join(cue.text for cue in cues)) == characters(said)
    assert_a_player_can_show(cues)


@given(sentence, st.integers(1, 50), st.integers(1, 3))
def test_lines_keep_to_the_layout_and_words_stay_whole(text, width, count):
    layout = SubtitleLayout(max_line_width=width, max_line_count=count)
    cues = read_srt(render(transcript(segment(1, 9, text)), name="srt", layout=layout))
    lines = [line for cue in cues for line in cue.lines]
    assert [w for line in lines for w in line.split(" ")] == text.split()
    assert all(len(cue.lines) <= count for cue in cues)
    assert all(len(line) <= width or " " not in line for line in lines)


@given(sentence, st.integers(8, 50))
def test_no_more_lines_are_used_than_filling_them_greedily_takes(text, width):
    layout = SubtitleLayout(max_line_width=width, max_line_count=None)
    (cue,) = read_srt(render(transcript(segment(1, 9, text)), name="srt", layout=layout))
    greedy = [0]
    for length in map(len, text.split()):
        if greedy[-1] and greedy[-1] + 1 + length > width:
            greedy.append(0)
        greedy[-1] += length + (1 if greedy[-1] else 0)
    assert len(cue.lines) == len(greedy)


@given(st.lists(st.tuples(st.floats(0, 3e5), st.floats(0, 9), sentence), max_size=5), any_layout)
def test_cues_of_a_sound_transcript_stay_inside_their_segments(pieces, layout):
    clock, segments = 0.0, []
    for pause, length, text in pieces:
        segments.append(segment(clock + pause + 0.1, clock + pause + 0.2 + length, text))
        clock = segments[-1].end
    cues = read_srt(render(transcript(*segments), name="srt", layout=layout))
    assert len(cues) >= len(segments)
    if segments:
        assert cues[0].start_ms == round(segments[0].start * 1000)
        # A cue lasts 1 ms at least, which may push the last ones on by as many milliseconds.
        assert 0 <= cues[-1].end_ms - round(clock * 1000) <= len(cues)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_a_hostile_text_makes_one_cue_and_leaves_its_neighbours_alone(name, text):
    unlimited = SubtitleLayout(max_line_width=None, max_line_count=None)
    said = transcript(segment(0, 1, "before"), segment(1, 2, text), segment(2, 3, "after"))
    document = render(said, name=name, layout=unlimited)
    cues = (read_srt if name == "srt" else read_vtt)(document)
    assert [cue.text for cue in cues][::2] == ["before", "after"]
    assert len(cues) == 3
    # A lenient reader looks for timing lines wherever they are.
    assert len(re.findall(r"(?m)^\d\d:\d\d:\d\d[,.]\d{3} --> ", document)) == 3
    assert "\r" not in document
    assert "\x00" not in document


def test_lines_are_balanced_and_break_after_punctuation_where_that_costs_little():
    said = transcript(segment(0, 6, "It was the best of times, it was the worst of the times"))
    (cue,) = read_srt(render(said, name="srt"))
    assert cue.lines == ["It was the best of times,", "it was the worst of the times"]
    even = transcript(segment(0, 6, " ".join(["word"] * 10)))
    (cue,) = read_srt(render(even, name="srt"))
    assert cue.lines == [" ".join(["word"] * 5)] * 2


def test_punctuation_that_stands_alone_does_not_begin_a_line():
    layout = SubtitleLayout(max_line_width=14)
    said = transcript(segment(0, 6, "Vous pouvez ? Oui !"))
    (cue,) = read_srt(render(said, name="srt", layout=layout))
    assert cue.lines == ["Vous pouvez ?", "Oui !"]


def test_a_word_longer_than_the_line_stands_alone():
    layout = SubtitleLayout(max_line_width=10)
    said = transcript(segment(0, 6, "die Donaudampfschifffahrt ist da"))
    cues = read_srt(render(said, name="srt", layout=layout))
    assert [line for c in cues for line in c.lines] == ["die", "Donaudampfschifffahrt", "ist da"]


@pytest.mark.parametrize(
    "text",
    [
        "今日は天気がいいので、散歩に行きましょう。それから、図書館で本を読んで、寝ます。" * 3,
        "我们今天讨论语音识别技术的最新进展，以及它在GPT4模型和医疗领域里的应用。" * 3,
        "วันนี้เราจะมาพูดคุยเกี่ยวกับเทคโนโลยีการรู้จำเสียงพูดและการประมวลผลภาษาธรรมชาติ" * 3,
    ],
)
def test_scripts_without_blanks_break_between_characters(text):
    cues = read_srt(render(transcript(segment(0, 20, text)), name="srt"))
    lines = [line for cue in cues for line in cue.lines]
    assert len(cues) > 1
    assert "".join(lines) == text
    assert all(len([c for c in x if unicodedata.category(c) != "Mn"]) <= 42 for x in lines)
    assert not any(line[0] in "、。，ะาำ่้์็" or line[-1] in "เแโใไ" for line in lines)
    assert "GPT4" in "".join(lines) if "GPT4" in text else True


def test_chinese_takes_two_columns_a_character():
    said = transcript(segment(0, 9, "语" * 42))
    (cue,) = read_srt(render(said, name="srt"))
    assert cue.lines == ["语" * 21, "语" * 21]


@pytest.mark.parametrize(
    "text", ["שלום עולם, מה שלומך", "مرحبا بالعالم", "👩‍👩‍👧‍👦 👍🏽 naïve café नमस्ते"]
)
def test_right_to_left_scripts_emoji_and_marks_come_through_unchanged(text):
    said = transcript(segment(0, 3, text))
    assert [c.text for c in read_srt(render(said, name="srt"))] == [text]
    assert [c.text for c in read_vtt(render(said, name="vtt"))] == [text]
    assert render(said, name="txt") == f"{text}\n"
    assert json.loads(render(said, name="json"))["text"] == text


def test_a_split_segment_takes_its_times_from_the_words():
    words = [word(1.0, 1.4, " one"), word(1.5, 2.0, " two"), word(7.0, 7.5, " three")]
    layout = SubtitleLayout(max_line_width=7, max_line_count=1)
    said = transcript(segment(0.9, 8.0, " one two three", *words))
    cues = read_srt(render(said, name="srt", layout=layout))
    assert cues == [ReadCue(900, 2000, ["one two"]), ReadCue(7000, 8000, ["three"])]


@pytest.mark.parametrize("words", [(), (word(9.0, 9.5, "unrelated"),)])
def test_without_usable_word_times_a_split_goes_by_characters(words):
    layout = SubtitleLayout(max_line_width=6, max_line_count=1)
    said = transcript(segment(10.0, 20.0, "abcdef gh ij", *words))
    cues = read_srt(render(said, name="srt", layout=layout))
    assert cues == [ReadCue(10_000, 16_000, ["abcdef"]), ReadCue(16_000, 20_000, ["gh ij"])]


def test_word_times_out_of_their_segment_do_not_leave_it():
    words = [word(500.0, 900.0, "one"), word(math.nan, -3.0, "two"), word(1.0, math.inf, "three")]
    layout = SubtitleLayout(max_line_width=5, max_line_count=1)
    said = transcript(segment(1.0, 4.0, "one two three", *words), segment(4.0, 5.0, "next"))
    cues = read_srt(render(said, name="srt", layout=layout))
    assert_a_player_can_show(cues)
    assert max(cue.start_ms for cue in cues[:-1]) <= 4002
    assert cues[-1].text == "next"


def test_segments_without_length_become_cues_of_a_millisecond():
    said = transcript(*(segment(5.0, 5.0, text) for text in "abc"))
    times = [(cue.start_ms, cue.end_ms) for cue in read_srt(render(said, name="srt"))]
    assert times == [(5000, 5001), (5001, 5002), (5002, 5003)]


def test_where_segments_overlap_the_earlier_one_ends_early():
    said = transcript(segment(0.0, 5.0, "a"), segment(4.0, 6.0, "b"))
    times = [(cue.start_ms, cue.end_ms) for cue in read_srt(render(said, name="srt"))]
    assert times == [(0, 4000), (4000, 6000)]


def test_hours_grow_beyond_two_digits_and_rounding_carries():
    said = transcript(segment(59.9996, 3599.9999, "a"), segment(360_000.0, 360_001.0004, "b"))
    assert "00:01:00,000 --> 01:00:00,000\na" in render(said, name="srt")
    assert "100:00:00.000 --> 100:00:01.000\nb" in render(said, name="vtt")


def test_a_silent_file_gives_empty_documents_and_headers():
    assert render(SILENT, name="txt") == ""
    assert render(SILENT, name="srt") == ""
    assert render(SILENT, name="vtt") == "WEBVTT\n"
    assert render(SILENT, name="tsv") == "start\tend\ttext\n"
    assert json.loads(render(SILENT, name="json"))["text"] == ""
    assert json.loads(render(SILENT, name="json"))["status"] == "complete"
    assert json.loads(render(SILENT, name="verbose_json"))["segments"] == []


def test_txt_has_one_line_for_each_segment_with_text():
    said = transcript(segment(0, 1, " Hello\nthere. "), segment(1, 2, " \n"), segment(2, 3, "Bye."))
    assert render(said, name="txt") == "Hello there.\nBye.\n"


@given(st.lists(any_segment, max_size=6))
def test_tsv_is_three_cells_a_row_and_never_a_formula(segments):
    document = render(transcript(*segments), name="tsv")
    # Both kinds of reader: one that knows quotation marks, and one that splits at tabs.
    quoting = list(csv.reader(io.StringIO(document, newline=""), delimiter="\t"))
    splitting = [line.split("\t") for line in document.split("\n")[:-1]]
    assert quoting == splitting
    assert splitting[0] == ["start", "end", "text"]
    for start, end, text in splitting[1:]:
        assert start.isdecimal()
        assert end.isdecimal()
        assert text[0] not in '=+-@\t\r"'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", '"=1+1"', " \t=1+1"])
def test_tsv_neutralises_what_a_spreadsheet_would_run(text):
    said = transcript(segment(1.5, 2.0, text))
    assert render(said, name="tsv").splitlines()[1] == f"1500\t2000\t'{text.strip()}"


def test_json_is_the_documented_schema():
    said = transcript(
        segment(0.12345, 1.0, " Hello.", word(0.12345, 0.5, " Hello.")),
        segment(1.0, 2.0, "Bye."),
        coverage=Coverage(
            speech_s=5.0,
            transcribed_s=2.0,
            gaps=(
                Gap(start=2.0, end=3.0, reason=GapReason.ENGINE_FAILED, detail="gave up"),
                Gap(start=4.0, end=6.0, reason=GapReason.CANCELLED),
            ),
        ),
        seams=(Seam(at=1.0, loudness_dbfs=-math.inf, forced=False),),
        warnings=("The file ends in the middle.",),
        cache=CacheUse(hits=1, misses=2),
    )
    document = json.loads(render(said, name="json"))
    assert document == {
        "schema": 1,
        "id": "00000000-0000-0000-0000-000000000001",
        "file": "talk.mp3",
        "text": "Hello. Bye.",
        "language": "en",
        "duration": 60.0,
        "status": "partial",
        "coverage": {
            "speech_s": 5.0,
            "transcribed_s": 2.0,
            "gaps": [
                {"start": 2.0, "end": 3.0, "reason": "engine_failed", "detail": "gave up"},
                {"start": 4.0, "end": 6.0, "reason": "cancelled"},
            ],
        },
        "segments": [
            {
                "start": 0.123,
                "end": 1.0,
                "text": "Hello.",
                "words": [{"start": 0.123, "end": 0.5, "word": "Hello.", "probability": 0.9}],
            },
            {"start": 1.0, "end": 2.0, "text": "Bye."},
        ],
        "seams": [{"at": 1.0, "loudness_dbfs": -120.0, "forced": False}],
        "warnings": ["The file ends in the middle."],
        "engine": "whisper",
        "model": "tiny.en",
        "cache": {"hits": 1, "misses": 2, "recalled_s": 0.0},
    }
    assert next(iter(document)) == "schema"


@pytest.mark.parametrize("name", ["json", "verbose_json"])
@given(segments=st.lists(any_segment, max_size=4), duration_s=st.floats())
def test_json_is_always_valid_whatever_the_numbers_and_the_texts(name, segments, duration_s):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = render(transcript(*segments, duration_s=duration_s), name=name)
    read = json.loads(document, parse_constant=refuse)
    assert document.endswith("}\n")
    assert [s["text"] for s in read["segments"]] == [s.text.strip() for s in segments]


def test_json_keeps_the_users_letters_readable():
    document = render(transcript(segment(0, 1, "Привет 👋"), file="речь.mp3"), name="json")
    assert "Привет 👋" in document
    assert "речь.mp3" in document


def test_verbose_json_has_every_field_that_openais_client_requires():
    spoken = Segment(
        start=12.0,
        end=14.0,
        text=" Hello.",
        words=(word(12.0, 12.5, " Hello."),),
        average_log_probability=-0.25,
        compression_ratio=1.1,
        no_speech_probability=0.01,
        temperature=0.2,
        tokens=(50364, 2425),
    )
    document = json.loads(render(transcript(spoken), name="verbose_json"))
    assert document == {
        "task": "transcribe",
        "language": "english",
        "duration": 60.0,
        "text": "Hello.",
        "segments": [
            {
                "id": 0,
                "seek": 1200,
                "start": 12.0,
                "end": 14.0,
                "text": "Hello.",
                "tokens": [50364, 2425],
                "temperature": 0.2,
                "avg_logprob": -0.25,
                "compression_ratio": 1.1,
                "no_speech_prob": 0.01,
            }
        ],
        "words": [{"word": "Hello.", "start": 12.0, "end": 12.5}],
        "usage": {"type": "duration", "seconds": 60.0},
    }


def test_verbose_json_has_words_only_when_there_are_any():
    assert "words" not in json.loads(render(transcript(segment(0, 1, "Hi")), name="verbose_json"))


@pytest.mark.parametrize("name", FORMATS)
def test_half_a_surrogate_pair_cannot_keep_a_document_from_being_written(name):
    said = transcript(segment(0, 1, "broken \ud83d half"), file="bad\udcff.mp3")
    render(said, name=name).encode("utf-8")
    assert "broken \ufffd half" in render(said, name=name)


def test_the_table_names_the_formats_with_suffixes_of_their_own():
    assert list(FORMATS) == ["txt", "timed", "srt", "vtt", "json", "verbose_json", "tsv"]
    suffixes = [".txt", ".timed.txt", ".srt", ".vtt", ".json", ".verbose.json", ".tsv"]
    assert [form.suffix for form in FORMATS.values()] == suffixes
    assert all(FORMATS[name].name == name and "/" in FORMATS[name].media_type for name in FORMATS)


def test_timed_text_has_the_start_before_each_line():
    segments = (segment(0.96, 2.0, "It was"), segment(3725.26, 3726.0, "the best"))
    rendered = render(transcript(*segments), name="timed")
    assert rendered == "[0:00:01.0] It was\n[1:02:05.3] the best\n"


def test_an_unknown_format_is_answered_with_the_known_ones():
    with pytest.raises(
        InvalidOption, match=r"'docx'.*txt, timed, srt, vtt, json, verbose_json, tsv"
    ):
        render(SILENT, name="docx")


@pytest.mark.parametrize("value", [0, -1, 1001, 2.5, True, "42"])
@pytest.mark.parametrize("option", ["max_line_width", "max_line_count"])
def test_a_layout_that_cannot_be_is_refused(option, value):
    with pytest.raises(InvalidOption, match="whole number"):
        SubtitleLayout(**{option: value})


def test_a_layout_is_frozen():
    with pytest.raises(FrozenInstanceError):
        SubtitleLayout().max_line_width = 3  # type: ignore[misc]
