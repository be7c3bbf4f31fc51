"""How loud recordings are: found out once, for all who ask, and held up by no other recording."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap.listening import BESIDE, MOST_BYTES, MOST_STEPS, Outline, measure
from stretto.contexts.core.errors import MediaNotRecognised
from stretto.contexts.core.identifiers import FileHash
from stretto.contexts.processing.recordings import Recording
from stretto.interfaces.http.drawing import (
    FAILED_FOR_S,
    MOST_AT_ONCE,
    MOST_OF_ONE_OWNER,
    Drawing,
    measured_apart,
)
from tests.mediagen import media, tone
from tests.server.test_transcripts import spoken
from tests.serving import Site

ENDS_S = 60.0
LOUD = {"duration_s": 1.0, "steps": [0.25]}


@dataclass
class Measuring:
    """Writes down the same of each recording, as soon as it may; of those that are ``broken``
    nothing."""

    may: dict[Path, asyncio.Event] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)
    asked: list[Path] = field(default_factory=list)

    async def __call__(self, path: Path) -> None:
        self.asked.append(path)
        if path in self.may:
            await self.may[path].wait()
        if path not in self.broken:
            (path.parent / BESIDE).write_text(json.dumps(LOUD))

    async def has_begun(self, path: Path) -> None:
        while path not in self.asked:
            await asyncio.sleep(0.005)


@pytest.fixture
def shelved(tmp_path: Path) -> Callable[..., Recording]:
    def made(name: str, owner: str = "anna") -> Recording:
        path = tmp_path / owner / name / f"{name}.wav"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"sound")
        return Recording(owner=owner, file_hash=FileHash("a" * 64), path=path, size_bytes=5)

    return made


def over(work: Coroutine[Any, Any, None]) -> None:
    """Within a time."""

    async def bounded() -> None:
        await asyncio.wait_for(work, ENDS_S)

    asyncio.run(bounded())


def test_a_recording_is_decoded_once_for_all_who_ask(shelved: Callable[..., Recording]) -> None:
    talk, measuring = shelved("talk"), Measuring()

    async def asked() -> None:
        drawing = Drawing(measuring)
        measuring.may[talk.path] = asyncio.Event()
        waiting = [asyncio.create_task(drawing.loudness(talk)) for _ in range(5)]
        await measuring.has_begun(talk.path)
        waiting.pop().cancel()  # somebody leaves
        measuring.may[talk.path].set()
        found = await asyncio.gather(*waiting)
        found.append(await drawing.loudness(talk))
        assert [one.steps for one in found] == [(0.25,)] * 5

    over(asked())
    assert measuring.asked == [talk.path]


def test_what_cannot_be_drawn_is_tried_again_when_it_has_changed_or_an_hour_later(
    shelved: Callable[..., Recording],
) -> None:
    page, now = shelved("page"), [0.0]
    measuring = Measuring(broken={page.path})

    async def asked() -> None:
        drawing = Drawing(measuring, clock=lambda: now[0])
        for tries, happens in (
            (1, lambda: None),
            (1, lambda: None),
            (2, lambda: page.path.write_bytes(b"another")),
            (2, lambda: now.append(now.pop() + FAILED_FOR_S - 1)),
            (3, lambda: now.append(now.pop() + 1)),
        ):
            happens()
            with pytest.raises(MediaNotRecognised, match=r"page\.wav"):
                await drawing.loudness(page)
            assert len(measuring.asked) == tries
        page.path.unlink()
        with pytest.raises(MediaNotRecognised):
            await drawing.loudness(page)

    over(asked())


@pytest.mark.parametrize("owner", ["anna", "boris"])
def test_a_long_one_holds_no_other_up(shelved: Callable[..., Recording], owner: str) -> None:
    long, short, measuring = shelved("week"), shelved("minute", owner), Measuring()

    async def asked() -> None:
        drawing = Drawing(measuring)
        measuring.may[long.path] = asyncio.Event()
        waiting = asyncio.create_task(drawing.loudness(long))
        await measuring.has_begun(long.path)
        assert (await drawing.loudness(short)).duration_s == 1.0
        assert not waiting.done()
        measuring.may[long.path].set()
        await waiting

    over(asked())


def test_a_few_are_decoded_at_once_and_fewer_of_one_owner(
    shelved: Callable[..., Recording],
) -> None:
    all_of_them = [shelved(f"talk{n}", f"owner{n % 4}") for n in range(24)]
    going_on: Counter[str] = Counter()
    seen: list[Counter[str]] = []

    async def measure(path: Path) -> None:
        owner = path.parent.parent.name
        going_on[owner] += 1
        seen.append(going_on.copy())
        await asyncio.sleep(0.01)
        going_on[owner] -= 1
        (path.parent / BESIDE).write_text(json.dumps(LOUD))

    async def asked() -> None:
        drawing = Drawing(measure)
        await asyncio.gather(*(drawing.loudness(one) for one in all_of_them))

    over(asked())
    assert len(seen) == len(all_of_them)
    assert max(one.total() for one in seen) <= MOST_AT_ONCE
    assert max(max(one.values()) for one in seen) <= MOST_OF_ONE_OWNER


def test_its_process_ends_with_whoever_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = tmp_path / "endless.wav"
    with endless.open("wb") as file:
        os.truncate(file.fileno(), 50 << 30)  # takes no room; it is read as a whole first
    processes: list[Process] = []
    start = asyncio.create_subprocess_exec

    async def started(*command: str, **how: Any) -> Process:
        processes.append(await start(*command, **how))
        return processes[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)

    async def left() -> None:
        work = asyncio.create_task(measured_apart(endless))
        while not processes:
            await asyncio.sleep(0.005)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert processes[0].returncode == -signal.SIGKILL

    over(left())


def test_however_long_it_is_it_has_so_many_steps_and_the_highest_in_its_place() -> None:
    outline, fine = Outline(), 5 * MOST_STEPS + 7
    for number in range(fine):
        outline.add(16_384 if number in (0, fine // 2, fine - 1) else 0)
    steps = outline.steps()
    assert MOST_STEPS // 2 <= len(steps) <= MOST_STEPS
    high = [place for place, highest in enumerate(steps) if highest]
    assert [steps[place] for place in high] == [0.5] * 3
    assert high == [0, pytest.approx(len(steps) / 2, abs=1), len(steps) - 1]


def test_a_short_one_has_a_step_for_each_twentieth_of_a_second(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(media(tone(1.0)))
    measure(path)
    kept = json.loads((tmp_path / BESIDE).read_text())
    assert kept == {"duration_s": 1.0, "steps": [pytest.approx(0.244, abs=0.01)] * 20}


def test_what_an_earlier_version_wrote_of_a_long_one_is_drawn_anew(open_site: Site) -> None:
    sound, client = media(tone(1.0)), open_site.client()
    client.post("/api/jobs", files={"file": ("talk.wav", sound)})
    transcript = spoken("one", sound=sound)
    kept = open_site.keep(transcript)
    recording = open_site.serving.recordings.find("", transcript.file_hash)
    assert recording is not None
    beside = recording.path.parent / BESIDE
    beside.write_text(json.dumps({"duration_s": 15_000.0, "steps": [0.1] * 300_000}))
    drawn = client.get(f"/api/transcripts/{kept}/peaks?points=10").json()
    assert drawn["duration_s"] == pytest.approx(1.0)
    assert beside.stat().st_size < MOST_BYTES


def test_what_is_no_recording_is_not_drawn(open_site: Site) -> None:
    page, client = b"<script>alert(1)</script>", open_site.client()
    client.post("/api/jobs", files={"file": ("talk.html", page)})
    kept = open_site.keep(spoken("one", sound=page))
    for _ in range(2):
        assert client.get(f"/api/transcripts/{kept}/peaks").status_code == 400
