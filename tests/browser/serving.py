"""Runs `stretto serve` in a process of its own, and asks it what the page does not show."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.e2e.program import command, environment

LEAVES_S: Final = 60
OVER_S: Final = 120
POLL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Api:
    """What a program asks of a server; ``url`` has no slash at its end."""

    url: str

    def asked(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """The JSON that the API answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def submitted(self, name: str, recording: bytes, **fields: str) -> str:
        """The id of a job for a recording."""
        edge = "edge-of-a-part"
        parts = [
            f'--{edge}\r\ncontent-disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in fields.items()
        ]
        head = f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = b"".join([*parts, head.encode(), recording, f"\r\n--{edge}--\r\n".encode()])
        headers = {"content-type": f"multipart/form-data; boundary={edge}"}
        request = urllib.request.Request(f"{self.url}/api/jobs", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(json.loads(answer.read())["id"])

    def finished(self, job_id: str) -> dict[str, Any]:
        """The job, once it is over."""
        deadline = time.monotonic() + OVER_S
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.asked(f"/api/jobs/{job_id}")
            if job["status"] not in {"queued", "processing"}:
                return job
            time.sleep(POLL_S)
        raise AssertionError(f"the job {job_id} was not over within {OVER_S} s")


@dataclass(frozen=True, kw_only=True)
class Served(Api):
    """A server in a process of its own."""

    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def serving(home: Path, *options: str) -> Iterator[Served]:
    """A server on a free port of the loopback interface, until the block ends."""
    chosen = options if "--port" in options else ("--port", "0", *options)
    process = subprocess.Popen(
        command("serve", *chosen),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        env=environment(home),
    )
    try:
        assert process.stderr is not None
        announced = re.search(r"http://\S+", process.stderr.readline())
        assert announced is not None, "it did not say where it listens"
        yield Served(url=announced[0], process=process)
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """As whoever runs it would; returns when it is gone, its worker too."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=LEAVES_S)
    finally:
        process.kill()
        if process.stderr is not None:
            process.stderr.close()
