"""Makes the pictures of the page, docs/images/page-*.png, from the running program."""

import json
import os
import re
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
LARGEST_BYTES = 200_000
LONG = 10
WIDE = {"width": 1180, "height": 820}
PHONE = {"width": 390, "height": 800}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder)
        recording, long = recordings(home)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with served(home / "home") as url:
            work(browser, url, recording, long)
        browser.close()


def recordings(folder: Path) -> tuple[Path, Path]:
    """The demo recording under the name of its book, and a long one made of it."""
    command = [sys.executable, str(ROOT / "scripts" / "demo_recording.py")]
    demo = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    once, long = folder / "A Tale of Two Cities.wav", folder / "Reading evening.wav"
    once.write_bytes(Path(demo).read_bytes())
    with wave.open(demo) as source, wave.open(str(long), "wb") as target:
        target.setparams(source.getparams())
        sound = source.readframes(source.getnframes())
        for _ in range(LONG):
            target.writeframes(sound)
    return once, long


@contextmanager
def served(home: Path) -> Iterator[str]:
    settings = {"STRETTO_HOME": str(home), "STRETTO_OFFLINE": "1", "STRETTO_MODEL": "tiny.en"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stretto", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        env={**os.environ, **settings},
        encoding="utf-8",
    )
    try:
        assert process.stderr is not None
        announced = re.search(r"http://\S+", process.stderr.readline())
        assert announced is not None
        yield announced[0]
    finally:
        process.terminate()
        process.wait(timeout=60)


def work(browser: Browser, url: str, recording: Path, long: Path) -> None:
    page = browser.new_page(viewport=WIDE, locale="en-GB")
    page.goto(url)
    page.set_input_files("#files", recording)
    expect(page.locator(".badge")).to_have_text("done", timeout=60_000)
    page.set_input_files("#files", long)
    card = page.locator("article", has_text=long.name)
    expect(card.get_by_role("log")).to_contain_text("age of foolishness", timeout=60_000)
    card.evaluate("card => scrollTo(0, card.getBoundingClientRect().top + scrollY - 500)")
    picture(page, "page-transcribe")
    expect(card.locator(".badge")).to_have_text("done", timeout=180_000)

    summaries = json.loads(page.request.get(f"{url}/api/transcripts").text())["transcripts"]
    book = next(one["id"] for one in summaries if one["file"] == recording.name)
    read(page, f"{url}/#/read/{book}?t=21.9")
    picture(page, "page-read")
    page.goto(f"{url}/#/library?q=age")
    expect(page.locator("mark").first).to_be_visible()
    picture(page, "page-library")
    page.goto(f"{url}/#/dashboard")
    expect(page.locator(".tile")).not_to_have_count(0)
    picture(page, "page-dashboard")

    phone = browser.new_page(viewport=PHONE, locale="en-GB", color_scheme="dark")
    read(phone, f"{url}/#/read/{book}?t=21.9")
    picture(phone, "page-phone")


def read(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".w.now")).to_be_visible()
    expect(page.locator("wave-form path.wave").first).to_have_attribute("d", re.compile("M"))


def picture(page: Page, name: str) -> None:
    path = IMAGES / f"{name}.png"
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        sys.exit(f"{path} has {size} bytes, more than {LARGEST_BYTES}.")
    sys.stdout.write(f"{path.relative_to(ROOT)}: {size} bytes\n")


if __name__ == "__main__":
    main()
