"""The folder store when the disk is full, or somebody else's: one sentence, and nothing half."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stretto.contexts.core.errors import CDNRefused
from stretto.contexts.external.adapters.cdn_folder import ABANDONED_S, SPOOL, FolderStore
from stretto.contexts.external.cdn_model import Content
from tests.e2e.program import without_privileges
from tests.stores import an_asset

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")

ATTEMPT = """
import json, sys
from pathlib import Path
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.external.adapters.cdn_folder import FolderStore
from stretto.contexts.external.cdn_model import Content
from tests.stores import an_asset
folder = Path(sys.argv[1])
store, data = FolderStore(folder), bytes(3_000_000)
asset = an_asset(data)
told, files = [], []
for _ in range(2):
    try:
        store.put(asset, Content.of_bytes(data), sent=lambda _: None)
        told.append(str(store.size(asset.key)))
    except StrettoError as error:
        told.append(f"{type(error).__name__}: {error}")
    files.append([path.name for path in folder.rglob("*") if path.is_file()])
    ballast = folder.parent / "ballast"
    ballast.unlink(missing_ok=True)
print(json.dumps([told, files, asset.key.value]))
"""


def test_a_full_disk_is_a_sentence_and_with_room_it_works(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("a small disk cannot be mounted: there is no unshare")
    mount = f"mount -t tmpfs -o size=5m tmpfs {shlex.quote(str(disk))}"
    trial = subprocess.run([*NAMESPACE, "sh", "-c", mount], capture_output=True, check=False)
    if trial.returncode:
        pytest.skip(f"a small disk cannot be mounted: {trial.stderr.decode().strip()}")
    script = f"""
        {mount} || exit 9
        head -c 3000000 /dev/zero > {shlex.quote(str(disk / "ballast"))}
        {shlex.join([sys.executable, "-c", ATTEMPT, str(disk / "cdn")])}
    """
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script],
        capture_output=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=True,
    )
    told, files, key = json.loads(done.stdout)
    assert told[0].startswith("StorageFull: The disk of ")
    assert "stretto cdn sync" in told[0]
    assert files[0] == []
    assert (told[1], files[1]) == ("3000000", [key.split("/")[1]])


def test_a_folder_that_may_not_be_written_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "cdn"
    folder.mkdir()
    folder.chmod(0o555)
    code = (
        "import sys; from pathlib import Path; from tests.stores import an_asset\n"
        "from stretto.contexts.external.adapters.cdn_folder import FolderStore\n"
        "from stretto.contexts.external.cdn_model import Content\n"
        "FolderStore(Path(sys.argv[1])).put(an_asset(b'x'), Content.of_bytes(b'x'), "
        "sent=lambda _: None)"
    )
    done = subprocess.run(
        [*without_privileges(), sys.executable, "-c", code, str(folder)],
        capture_output=True,
        encoding="utf-8",
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    folder.chmod(0o755)
    assert "CDNRefused: You may not write to" in done.stderr
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "cdn").write_text("no folder")
    store, asset = FolderStore(tmp_path / "cdn"), an_asset(b"x")
    with pytest.raises(CDNRefused, match="STRETTO_CDN_URL"):
        store.put(asset, Content.of_bytes(b"x"), sent=lambda _: None)


def test_who_may_read_what_was_put_there_is_the_business_of_the_umask(tmp_path: Path) -> None:
    store, asset = FolderStore(tmp_path / "cdn"), an_asset(b"x")
    before = os.umask(0o027)
    try:
        store.put(asset, Content.of_bytes(b"x"), sent=lambda _: None)
    finally:
        os.umask(before)
    assert (tmp_path / "cdn" / asset.key.value).stat().st_mode & 0o777 == 0o640


def test_what_killed_processes_left_behind_is_swept_away(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "cdn")
    with store.scratch(".ogg") as old, store.scratch(".ogg") as young:
        for path in (old, young):
            path.write_bytes(b"half")
        os.utime(old, (0, time.time() - ABANDONED_S - 1))
        with store.scratch(".ogg"):
            assert (old.exists(), young.exists()) == (False, True)
    assert list((tmp_path / "cdn" / SPOOL).iterdir()) == []
