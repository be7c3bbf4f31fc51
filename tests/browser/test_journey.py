"""From a file to a corrected text, as somebody goes who has just found the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.serving import Served, serving, stop
from tests.e2e.recordings import hissing, speech
from tests.mediagen import concatenated, media, silence

Opened = Callable[..., Page]


def heard(page: Page) -> float:
    return float(page.evaluate("document.querySelector('audio').currentTime"))


def test_a_recording_is_uploaded_read_along_corrected_and_taken_away(
    opened: Opened, tmp_path: Path
) -> None:
    page = opened()
    recording = tmp_path / "the best of times.wav"
    recording.write_bytes(media(hissing(speech(), seed=7)))
    page.set_input_files("#files", recording)

    card = page.locator("article", has_text="the best of times.wav").first
    expect(card.get_by_role("log")).to_contain_text("It was the best of times")
    expect(card.locator(".badge")).to_have_text("done")
    card.get_by_role("link", name="Read").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("the best of times.wav")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".w.now")).to_have_text(re.compile("best|of|times"))
    page.get_by_role("button", name="Pause").click()
    page.locator(".w", has_text="despair").click()
    expect(page.locator(".w.now")).to_have_text("despair.")
    said_at = float(page.locator(".w", has_text="despair").get_attribute("data-start") or "nan")
    assert abs(heard(page) - said_at) < 0.3
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".w.now")).not_to_have_text("despair.")
    assert abs(heard(page) - (said_at - 5)) < 0.3

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
    opened: Opened, transcript: str
) -> None:
    page = opened("#/library")
    page.get_by_role("searchbox").fill("despair")
    hit = page.get_by_role("link", name="despair").first
    expect(hit.locator("mark")).to_have_text("despair")
    hit.click()
    expect(page.locator(".w.now")).to_have_text("despair.")
    expect(page.locator(".w.hit")).to_have_count(1)
    assert abs(heard(page) - 20) < 2
    page.reload()
    expect(page.locator(".w.now")).to_have_text("despair.")


def test_what_is_said_into_the_microphone_becomes_a_job(opened: Opened, served: Served) -> None:
    page = opened()
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_label("Recorded so far")).to_have_text("0:01")
    page.get_by_role("button", name="Stop and transcribe").click()
    card = page.locator("article", has_text="Recording 20").first
    expect(card.locator(".badge")).to_have_text("done")
    newest = served.asked("/api/transcripts?limit=1")["transcripts"][0]
    assert newest["file"].endswith(".webm")
    assert newest["duration_s"] >= 1.0


def test_the_page_goes_on_by_itself_when_the_server_is_started_again(
    opened: Opened, tmp_path: Path
) -> None:
    recording = tmp_path / "long.wav"
    once, again = (hissing(speech(), seed=seed) for seed in (1, 2))
    # Long enough to begin with a short chunk; the silence costs nothing.
    recording.write_bytes(media(concatenated(once, silence(300), again)))
    with serving(tmp_path / "home") as before:
        page = opened(at=before.url)
        page.set_input_files("#files", recording)
        card = page.locator("article", has_text="long.wav").first
        log = card.get_by_role("log")
        expect(log).to_contain_text("It was the best of times")
        stop(before.process)
        expect(page.get_by_text("The server does not answer")).to_be_visible()
        with serving(tmp_path / "home", "--port", str(before.port)):
            expect(page.get_by_text("The server does not answer")).to_be_hidden()
            expect(card.locator(".badge")).to_have_text("done")
            times = [seconds(text) for text in log.locator(".time").all_inner_texts()]
            read_aloud = log.inner_text().count("spring of hope")
    assert times == sorted(times)
    assert read_aloud == 2, "something is lost, or told twice"


def seconds(clock: str) -> int:
    minutes, _, rest = clock.partition(":")
    return int(minutes) * 60 + int(rest)
