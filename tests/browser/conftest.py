"""A real browser, and a server on which one recording has been transcribed already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.serving import Api
from tests.e2e.serving import served
from tests.mediagen import recorded_speech
from tests.servers import copied
from tests.serving import Site, site

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # of which containers have too little
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE_MS: Final = 60_000  # a machine that does other things as well
START_MS: Final = 180_000
LONGEST_S: Final = 600
"""A test waits for one thing after the other, and each of them may take its time."""

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(LONGEST_S))


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM} (Debian's package chromium)")
    return {"executable_path": str(CHROMIUM), "args": list(FLAGS), "timeout": START_MS}


@pytest.fixture(scope="module")
def browser(browser_type_launch_args: dict[str, Any]) -> Iterator[Browser]:
    """One for each file: while there is one, its event loop runs in this thread, and tests of other
    files have loops of their own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**browser_type_launch_args)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page of a server at a route, in a browser that was never here before. What went
    wrong in the page, in any of its scripts, fails the test."""
    trouble: list[str] = []

    def opening(at: str, route: str = "#/transcribe", **how: Any) -> Page:
        how = {"locale": "en-GB", "viewport": {"width": 1200, "height": 900}, **how}
        page = browser.new_context(reduced_motion="reduce", **how).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(f"{at}/{route}")
        return page

    yield opening
    met = list(trouble)  # what is still being fetched when a page is closed is no trouble
    for context in browser.contexts:
        context.close()
    assert met == []


@pytest.fixture
def idle(
    browser_type_launch_args: dict[str, Any], sqlite_template: Path, tmp_path: Path
) -> Iterator[Site]:
    """A server without a worker: of its jobs becomes what the test makes of them."""
    with site(copied(sqlite_template, tmp_path / "home")) as found:
        yield found


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, browser_type_launch_args: dict[str, Any]
) -> Iterator[Api]:
    """The program as its users start it."""
    with served(tmp_path_factory.mktemp("served") / "home") as found:
        yield Api(url=found.url)


@pytest.fixture(scope="module")
def transcript(server: Api) -> str:
    """The id of a transcript of the real recording."""
    job = server.finished(server.submitted("two_cities.wav", recorded_speech().read_bytes()))
    assert job["status"] == "completed", job
    return str(job["transcript_id"])
