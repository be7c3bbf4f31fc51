"""Whoever names a recording does not command the terminal of whoever transcribes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.program import shown_on_a_terminal, stretto
from tests.mediagen import media, silence

HOSTILE = "\x1b]0;x\x07\x1b[2Jtalk\nstretto: forged"
"""Names the window, clears the screen, and adds a line."""


@pytest.mark.parametrize(
    "arguments",
    [
        ("transcribe", "talk", "broken"),
        ("transcribe", "--quiet", "broken"),
        ("transcribe", "--debug", "broken"),
        ("transcribe", "--plan", "talk", "missing"),
        ("submit", "missing"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("on", ["a pipe", "a terminal"])
def test_the_name_of_a_file_is_only_shown(
    tmp_path: Path, home: Path, arguments: tuple[str, ...], on: str
) -> None:
    files = {name: tmp_path / f"{HOSTILE} {name}.wav" for name in ("talk", "broken", "missing")}
    files["talk"].write_bytes(media(silence(1)))
    files["broken"].write_bytes(b"RIFF")
    typed = [files.get(word, word) for word in arguments]
    if on == "a pipe":
        done = stretto(*typed, home=home)
        shown = done.out + done.err
    else:
        _, shown = shown_on_a_terminal(*typed, home=home)
    for command in ("\x1b]0;", "\x1b[2J", "\x07"):
        assert command not in shown
    assert [line for line in shown.splitlines() if line.startswith("stretto: forged")] == []
    assert "forged" in shown
