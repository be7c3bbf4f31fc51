"""The page is for everybody: whatever they see with, and whatever a stranger has named a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import axe_playwright_python
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.serving import Api
from tests.servers import copied
from tests.serving import Site, site

Opened = Callable[..., Page]

AXE: Final = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
VIEWS: Final = {
    "#/transcribe": "article .badge",
    "#/library": "a.item",
    "#/library?q=despair": ".hits mark",
    "#/queue": ".groups > *",
    "#/queue?tab=finished": "[data-key=completed] article",
    "#/queue?tab=dead": "[data-key=dead], .empty",
    "#/dashboard": ".tile",
    "#/read/{id}?t=9&q=times": ".w.now",
}
"""Routes, and what is there when all that a view asks for has come."""

FIRST_LOAD_BYTES: Final = 150_000
INTERACTIVE_S: Final = 30.0
"""Whatever else the machine does; `python -m benchmarks.server` measures it."""

LOADED: Final = """() => {
    const all = (kind) => performance.getEntriesByType(kind);
    const entries = [...all("navigation"), ...all("resource")];
    const bytes = entries.reduce((sum, entry) => sum + entry.decodedBodySize, 0);
    return {bytes, interactive_s: performance.getEntriesByName("interactive")[0].startTime / 1000};
}"""
HOSTILE: Final = "<img src=x onerror=hacked=1>'\"><script>hacked=1</script>{{7*7}}.wav"


def views(page: Page, transcript: str) -> Iterator[str]:
    """Goes to one view after the other, and waits until it is drawn."""
    for route, drawn in VIEWS.items():
        page.goto(page.url.partition("#")[0] + route.format(id=transcript))
        expect(page.locator(drawn).first).to_be_visible()
        yield route


def violations(page: Page) -> list[tuple[str, str]]:
    """What axe-core has to say, WCAG 2.2 at level AA and what it calls good practice."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")["violations"]
    return [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_keeps_anybody_out(
    opened: Opened, server: Api, transcript: str, theme: str
) -> None:
    page = opened(server.url, color_scheme=theme)
    for view in views(page, transcript):
        assert violations(page) == [], view
    page.get_by_role("button", name="Edit").click()
    assert violations(page) == [], "editing"
    page.get_by_role("button", name="Keyboard").click()
    assert violations(page) == [], "the dialog"


def test_a_phone_never_scrolls_sideways(opened: Opened, server: Api, transcript: str) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    page = opened(server.url, locale="ru-RU", **phone)
    for view in views(page, transcript):
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view


def test_the_first_load_is_small_quick_and_from_here_alone(opened: Opened, idle: Site) -> None:
    page = opened(idle.url, "health")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{idle.url}/")
    page.get_by_role("button", name="Record").wait_for()
    page.wait_for_load_state("networkidle")
    loaded = page.evaluate(LOADED)
    assert [url for url in asked if not url.startswith(idle.url)] == []
    assert 20_000 < loaded["bytes"] <= FIRST_LOAD_BYTES
    assert loaded["interactive_s"] <= INTERACTIVE_S


def hostile(value: Any) -> Any:
    """An answer of the server in which every name is an attack."""
    if isinstance(value, list):
        return [hostile(one) for one in value]
    if isinstance(value, dict):
        names = {"file", "text", "word", "message", "trace", "host", "detail"}
        return {
            key: HOSTILE if key in names and isinstance(one, str) else hostile(one)
            for key, one in value.items()
        }
    return value


def test_hostile_names_and_texts_are_shown_and_run_nothing(
    opened: Opened, server: Api, transcript: str
) -> None:
    def spoilt(route: Route) -> None:
        if route.request.resource_type != "fetch":
            route.continue_()
            return
        answer = route.fetch()
        route.fulfill(response=answer, json=hostile(answer.json()))

    page = opened(server.url)
    page.route("**/api/**", spoilt)
    try:
        page.reload()
        for view in views(page, transcript):
            assert page.evaluate("typeof hacked") == "undefined", view
            assert page.locator("main :is(img, script, iframe)").count() == 0, view
        expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    finally:
        page.unroute_all(behavior="ignoreErrors")


def test_the_choice_of_language_and_light_stays(opened: Opened, idle: Site) -> None:
    page = opened(idle.url)
    page.get_by_role("button", name="Русский").click()
    page.get_by_role("button", name="Тёмная тема").click()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Распознать речь")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("lang", "ru")


def test_a_server_with_keys_asks_for_one(
    opened: Opened, sqlite_template: Path, tmp_path: Path
) -> None:
    with site(copied(sqlite_template, tmp_path / "home"), key_needed=True) as locked:
        page = opened(locked.url, "#/library")
        page.get_by_label("Key", exact=True).fill("stretto_wrong")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("alert")).to_have_text("The server does not know this key.")
        page.get_by_label("Key", exact=True).fill(locked.key("anna"))
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("Your library is empty")).to_be_visible()
        page.reload()
        expect(page.get_by_text("Your library is empty")).to_be_visible()
