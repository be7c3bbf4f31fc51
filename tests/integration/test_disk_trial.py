"""Whether a disk takes what is written is tried out: free space says nothing of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stretto.bootstrap.clock import now
from stretto.bootstrap.disk_check import KNOWN_S, DiskCheck
from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.processing.adapters.recording_files import RecordingFiles

LIMITED = """
import resource, sys
from pathlib import Path
from stretto.contexts.core.errors import StorageFull
from stretto.contexts.processing.adapters.recording_files import RecordingFiles
files = RecordingFiles(Path(sys.argv[1]), clock=lambda: None)
files.try_out()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
assert files.free_bytes() > 0
try:
    files.try_out()
except StorageFull as error:
    print(error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
files.try_out()
"""


def test_a_disk_that_takes_writes_keeps_nothing_of_the_trial(tmp_path: Path) -> None:
    RecordingFiles(tmp_path / "recordings", clock=now).try_out()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_disk_with_room_that_takes_nothing_is_named_and_well_again_when_it_does(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "recordings")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"Nothing can be written below {tmp_path / 'recordings'}: ")
    assert told.strip().endswith("Free some space.")


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file")
    with pytest.raises(StorageUnavailable, match="Check the disk it lies on"):
        RecordingFiles(tmp_path / "recordings", clock=now).try_out()


def test_a_server_tries_its_disk_out_now_and_then_however_often_it_is_asked(
    tmp_path: Path,
) -> None:
    folder, moment = tmp_path / "recordings", 0.0
    check = DiskCheck(RecordingFiles(folder, clock=now), clock=lambda: moment)
    assert check() == ""
    folder.rename(tmp_path / "away")
    folder.write_text("a file in the place of the folder")
    assert check() == ""
    moment += KNOWN_S
    assert "Check the disk" in check()
    folder.unlink()
    moment += KNOWN_S
    assert check() == ""
