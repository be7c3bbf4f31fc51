"""A real browser, and a server on which one recording has been transcribed already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.serving import Served, serving
from tests.mediagen import recorded_speech

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE_MS: Final = 60_000  # a machine that does other things as well

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM} (Debian's package chromium)")
    return {"executable_path": str(CHROMIUM), "args": list(FLAGS)}


@pytest.fixture(scope="module")
def browser(browser_type_launch_args: dict[str, Any]) -> Iterator[Browser]:
    """One for each file: while there is one, its event loop runs in this thread, and tests of other
    files have loops of their own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**browser_type_launch_args)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Opens the page at a route, in a browser that was never here before. What went wrong in the
    page, in any of its scripts, fails the test."""
    contexts: list[BrowserContext] = []
    trouble: list[str] = []

    def opening(route: str = "#/transcribe", *, at: str = served.url, **how: Any) -> Page:
        how = {"locale": "en-GB", "viewport": {"width": 1200, "height": 900}, **how}
        context = browser.new_context(reduced_motion="reduce", **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(f"{at}/{route}")
        return page

    yield opening
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, browser_type_launch_args: dict[str, Any]
) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served") / "home") as served:
        yield served


@pytest.fixture(scope="session")
def transcript(served: Served) -> str:
    """The id of a transcript of the real recording."""
    job = served.finished(served.submitted("two_cities.wav", recorded_speech().read_bytes()))
    assert job["status"] == "completed", job
    return str(job["transcript_id"])
