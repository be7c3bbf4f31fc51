"""How soon somebody can use the page who opens it for the first time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.figures import Figure
from benchmarks.server_site import Size, at_most, served

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
LOADED: Final = """() => {
    const all = (kind) => performance.getEntriesByType(kind);
    const entries = [...all("navigation"), ...all("resource")];
    const bytes = entries.reduce((sum, entry) => sum + entry.decodedBodySize, 0);
    return [bytes, performance.getEntriesByName("interactive")[0].startTime / 1000];
}"""


def page(size: Size) -> list[Figure]:
    """In a browser that was never here before, several times; nothing without a browser."""
    if not CHROMIUM.exists():
        print(f"The page is not measured: there is no browser at {CHROMIUM}.")
        return []
    from playwright.sync_api import sync_playwright

    loads = []
    with served("--jobs", "0") as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for _ in range(size.loads):
            shown = browser.new_context().new_page()
            shown.goto(f"{site.url}/")
            shown.get_by_role("button", name="Record").wait_for()
            shown.wait_for_load_state("networkidle")
            loads.append(shown.evaluate(LOADED))
            shown.context.close()
        browser.close()
    slowest = max(seconds for _, seconds in loads)
    return [
        at_most("page: interactive, slowest", slowest, "s", 1.0, loads=len(loads)),
        at_most("page: first load", max(size for size, _ in loads) / 1000, "KB", 150),
    ]
