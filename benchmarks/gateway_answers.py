"""Answers that are none, and a chunk that fails for good."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.fakes.backend import backend
from tests.fakes.backend_script import Call, Reply, refused, transcript_of

from benchmarks import ROOT, caching_edits
from benchmarks.figures import Figure
from benchmarks.gateway_figures import Client, Sizes, small
from benchmarks.gateway_memory import watching
from stretto.bootstrap import build
from stretto.contexts.core.errors import EngineFailure
from stretto.settings import Settings

CALL_S: Final = 8


def measured(sizes: Sizes) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as name:
        yield from bad_answers(Path(name) / "bad")
        yield from one_of_many(Path(name) / "many", sizes)


def hostile() -> dict[str, Reply]:
    packed = gzip.compress(bytes(2**30), 9)
    return {
        "truncated": Reply(body=b'{"text": "half a'),
        "a page": Reply(body=b"<html><body>Welcome</body></html>"),
        "a packed GB": Reply(body=packed, headers=(("content-encoding", "gzip"),)),
        "a packed GB, unsaid": Reply(body=packed),
        "no times": _verbose(float("nan"), 1.0),
        "negative": _verbose(-5.0, -1.0),
        "backward": _verbose(0.9, 0.1),
        "overlapping": _verbose(0.0, 9.0, 1.0, 10.0, 0.0, 8.0),
        "half a letter": Reply(body=b'{"text": "\\ud83d"}'),
        "nothing, a million times": Reply(body=b'{"text": "", "segments": [' + b"[]," * 350_000),
        "10 MB": Reply(body=json.dumps({"text": "na " * 3_500_000}).encode()),
        "without end": Reply(body=bytes(40 * 2**20)),
    }


def _verbose(*times: float) -> Reply:
    segments = [
        {"start": start, "end": end, "text": "invented"}
        for start, end in zip(times[::2], times[1::2], strict=True)
    ]
    return Reply(body=json.dumps({"text": "invented", "segments": segments}).encode())


def bad_answers(folder: Path) -> Iterator[Figure]:
    """Asked for in a process of its own, so that what the service holds is not counted."""
    folder.mkdir()
    replies = hostile()
    script = lambda call: replies.get(call.fields.get("prompt", ""), Reply())  # noqa: E731
    with backend(folder, script=script) as server:
        command = [sys.executable, "-m", "benchmarks.gateway_answers", server.url]
        command += [str(server.authority_file(folder)), *replies]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        asked = {entry.key for entry in server.entries()}
    found = json.loads(done.stdout)
    assert len(asked) == len(replies) + 1, "not every answer was asked for"
    yield Figure(
        what="bad answers: taken for a transcript",
        value=len(found["passed"]),
        unit="",
        wanted=0,
        more={"kinds": len(replies), "taken": ", ".join(found["passed"]) or "none"},
    )
    yield Figure(
        what="bad answers: memory above before",
        value=found["above_before"] / 1e6,
        unit="MB",
        wanted=64.0,
    )


def main(url: str, authority: str, *names: str) -> None:
    """Asks for one answer of each name; says as JSON which were taken, and the memory it took."""
    client = Client(
        {"url": url, "authority": authority}, openai_answers="verbose_json"
    ).with_retries_for_all()
    client.send(small(0))
    passed = []
    with watching() as seen:
        for number, name in enumerate(names, 1):
            try:
                client.send(small(number, seconds=10), prompt=name)
                passed.append(name)
            except EngineFailure:
                pass  # the one typed error
            client.service.gateway.breaker.succeeded()  # the breaker is not what is measured
    client.services.close()
    print(json.dumps({"passed": passed, "above_before": max(seen) - seen[0]}))


def one_of_many(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """A recording in a hundred chunks, one of which the service refuses for good."""
    folder.mkdir()
    path = folder / "long.wav"
    spoken = caching_edits.recording(None, float(CALL_S * max(5, sizes.many(100))))
    caching_edits.written(path, spoken)
    bad: list[str] = []
    well = False

    def script(call: Call) -> Reply:
        if not bad and call.number == 3:
            bad.append(call.key)
        if call.key in bad and not well:
            return refused(400, "this one not")
        return Reply(body=transcript_of(call.fields, call.audio[:1000]))

    with backend(folder, script=script) as server:
        settings = Settings(
            home=folder / "home",
            engine="openai",
            language="en",
            openai_url=server.url,
            openai_answers="json",
            remote_ca_file=str(server.authority_file(folder)),
            remote_call_s=CALL_S,
        )
        with build(settings) as application:
            first = application.transcribe(path)
        calls = server.entries()
        well = True
        with build(settings) as application:
            second = application.transcribe(path)
        later = server.entries()[len(calls) :]
    keys = Counter(entry.key for entry in calls)
    assert len(keys) >= 5, "the recording has too few chunks to say anything"
    yield Figure(
        what="one chunk of many fails: kept",
        value=sum(entry.status == 200 for entry in calls),
        unit="",
        wanted=len(keys) - 1,
        at_least=True,
        more={"chunks": len(keys), "first": first.status, "then": second.status},
    )
    yield Figure(
        what="one chunk of many fails: calls of the next run",
        value=len(later),
        unit="",
        wanted=1,
        more={"the same chunk": [entry.key for entry in later] == bad},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
