"""The queue as people steer it, and the jobs that were given up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect

from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import JobError
from tests.browser.serving import Api
from tests.fakes.shelf import Shelf, at_home, whole
from tests.mediagen import media, silence
from tests.servers import copied
from tests.serving import Site, finish, site

Opened = Callable[..., Page]

NO_MEDIA: Final = JobError(
    kind="MediaNotRecognised",
    message="notes.wav is no audio or video.",
    trace="Traceback (most recent call last):\nMediaNotRecognised: notes.wav is no audio or video.",
)


def test_jobs_wait_by_priority_and_can_be_cancelled_and_tried_again(
    opened: Opened, idle: Site
) -> None:
    recording = media(silence(1.0))
    for priority in ("low", "high", "medium"):
        Api(url=idle.url).submitted(f"{priority}.wav", recording, priority=priority)
    page = opened(idle.url, "#/queue")
    expect(page.locator("section h2")).to_have_text(
        [f"Waiting, {name} priority · 1" for name in ("high", "medium", "low")]
    )

    page.get_by_role("button", name="Cancel: high.wav").click()
    expect(page.locator("article", has_text="high.wav")).to_have_count(0)
    page.get_by_role("link", name="Finished").click()
    expect(page.locator("section h2")).to_have_text(["Cancelled · 1"])
    page.reload()
    page.get_by_role("button", name="Try again: high.wav").click()
    expect(page.get_by_text("Nothing is finished yet")).to_be_visible()
    page.get_by_role("link", name="Active").click()
    expect(page.locator("article", has_text="high.wav").locator(".badge")).to_have_text("waiting")


def test_a_job_that_was_given_up_says_why_and_can_be_tried_again_or_forgotten(
    opened: Opened, idle: Site
) -> None:
    job = idle.job("/nowhere/notes.wav")
    finish(idle, job, JobStatus.FAILED, error=NO_MEDIA)
    page = opened(idle.url, "#/queue?tab=dead")
    row = page.locator("article", has_text="notes.wav")
    expect(row).to_contain_text("Another try would not help.")
    expect(row).to_contain_text("is no audio or video")

    row.get_by_role("button", name="Details: notes.wav").click()
    expect(page.get_by_role("dialog")).to_contain_text("MediaNotRecognised")
    page.get_by_role("button", name="Close").click()
    row.get_by_role("button", name="Try again: notes.wav").click()
    expect(page.get_by_text("Nothing was given up")).to_be_visible()
    finish(idle, job, JobStatus.FAILED, error=NO_MEDIA)

    expect(row).to_be_visible()
    row.get_by_role("button", name="Forget: notes.wav").click()
    page.get_by_role("button", name="Keep it").click()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Forget: notes.wav").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(page.get_by_text("Nothing was given up")).to_be_visible()


def test_a_recording_at_an_address_is_fetched_by_the_server_or_it_is_said_why_not(
    opened: Opened, shelf: Shelf, sqlite_template: Path, tmp_path: Path
) -> None:
    home = copied(sqlite_template, tmp_path / "home")
    shelf.behaviours = {"/talk.mp3": whole, "/gone.mp3": lambda handler: handler.begin(404)}
    with site(home, settings={"outgoing_allow": "127.0.0.0/8"}, resolve=at_home) as found:
        page = opened(found.url)
        page.get_by_label("Address of a recording").fill(shelf.url("/gone.mp3"))
        page.keyboard.press("Enter")
        refused = page.locator("article", has_text="/gone.mp3")
        expect(refused.locator(".error")).to_contain_text("404")
        refused.get_by_role("button", name="Cancel").click()

        page.get_by_label("Address of a recording").fill(shelf.url("/talk.mp3"))
        page.get_by_role("button", name="Fetch").click()
        card = page.locator("article", has_text="talk.mp3")
        expect(card.locator(".badge")).to_have_text("waiting")
        expect(card).to_have_count(1)
        expect(page.get_by_label("Address of a recording")).to_have_value("")
