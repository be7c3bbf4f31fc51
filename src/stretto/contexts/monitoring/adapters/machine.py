"""What the machine says of itself: free disk, and the memory of this process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")


def disk_free(folder: Path) -> tuple[float, float]:
    """Free bytes of the disk on which the folder lies, or would, and their share of it.

    Raises OSError.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(there)
    return float(usage.free), usage.free / usage.total if usage.total else 1.0


def memory_bytes() -> float | None:
    """What the process has in memory; None where the system does not say."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
