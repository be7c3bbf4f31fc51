"""Writes the lock files: every package of an installation with its version and its hashes."""

import subprocess
import sys

LOCKS = {
    "requirements/run.txt": ["--extra", "demo", "--group", "build"],
    "requirements/test.txt": [
        *("--extra", "demo", "--extra", "base", "--extra", "postgres", "--extra", "redis"),
        *("--extra", "cdn", "--extra", "remote"),
        *("--group", "build", "--group", "dev", "--group", "bench"),
    ],
}


def main() -> None:
    for lock, parts in LOCKS.items():
        command = ["uv", "pip", "compile", "-q", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header"]
        subprocess.run([*command, *parts, "-o", lock, "pyproject.toml"], check=True)
        sys.stdout.write(f"wrote {lock}\n")


if __name__ == "__main__":
    main()
