"""Threads that read the same kind of thing from the database for the first time, at the same
moment: that used to end the process with a segmentation fault, now and then."""

from __future__ import annotations

import subprocess
import sys

import pytest

STARTS = 10
"""Without the cure, every second or third of them died."""

READ = """
import sys
import threading
from stretto.contexts.database.adapters.outbox import _event
from stretto.contexts.queue.adapters import rows
from stretto.contexts.queue.model import FileWork

def job():
    rows._read(rows._json(FileWork(path="/talk.wav")), FileWork)

def event():
    _event(1, "id", "stream", "ChunkProcessingCompleted", '{"at": {"unix_s": 1.0}, "segments": []}')

sys.setswitchinterval(1e-6)
together = threading.Barrier(6)

def first():
    together.wait()
    for _ in range(3):
        WHAT()

threads = [threading.Thread(target=first) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("what", ["job", "event"])
def test_whoever_reads_first_at_the_same_moment_lives(what: str) -> None:
    for _ in range(STARTS):
        done = subprocess.run(
            [sys.executable, "-c", READ.replace("WHAT", what)], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
