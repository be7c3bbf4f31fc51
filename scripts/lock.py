"""Writes the lock files: every package of an installation with its version and its hashes.

All parts are resolved together, so that a version is the same in every file; what `run.txt` holds
is not written again in `serve.txt` and `test.txt`, which begin with it.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

RUN = ["--extra", "demo", "--group", "build"]
SERVE = [*RUN, "--extra", "server"]
EXTRAS = ["base", "celery", "cdn", "notify", "postgres", "redis", "remote", "server"]
TEST = [
    *RUN,
    *(part for extra in EXTRAS for part in ("--extra", extra)),
    *("--group", "dev", "--group", "bench"),
]


def compiled(output: Path, parts: list[str], *more: str) -> list[str]:
    """The blocks of a lock file, one for each package, as `uv` resolves these parts."""
    command = ["uv", "pip", "compile", "-q", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header"]
    subprocess.run([*command, *parts, *more, "-o", output, "pyproject.toml"], check=True)
    blocks: list[str] = []
    for line in output.read_text().splitlines(keepends=True):
        if line.startswith(" "):
            blocks[-1] += line
        else:
            blocks.append(line)
    return blocks


def main() -> None:
    requirements = Path("requirements")
    with TemporaryDirectory() as folder:
        everything = Path(folder) / "everything.txt"
        tests = compiled(everything, TEST)
        run = compiled(requirements / "run.txt", RUN, "--constraint", str(everything))
        serve = compiled(requirements / "serve.txt", SERVE, "--constraint", str(everything))
    besides = [block for block in serve if block not in run]
    (requirements / "serve.txt").write_text("-r run.txt\n" + "".join(besides))
    added = [block for block in tests if block not in run]
    (requirements / "test.txt").write_text("-r run.txt\n" + "".join(added))
    sys.stdout.write(f"wrote {len(run)} packages for running, {len(added)} more for the tests\n")


if __name__ == "__main__":
    main()
