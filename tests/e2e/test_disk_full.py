"""A full disk is one sentence, and room made is all it takes to go on."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import Known
from tests.e2e.program import command, environment, stretto
from tests.e2e.recordings import word_error_rate

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
DISK_KB = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a small disk can be mounted by a script in NAMESPACE."""
    path = tmp_path_factory.mktemp("disk")
    mount = f"mount -t tmpfs -o size={DISK_KB}k tmpfs {shlex.quote(str(path))}"
    if shutil.which("unshare") is None:
        pytest.skip("a small disk cannot be mounted: there is no unshare")
    trial = subprocess.run([*NAMESPACE, "sh", "-c", mount], capture_output=True, check=False)
    if trial.returncode:
        pytest.skip(f"a small disk cannot be mounted: {trial.stderr.decode().strip()}")
    return path


@pytest.fixture(scope="module", params=[0, 410, 460], ids="{}kB_left".format)
def tried(
    request: pytest.FixtureRequest,
    known: Known,
    disk: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Attempt, Attempt]:
    """Full at the start; after the tables were made; just before the transcript is kept."""
    folder = tmp_path_factory.mktemp("attempts")
    return attempts(known.recording, disk, folder, left_kb=request.param)


def test_a_full_data_disk_fails_and_with_room_the_same_command_works(
    tried: tuple[Attempt, Attempt],
) -> None:
    full, roomy = tried
    assert full.code == 1
    assert "is full" in full.err
    assert "Traceback" not in full.err
    assert roomy.code == 0, roomy.err
    assert word_error_rate(roomy.out) <= 0.05


def test_a_full_data_disk_is_told_in_one_sentence(tried: tuple[Attempt, Attempt]) -> None:
    full, _ = tried
    assert len(full.err.splitlines()) == 1, full.err


@pytest.mark.parametrize("tried", [410, 460], indirect=True, ids="{}kB_left".format)
def test_what_could_be_transcribed_is_given_even_if_it_cannot_be_kept(
    tried: tuple[Attempt, Attempt],
) -> None:
    full, _ = tried
    assert word_error_rate(full.out) <= 0.05


def test_a_full_output_is_one_sentence_and_the_transcript_is_kept(known: Known) -> None:
    done = stretto("transcribe", known.recording, "-q", "-o", "/dev/full", home=known.home)
    assert done.code == 1
    assert len(done.messages) == 1
    assert "'/dev/full' was not written: the disk is full" in done.err


def attempts(recording: Path, disk: Path, folder: Path, *, left_kb: int) -> tuple[Attempt, Attempt]:
    """One with ``left_kb`` of room in the data folder, and one after more room was made."""
    run = shlex.join(command("transcribe", "--quiet", recording))
    script = f"""
        mount -t tmpfs -o size={DISK_KB}k tmpfs {shlex.quote(str(disk))} || exit 9
        mkdir {shlex.quote(str(disk / "home"))}
        head -c {(DISK_KB - left_kb) * 1024} /dev/zero > {shlex.quote(str(disk / "ballast"))}
        {run} > first.out 2> first.err; echo $? > first.code
        rm {shlex.quote(str(disk / "ballast"))}
        {run} > second.out 2> second.err; echo $? > second.code
    """
    subprocess.run(
        [*NAMESPACE, "sh", "-c", script],
        env=environment(disk / "home"),
        cwd=folder,
        timeout=120,
        check=True,
    )

    def attempt(name: str) -> Attempt:
        code, out, err = ((folder / f"{name}.{end}").read_text() for end in ("code", "out", "err"))
        return Attempt(code=int(code), out=out, err=err)

    return attempt("first"), attempt("second")
