"""Starts `stretto serve` as its users do, and ends it as they do."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.program import command, environment


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that runs; ``said`` is what it wrote to standard error so far."""

    url: str
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)


@contextmanager
def served(home: Path, *options: str, **variables: str) -> Iterator[Served]:
    """It has to end in peace, and to have met no bug."""
    process = subprocess.Popen(
        command("serve", "--port", "0", *options),
        stderr=subprocess.PIPE,
        env={**environment(home), **variables},
        encoding="utf-8",
    )
    assert process.stderr is not None
    found = _announced(process)
    reading = threading.Thread(target=lambda: found.said.extend(process.stderr or ()))
    reading.start()
    try:
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(40)
        reading.join(10)
        process.stderr.close()
    assert code == 0
    assert "Traceback" not in "".join(found.said), "".join(found.said)


def _announced(process: subprocess.Popen[str]) -> Served:
    """Once it says where it listens; what it logs may come before."""
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if "listens at" in line:
                return Served(url=line.split()[-1], process=process, said=said)
        raise AssertionError("".join(said))
    except BaseException:
        process.kill()
        process.wait()
        process.stderr.close()
        raise
