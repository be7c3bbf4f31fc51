"""Transcripts over HTTP: listed, searched, corrected, exported, listened to, deleted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from stretto.contexts.core.access import Scope
from stretto.contexts.core.identifiers import FileHash, Timestamp, TranscriptId
from stretto.contexts.core.transcript import Segment, Transcript, Word
from stretto.interfaces.formats import FORMATS
from tests.fakes.examples import a_transcript
from tests.mediagen import media, tone
from tests.serving import Site

HOSTILE = '<img src=x onerror=alert(1)>"\r\nset-cookie: a=b\u202e.mp3'


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def spoken(*texts: str, file: str = "talk.wav", sound: bytes = b"") -> Transcript:
    """One segment of two seconds for each text, with words."""
    segments = []
    for place, text in enumerate(texts):
        names, start = text.split(), 2.0 * place
        step = 2.0 / max(1, len(names))
        words = tuple(
            Word(start=start + step * n, end=start + step * (n + 1), text=f" {w}", probability=0.9)
            for n, w in enumerate(names)
        )
        segments.append(Segment(start=start, end=start + 2.0, text=text, words=words))
    return replace(
        a_transcript(),
        id=TranscriptId.new(),
        file=file,
        file_hash=FileHash(hashlib.sha256(sound or file.encode()).hexdigest()),
        segments=tuple(segments),
        duration_s=2.0 * len(texts),
    )


def at(transcript: Transcript, second: float) -> Transcript:
    return replace(transcript, created_at=Timestamp(second))


def test_transcripts_are_listed_page_by_page_and_by_language(open_site: Site) -> None:
    ids = [open_site.keep(at(spoken("one", file=f"{n}.wav"), n)) for n in range(5)]
    client, seen, after = open_site.client(), [], ""
    while True:
        page = client.get("/api/transcripts", params={"limit": 2, "after": after}).json()
        seen += [row["id"] for row in page["transcripts"]]
        after = page["next"]
        if not after:
            break
    assert seen == [str(one) for one in reversed(ids)]
    assert client.get("/api/transcripts?language=ru").json()["transcripts"] == []
    assert client.get("/api/transcripts?language=klingon").status_code == 400
    assert client.get("/api/transcripts?after=nonsense").status_code == 422
    assert client.get("/api/transcripts?limit=0").status_code == 422


def test_a_search_says_where_the_words_are(open_site: Site) -> None:
    kept = open_site.keep(spoken("it was the best of times", "it was the age of wisdom"))
    (hit,) = open_site.client().get("/api/search", params={"q": "wisdom"}).json()["hits"]
    assert hit["id"] == str(kept)
    ((begin, end),) = hit["matches"]
    assert hit["text"][begin:end] == "wisdom"
    assert hit["at"] == pytest.approx(2.0 + 5 * 2.0 / 6, abs=0.01)
    assert open_site.client().get("/api/search", params={"q": "***"}).json() == {"hits": []}


def test_an_owner_finds_only_their_own_words(keyed_site: Site) -> None:
    for name in ("anna", "boris"):
        keyed_site.keep(spoken(f"the secret of {name}", file=f"{name}.wav"), owner=name)
    boris = keyed_site.client(keyed_site.key("boris"))
    (hit,) = boris.get("/api/search", params={"q": "secret"}).json()["hits"]
    assert hit["file"] == "boris.wav"
    admin = keyed_site.client(keyed_site.key("root", Scope.ADMIN))
    assert len(admin.get("/api/search", params={"q": "secret"}).json()["hits"]) == 2


def test_a_correction_is_a_new_version_in_which_words_keep_their_times(open_site: Site) -> None:
    before = spoken("it was the beast of times", "never mind", "it was the age of wisdom")
    kept, client = open_site.keep(before), open_site.client()
    edits = [{"index": 0, "text": "it was the best of times"}, {"index": 1, "text": "  "}]
    made = client.post(f"/api/transcripts/{kept}/edits", json={"segments": edits})
    assert made.status_code == 201
    document = made.json()
    assert made.headers["location"] == f"/api/transcripts/{document['id']}"
    assert document["version"] == 2
    assert [v["version"] for v in document["versions"]] == [2, 1]
    first, last = document["transcript"]["segments"]
    assert first["text"] == "it was the best of times"
    times = [(w["word"], w["start"], w["end"]) for w in first["words"]]
    old = [(w.text.strip(), round(w.start, 3), round(w.end, 3)) for w in before.segments[0].words]
    assert times == [("best" if w == "beast" else w, a, b) for w, a, b in old]
    assert last["text"] == "it was the age of wisdom"
    again = client.get(f"/api/transcripts/{kept}").json()
    assert again["transcript"]["segments"][0]["text"] == "it was the beast of times"
    found = client.get("/api/search", params={"q": '"best of times"'}).json()["hits"]
    assert [hit["version"] for hit in found] == [2]


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [{"index": 9, "text": "there is none"}],
        [{"index": 0, "text": "a"}, {"index": 0, "text": "b"}],
        [{"index": -1, "text": "a"}],
        [{"index": 0}],
    ],
)
def test_a_correction_of_what_is_not_there_is_refused(
    open_site: Site, segments: list[dict[str, Any]]
) -> None:
    kept, client = open_site.keep(spoken("one")), open_site.client()
    answer = client.post(f"/api/transcripts/{kept}/edits", json={"segments": segments})
    assert answer.status_code in {400, 422}
    assert len(client.get("/api/transcripts").json()["transcripts"]) == 1


def test_a_correction_that_empties_a_transcript_leaves_it_empty(open_site: Site) -> None:
    kept, client = open_site.keep(spoken("one")), open_site.client()
    edits = {"segments": [{"index": 0, "text": ""}]}
    made = client.post(f"/api/transcripts/{kept}/edits", json=edits).json()
    assert (made["transcript"]["text"], made["transcript"]["segments"]) == ("", [])


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_is_a_download_with_a_harmless_name(open_site: Site, form: str) -> None:
    kept = open_site.keep(spoken("</script> it was", file=HOSTILE))
    answer = open_site.client().get(f"/api/transcripts/{kept}/export", params={"format": form})
    assert answer.status_code == 200
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    assert "<" not in disposition
    assert disposition.isascii()
    assert "set-cookie" not in answer.headers
    assert not answer.headers["content-type"].startswith("text/html")
    if form.endswith("json"):
        assert json.loads(answer.text)["text"] == "</script> it was"


def test_the_recording_is_played_in_pieces_and_drawn(open_site: Site) -> None:
    sound, client = media(tone(1.0)), open_site.client()
    client.post("/api/jobs", files={"file": ("talk.wav", sound)})
    kept = open_site.keep(spoken("one", sound=sound))
    assert client.get(f"/api/transcripts/{kept}").json()["audio"] is True
    place = f"/api/transcripts/{kept}/audio"
    whole = client.get(place)
    assert whole.content == sound
    assert whole.headers["content-type"] == "audio/wav"
    part = client.get(place, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, sound[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(sound)}"
    assert client.get(place, headers={"range": "bytes=99999999-"}).status_code == 416
    drawn = client.get(f"/api/transcripts/{kept}/peaks?points=10").json()
    assert drawn["duration_s"] == pytest.approx(1.0)
    assert drawn["peaks"] == [pytest.approx(8_000 / 32_768, abs=0.01)] * 10
    assert client.get(f"/api/transcripts/{kept}/peaks?points=10").json() == drawn


def test_a_page_that_was_uploaded_as_a_recording_is_only_bytes(open_site: Site) -> None:
    page = b"<script>alert(1)</script>"
    client = open_site.client()
    client.post("/api/jobs", files={"file": ("talk.html", page)})
    kept = open_site.keep(spoken("one", sound=page))
    answer = client.get(f"/api/transcripts/{kept}/audio")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_deleting_the_last_version_deletes_the_recording(open_site: Site) -> None:
    sound, client = media(tone(0.5)), open_site.client()
    job = client.post("/api/jobs", files={"file": ("talk.wav", sound)}).json()
    client.post(f"/api/jobs/{job['id']}/cancel")
    first, second = (open_site.keep(spoken(text, sound=sound)) for text in ("one", "two"))
    assert client.delete(f"/api/transcripts/{first}").status_code == 204
    assert client.get(f"/api/transcripts/{second}").json()["audio"] is True
    assert client.delete(f"/api/transcripts/{second}").status_code == 204
    assert client.get(f"/api/transcripts/{second}").status_code == 404
    folder = open_site.serving.settings.recordings_path
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in kept if path.parent.name != ".locks"] == []


def test_a_transcript_without_its_recording_says_so(open_site: Site) -> None:
    kept, client = open_site.keep(spoken("one")), open_site.client()
    assert client.get(f"/api/transcripts/{kept}").json()["audio"] is False
    assert client.get(f"/api/transcripts/{kept}/audio").status_code == 404
    assert client.get(f"/api/transcripts/{kept}/peaks").status_code == 404


def test_the_page_is_asked_for_again_only_when_it_changed(open_site: Site) -> None:
    client = open_site.client()
    first = client.get("/")
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    again = client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/../settings.py").status_code == 404
    assert client.get("/%2e%2e/settings.py").status_code == 404
    assert client.get("/api/nothing").json()["error"]["code"] == "not_found"


def test_what_serves_everybody_is_answered(open_site: Site) -> None:
    client = open_site.client()
    assert {"srt", "vtt"} <= {form["name"] for form in client.get("/api/formats").json()["formats"]}
    assert {"code": "ru", "name": "Russian"} in client.get("/api/languages").json()["languages"]
    assert client.get("/api/workers").json() == {"workers": []}
    cache = client.get("/api/cache").json()
    assert [level["level"] for level in cache["levels"]] == ["L1", "L3"]
    everything = client.post("/api/cache/invalidate", json={"everything": True})
    assert everything.json() == {"removed": {"L1": 0, "L3": 0}}
    assert client.post("/api/cache/invalidate", json={}).status_code == 422


def test_a_server_without_workers_is_degraded_but_answers(open_site: Site) -> None:
    answer = open_site.client().get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["parts"]["workers"] == {"ok": False, "detail": "No worker is running."}
