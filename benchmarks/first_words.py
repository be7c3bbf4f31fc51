"""How soon the first text of a recording is there: ``python -m benchmarks.first_words FILE``.

Seconds from the start of the process to the first byte of text on standard output, and to its end,
each run in a data folder of its own that has its tables and knows no recording.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.process import environment as clean_environment

MODEL = "tiny.en"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--whole", action="store_true", help="let each run come to its end")
    given = parser.parse_args()
    runs = [first_words(given.file, whole=given.whole) for _ in range(given.runs)]
    print(json.dumps({"first_s": median(run[0] for run in runs), "runs": runs}))


def first_words(file: Path, *, whole: bool) -> tuple[float, float]:
    """Seconds to the first text, and to the end of the process."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**clean_environment(), "STRETTO_HOME": home, "STRETTO_MODEL": MODEL}
        stretto = [sys.executable, "-m", "stretto"]
        subprocess.run([*stretto, "transcripts", "list"], env=environment, check=True)
        began = time.perf_counter()
        command = [*stretto, "transcribe", str(file), "-f", "txt", "-q"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            if not process.stdout.read(1):
                raise SystemExit(f"There is no text in {file}.")
            first_s = time.perf_counter() - began
            if whole:
                process.stdout.read()
            else:
                process.kill()
        return round(first_s, 3), round(time.perf_counter() - began, 3)


if __name__ == "__main__":
    main()
