"""From a file to a corrected text, as somebody goes who has just found the page."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from stretto.contexts.core.job import JobStatus
from stretto.contexts.core.transcript import Segment
from stretto.contexts.queue.model import Wanted
from tests.browser.conftest import PATIENCE_MS
from tests.browser.serving import Api
from tests.e2e.recordings import hissing, speech
from tests.fakes.examples import a_transcript
from tests.mediagen import media, silence
from tests.servers import copied
from tests.serving import begin, end, heard, site

Opened = Callable[..., Page]


def expect_heard(page: Page, from_s: float, to_s: float) -> None:
    """The player is, or comes, between those seconds."""
    heard_s, end_s = -1.0, time.monotonic() + PATIENCE_MS / 1000
    while not from_s < heard_s < to_s:
        assert time.monotonic() < end_s, heard_s
        page.wait_for_timeout(50)
        heard_s = page.evaluate("document.querySelector('audio').currentTime")


def test_a_recording_is_uploaded_read_along_corrected_and_taken_away(
    opened: Opened, server: Api, tmp_path: Path
) -> None:
    page = opened(server.url)
    recording = tmp_path / "the best of times.wav"
    recording.write_bytes(media(hissing(speech(), seed=7)))
    page.set_input_files("#files", recording)

    card = page.locator("article", has_text="the best of times.wav").first
    expect(card.locator(".badge")).to_have_text("done")
    card.get_by_role("link", name="Read").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("the best of times.wav")
    page.get_by_role("button", name="Play", exact=True).click()
    expect_heard(page, 1.5, math.inf)
    expect(page.locator(".w.now")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    page.locator(".w", has_text="despair").click()
    expect(page.locator(".w.now")).to_have_text("despair.")
    said_at = float(page.locator(".w", has_text="despair").get_attribute("data-start") or "nan")
    expect_heard(page, said_at - 0.3, said_at + 0.3)
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".w.now")).not_to_have_text("despair.")
    expect_heard(page, said_at - 5.3, said_at - 4.7)

    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Text at 0:01").fill("It was the best of tunes.")
    page.reload()
    expect(page.get_by_label("Text at 0:01")).to_have_value("It was the best of tunes.")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator("transcript-text")).to_contain_text("It was the best of tunes.")
    expect(page.get_by_label("Version")).to_contain_text("Version 2")
    page.get_by_role("button", name="Changes since version 1").click()
    expect(page.locator("ins").first).to_have_text("tunes.")

    page.locator("summary", has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Subtitles, SubRip").click()
    subtitles = Path(download.value.path()).read_text(encoding="utf-8")
    assert download.value.suggested_filename.endswith(".srt")
    assert "It was the best of tunes." in subtitles


def test_what_was_said_is_found_in_the_library_and_at_its_second(
    opened: Opened, server: Api, transcript: str
) -> None:
    page = opened(server.url, "#/library")
    page.get_by_role("searchbox").fill("despair")
    hit = page.get_by_role("link", name="despair").first
    expect(hit.locator("mark")).to_have_text("despair")
    hit.click()
    expect(page.locator(".w.now")).to_have_text("despair.")
    expect(page.locator(".w.hit")).to_have_count(1)
    expect_heard(page, 18, 22)
    page.reload()
    expect(page.locator(".w.now")).to_have_text("despair.")


def test_what_is_said_into_the_microphone_becomes_a_job(opened: Opened, server: Api) -> None:
    page = opened(server.url)
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_label("Recorded so far")).not_to_have_text("0:00")
    page.get_by_role("button", name="Stop and transcribe").click()
    card = page.locator("article", has_text="Recording 20").first
    expect(card.locator(".badge")).to_have_text("done")
    newest = server.asked("/api/transcripts?limit=1")["transcripts"][0]
    assert newest["file"].endswith(".webm")
    assert newest["duration_s"] >= 1.0


def test_the_text_appears_while_it_is_recognised_however_often_the_server_is_started(
    opened: Opened, sqlite_template: Path, tmp_path: Path
) -> None:
    home, recording = copied(sqlite_template, tmp_path / "home"), tmp_path / "two cities.wav"
    recording.write_bytes(media(silence(1.0)))
    with site(home) as before:
        page = opened(before.url)
        page.set_input_files("#files", recording)
        card = page.locator("article", has_text="two cities.wav")
        log = card.get_by_role("log").locator("p")
        expect(card.locator(".badge")).to_have_text("waiting")
        (job,) = before.serving.queue.page(Wanted(limit=10))
        claimed = begin(before, job)
        heard(before, claimed, spoken(1, "It was the best of times."))
        expect(log).to_have_text(["0:01It was the best of times."])
    expect(page.get_by_text("The server does not answer")).to_be_visible()
    with site(home, port=before.port) as after:
        expect(page.get_by_text("The server does not answer")).to_be_hidden()
        heard(after, claimed, spoken(5, "It was the worst of times."))
        expect(log).to_have_text(
            ["0:01It was the best of times.", "0:05It was the worst of times."]
        )
        kept = after.keep(a_transcript())
        end(after, claimed, JobStatus.COMPLETED, transcript_id=kept)
        expect(card.locator(".badge")).to_have_text("done")
        expect(card.get_by_role("link", name="Read")).to_be_visible()


def spoken(at_s: float, text: str) -> Segment:
    return Segment(start=at_s, end=at_s + 3, text=text)
