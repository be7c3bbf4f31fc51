"""Uploads by the official client of tus, which knows nothing of us."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.serving import Site

HERE: Final = Path(__file__).parent / "tus"
CONTENT: Final = os.urandom(1_234_567)
INSTALL_S: Final = 90
RUN_S: Final = 150


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the client is installed as it is locked."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no node and npm (Debian's packages nodejs and npm)")
    folder = tmp_path_factory.mktemp("tus") / "client"
    shutil.copytree(HERE, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    try:
        done = subprocess.run(
            [npm, "ci", *quiet],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"tus-js-client was not installed within {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"tus-js-client cannot be installed here: {done.stderr[-300:]}")
    return folder


@pytest.mark.timeout(INSTALL_S + RUN_S + 120)
def test_the_official_client_uploads_in_all_its_ways(
    client: Path, open_site: Site, tmp_path: Path
) -> None:
    recording = tmp_path / "recording.wav"
    recording.write_bytes(CONTENT)
    run = ["node", "uploads.js", f"{open_site.url}/api/uploads", str(recording)]
    done = subprocess.run(
        run, cwd=client, capture_output=True, text=True, check=False, timeout=RUN_S
    )
    assert done.returncode == 0, done.stderr
    ways: dict[str, Any] = {one["way"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert list(ways) == ["in pieces", "with its creation", "resumed", "dropped"]
    asking, digest = open_site.client(), hashlib.sha256(CONTENT).hexdigest()
    for way in ("in pieces", "with its creation", "resumed"):
        upload = asking.get(ways[way]["url"]).json()
        assert upload["file_hash"] == digest, way
        assert upload["file"] == "Доклад.wav"
    assert ways["in pieces"]["offsets"] == [300_000, 600_000, 900_000, 1_200_000, len(CONTENT)]
    assert ways["resumed"]["begun"] == [300_000, 600_000, 900_000]
    assert ways["resumed"]["offsets"][0] == 1_200_000, "it began anew"
    assert asking.get(ways["dropped"]["url"]).status_code == 404
