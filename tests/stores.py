"""Stores for published assets: folders, and two real S3 servers that know nothing of each other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import trustme

from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.external.adapters.cdn_s3 import S3CDNStore
from stretto.contexts.external.adapters.s3_bucket import Bucket
from stretto.contexts.external.adapters.s3_requests import S3Requests, StoreRefused
from stretto.contexts.external.cdn_model import AssetKind, CDNAsset, Content, Draft

ACCESS_KEY = "stretto-tests"
SECRET_KEY = "geheim-0123456789"  # of servers that live as long as a test
BUCKET = "recordings"


@dataclass
class S3Server:
    """A server on the loopback interface; it can be stopped, and started again at its port."""

    command: list[str]
    port: int
    log: Path
    checks_keys: bool
    authority: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def endpoint(self) -> str:
        scheme = "https" if self.authority else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def bucket(self, **fields: str) -> Bucket:
        given = {
            "name": BUCKET,
            "prefix": "talks",
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
        }
        return Bucket(**(given | fields))

    def store(self, **fields: str) -> S3CDNStore:
        return S3CDNStore(self.bucket(**fields), retries=0)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command], stdout=log, stderr=log, env=_environment()
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError(f"it did not come up: {self.log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def unfinished_uploads(self, asset: CDNAsset) -> list[str]:
        """The ids of multipart uploads that were begun and neither completed nor aborted."""
        name = self.bucket().object_name(asset.key)
        return self._listed("", {"uploads": "", "prefix": name}, "UploadId")

    def arrived_parts(self, asset: CDNAsset) -> int:
        """Of the uploads that are unfinished."""
        name = self.bucket().object_name(asset.key)
        uploads = self.unfinished_uploads(asset)
        return sum(len(self._listed(name, {"uploadId": one}, "PartNumber")) for one in uploads)

    def _listed(self, name: str, query: dict[str, str], tag: str) -> list[str]:
        try:
            answer = S3Requests(bucket=self.bucket()).ask("GET", name, query, timeout_s=10)
        except StoreRefused as refused:
            if refused.status == 404:
                return []
            raise
        found = ET.fromstring(answer.body).iter()
        return [one.text or "" for one in found if one.tag.rpartition("}")[2] == tag]


@contextmanager
def moto_server(folder: Path) -> Generator[S3Server, None, None]:
    """Takes any key, and keeps everything in its memory."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = S3Server(command, port, folder / "moto.log", checks_keys=False)
    with _running(server):
        yield server


@contextmanager
def rclone_server(folder: Path, *, encrypted: bool = False) -> Generator[S3Server, None, None]:
    """Checks signatures, and keeps objects as files in ``folder``. Encrypted, it has a certificate
    of nobody known; ``authority`` is the file of who issued it."""
    port, data = _free_port(), folder / "data"
    data.mkdir(parents=True)
    command = [
        *(
            str(Path(sys.executable).parent / "rclone"),
            "serve",
            "s3",
            "--addr",
            f"127.0.0.1:{port}",
        ),
        *("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--vfs-cache-mode", "off", str(data)),
    ]
    authority = None
    if encrypted:
        authority, files = folder / "authority.pem", (folder / "cert.pem", folder / "key.pem")
        issuer = trustme.CA()
        issuer.cert_pem.write_to_path(str(authority))
        issued = issuer.issue_cert("127.0.0.1")
        files[0].write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(files[1]))
        command[3:3] = ["--cert", str(files[0]), "--key", str(files[1])]
    server = S3Server(command, port, folder / "rclone.log", checks_keys=True, authority=authority)
    with _running(server):
        yield server


@contextmanager
def _running(server: S3Server) -> Generator[None, None, None]:
    server.start()
    try:
        make_bucket(server)
        yield
    finally:
        server.stop()


def make_bucket(server: S3Server) -> None:
    if server.checks_keys:
        Path(server.command[-1], BUCKET).mkdir(exist_ok=True)
        return
    request = urllib.request.Request(f"{server.endpoint}/{BUCKET}", method="PUT")
    urllib.request.urlopen(request, timeout=10).close()


def an_asset(data: bytes, *, kind: AssetKind = AssetKind.AUDIO, name: str = "talk.wav") -> CDNAsset:
    draft = Draft(
        kind=kind,
        content=Content.of_bytes(data),
        suffix=".ogg",
        content_type="audio/ogg; codecs=opus",
        name=name,
    )
    return draft.asset(TranscriptId.new(), at=Timestamp(1e9))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _environment() -> dict[str, str]:
    ours = {"RCLONE_CONFIG": os.devnull}
    return {**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")}, **ours}
