"""Asks a server what the page does not show."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

OVER_S: Final = 300.0
POLL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Api:
    """What a program asks of a server; ``url`` has no slash at its end."""

    url: str

    def asked(self, path: str) -> Any:
        """The JSON that the API answers."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.loads(answer.read())

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
