"""The queue as people steer it, and the jobs that were given up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.serving import Api, Served
from tests.mediagen import media, silence
from tests.serving import site

Opened = Callable[..., Page]


def test_jobs_wait_by_priority_and_can_be_cancelled_and_tried_again(
    opened: Opened, tmp_path: Path
) -> None:
    recording = media(silence(1.0))
    with site(tmp_path / "home") as idle:
        for priority in ("low", "high", "medium"):
            Api(url=idle.url).submitted(f"{priority}.wav", recording, priority=priority)
        page = opened("#/queue", at=idle.url)
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
        expect(page.locator("article", has_text="high.wav").locator(".badge")).to_have_text(
            "waiting"
        )


def test_a_job_that_was_given_up_says_why_and_can_be_tried_again_or_forgotten(
    opened: Opened, served: Served
) -> None:
    job = served.submitted("notes.wav", b"these are notes, and nobody speaks in them")
    assert served.finished(job)["status"] == "failed"
    page = opened("#/queue?tab=dead")
    row = page.locator("article", has_text="notes.wav")
    expect(row).to_contain_text("Another try would not help.")
    expect(row).to_contain_text("is no audio or video")

    row.get_by_role("button", name="Details: notes.wav").click()
    expect(page.get_by_role("dialog")).to_contain_text("MediaNotRecognised")
    page.get_by_role("button", name="Close").click()
    row.get_by_role("button", name="Try again: notes.wav").click()
    expect(page.get_by_text("notes.wav is in the queue again.")).to_be_visible()
    assert served.finished(job)["errors"] >= 1

    expect(row).to_be_visible()
    row.get_by_role("button", name="Forget: notes.wav").click()
    page.get_by_role("button", name="Keep it").click()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Forget: notes.wav").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(page.get_by_text("Nothing was given up")).to_be_visible()
