"""The checks of `stretto doctor` that look at the machine: processor, memory, disk, codecs."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from stretto.contexts.database.model import JournalMode, journal_mode
from stretto.interfaces.cli.doctor_checks import Check, CheckState, Configuration
from stretto.interfaces.cli.models import megabytes

OLDEST_PYTHON: Final = (3, 11)
LEAST_MEMORY_BYTES: Final = 600_000_000
"""What transcribing with a small model takes at most, however long the recording is."""

LEAST_SPACE_BYTES: Final = 500_000_000
DECODERS: Final = ("mp3", "aac", "opus", "flac", "vorbis")
FAST_FEATURES: Final = ("avx512f", "avx2", "avx", "sse4_1", "asimd", "neon")


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    found = ".".join(map(str, version))
    if version >= OLDEST_PYTHON:
        return Check(name="Python", state=CheckState.OK, found=found)
    advice = "Install Python 3.11 or newer, and Stretto into that one."
    return Check(name="Python", state=CheckState.BROKEN, found=found, advice=advice)


def check_processor() -> Check:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    flags = _processor_flags()
    fast = [feature for feature in FAST_FEATURES if feature in flags]
    found = f"{cores} cores, {platform.machine()}" + (f", {' '.join(fast)}" if fast else "")
    slow = bool(flags) and not {"avx2", "avx512f", "asimd", "neon"} & flags
    advice = "Without AVX2 transcribing is slow; choose a small model." if slow else ""
    return Check(name="processor", state=CheckState.OK, found=found, advice=advice, needed=False)


def check_memory() -> Check:
    available = _available_memory_bytes()
    if available is None:
        return Check(name="memory", state=CheckState.OK, found="unknown", needed=False)
    enough = available >= LEAST_MEMORY_BYTES
    return Check(
        name="memory",
        state=CheckState.OK if enough else CheckState.MISSING,
        found=f"{megabytes(available)} available",
        advice="" if enough else "Close other programs, or choose a small model such as tiny.en.",
        needed=False,
    )


def check_codecs() -> Check:
    try:
        import av
        from av.codec import Codec
    except ImportError as error:
        advice = "Reinstall PyAV: pip install --force-reinstall av"
        found = f"PyAV cannot be imported: {error}"
        return Check(name="codecs", state=CheckState.BROKEN, found=found, advice=advice)
    missing = []
    for decoder in DECODERS:
        try:
            Codec(decoder, "r")
        except ValueError:
            missing.append(decoder)
    found = f"PyAV {av.__version__}: " + ", ".join(d for d in DECODERS if d not in missing)
    if not missing:
        return Check(name="codecs", state=CheckState.OK, found=found)
    advice = f"No decoder for {', '.join(missing)}; reinstall: pip install --force-reinstall av"
    return Check(name="codecs", state=CheckState.MISSING, found=found, advice=advice, needed=False)


def check_data_folder(settings: Configuration) -> Check:
    """Writes a file without a name where the data is, or where its folder would be created."""
    home = settings.home
    advice = f"Make {home} writable, or set STRETTO_HOME to another folder."
    try:
        existing = next(path for path in (home, *home.parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"stretto")
        free = shutil.disk_usage(existing).free
    except (OSError, StopIteration) as error:
        return Check(
            name="data folder",
            state=CheckState.BROKEN,
            found=f"{home} cannot be written to: {getattr(error, 'strerror', None) or error}",
            advice=advice,
        )
    found = f"{home}, {megabytes(free) if free else '0 MB'} free"
    if free >= LEAST_SPACE_BYTES:
        return Check(name="data folder", state=CheckState.OK, found=found)
    return Check(
        name="data folder",
        state=CheckState.MISSING,
        found=found,
        advice="Free some space, or set STRETTO_HOME to a folder with more.",
        needed=free < LEAST_SPACE_BYTES // 10,
    )


def check_sqlite(
    version: tuple[int, int, int] = sqlite3.sqlite_version_info,
) -> Check:
    number = ".".join(map(str, version))
    if journal_mode(version) is JournalMode.WAL:
        return Check(name="SQLite", state=CheckState.OK, found=f"{number}, write-ahead log")
    return Check(
        name="SQLite",
        state=CheckState.OK,
        found=f"{number}, rollback journal",
        advice="Nothing has to be done: the write-ahead log of this release can corrupt data and "
        "is not used. A Python with SQLite 3.51.3, 3.50.7 or 3.44.6 keeps results a bit faster.",
    )


def _processor_flags() -> set[str]:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("flags", "features")):
                return set(line.lower().split())
    return set()


def _available_memory_bytes() -> int | None:
    """What the system has left, or the control group of this process if that is less."""
    amounts = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kilobytes = next((x.split()[1] for x in lines if x.startswith("MemAvailable:")), "")
        amounts.append(int(kilobytes) * 1024)
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="utf-8"))
        used = int((group / "memory.current").read_text(encoding="utf-8"))
        amounts.append(max(0, limit - used))
    return min(amounts, default=None)
