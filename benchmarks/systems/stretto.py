"""Stretto as its users start it: the command line, with an empty data folder and without cache.

The command runs in a process of its own below this one; both count in time and memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.systems import Task, answer, task

COMPLETE_OR_PARTIAL = (0, 3)
"""Exit codes that come with a transcript; words missing from a partial one count as errors."""


def command(given: Task) -> list[str]:
    return [
        *(sys.executable, "-m", "stretto", "transcribe", given.wav),
        *("--format", "json", "--no-cache", "--quiet"),
        *("--language", given.language, "--model", given.model),
    ]


def main() -> None:
    given = task()
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "STRETTO_HOME": home}
        done = subprocess.run(command(given), env=environment, stdout=subprocess.PIPE, check=False)
    if done.returncode not in COMPLETE_OR_PARTIAL:
        sys.exit(done.returncode)
    transcript = json.loads(done.stdout)
    answer(transcript["text"], audio_s=transcript["duration"])


if __name__ == "__main__":
    main()
