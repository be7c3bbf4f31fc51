"""Starts `stretto serve` as its users do, and ends it as they do."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.e2e.program import command, environment

LEAVES_S: Final = 90.0
"""It gives its worker half a minute to hand back what it has; the machine may be busy besides."""

_ADDRESS: Final = re.compile(r"listens at (http://\S+)")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that runs; ``said`` is what it wrote to standard error so far."""

    url: str
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def served(home: Path, *options: str, **variables: str) -> Iterator[Served]:
    """A server on a free port of the loopback interface, until the block ends. It has to end in
    peace, and to have met no bug."""
    with may_die(home, *options, **variables) as found:
        yield found
    assert found.process.returncode == 0, "".join(found.said)
    assert "Traceback" not in "".join(found.said), "".join(found.said)


@contextmanager
def may_die(home: Path, *options: str, **variables: str) -> Iterator[Served]:
    """The same without a word about how it ends. Whatever happens here, no process and no pipe is
    left behind."""
    chosen = options if "--port" in options else ("--port", "0", *options)
    process = subprocess.Popen(
        command("serve", *chosen),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**environment(home), **variables},
        encoding="utf-8",
    )
    assert process.stderr is not None
    said: list[str] = []
    announced = threading.Event()

    def listen() -> None:
        """To all it says, so that no full pipe ever holds it up."""
        for line in process.stderr or ():
            said.append(line)
            if _ADDRESS.search(line):
                announced.set()
        announced.set()

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    try:
        announced.wait(LEAVES_S)
        address = _ADDRESS.search("".join(said))
        assert address is not None, f"it did not say where it listens: {''.join(said)}"
        yield Served(url=address[1], process=process, said=said)
    finally:
        _let_go(process)
        listening.join(LEAVES_S)
        process.stderr.close()


def _let_go(process: subprocess.Popen[str]) -> None:
    """It is told to leave, and has left when this returns."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(LEAVES_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
