"""One data folder in which the recording is known already, and the recordings themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.program import Finished, stretto
from tests.e2e.recordings import long_speech, speech
from tests.mediagen import Samples, media, recorded_speech


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """``first`` is the run that computed everything in ``home``."""

    home: Path
    recording: Path
    first: Finished


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    home, recording = tmp_path_factory.mktemp("known") / "home", recorded_speech()
    first = stretto("transcribe", recording, "--format", "json", "--words", home=home, imports=True)
    assert first.code == 0, first.err
    return Known(home=home, recording=recording, first=first)


@pytest.fixture(scope="session")
def spoken() -> Samples:
    return speech()


@pytest.fixture(scope="session")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.wav"
    path.write_bytes(media(long_speech()))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder in which nothing is known."""
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def _the_small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is installed: these tests are about English, and time."""
    monkeypatch.setenv("STRETTO_MODEL", "tiny.en")
