"""How fast chunks are sent, side by side and one by one, and what the gateway costs."""

from __future__ import annotations

import json
import ssl
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai

from benchmarks import ROOT
from benchmarks.figures import Figure
from benchmarks.gateway_figures import (
    CHUNKS,
    Chunk,
    Client,
    Sizes,
    ledger,
    recording,
    serving,
    timed,
)
from stretto.contexts.core.recognition import TranscriptionOptions
from stretto.contexts.external.adapters.audio_files import WavEncoder


def measured(sizes: Sizes) -> Iterator[Figure]:
    chunks = recording(sizes.chunk_bytes)
    with serving(sizes.takes_s) as service:
        yield from speed(service, chunks, sizes)
        yield three_files(service, sizes)
        for encoding in ("wav", "flac"):
            yield memory(service, sizes, encoding)
    with serving(0.0) as service:
        yield overhead(service, recording(1_000_000)[0], sizes.calls)


def speed(service: dict[str, str], chunks: list[Chunk], sizes: Sizes) -> Iterator[Figure]:
    client = Client(service)
    client.send(chunks[0])  # the connection is there, as in a run that has begun
    before = client.services.metrics
    one_by_one_s = timed(lambda: list(map(client.send, chunks)))
    with ThreadPoolExecutor(CHUNKS) as pool:
        at_once_s = timed(lambda: list(pool.map(client.send, chunks)))
    after = client.services.metrics
    starts = sorted(entry["at"] for entry in ledger(service)[-CHUNKS:])
    client.services.close()
    sdk_s = timed(lambda: openai_loop(service, chunks))
    megabytes = CHUNKS * sizes.chunk_bytes // 1_000_000
    yield Figure(
        what=f"{megabytes} MB, one by one / at once",
        value=one_by_one_s / at_once_s,
        unit="×",
        wanted=3.8,
        at_least=True,
        more={"one by one, s": round(one_by_one_s, 2), "at once, s": round(at_once_s, 2)},
    )
    yield Figure(
        what="openai SDK in a loop / at once",
        value=sdk_s / at_once_s,
        unit="×",
        wanted=3.5,
        at_least=True,
        more={"SDK, s": round(sdk_s, 2)},
    )
    yield Figure(
        what="from the first start to the fourth",
        value=starts[-1] - starts[0],
        unit="s",
        wanted=0.5,
    )
    yield Figure(what="connections", value=after.opened, unit="", wanted=1)
    yield Figure(
        what="handshakes besides the first",
        value=after.handshakes - before.handshakes,
        unit="",
        wanted=0,
    )


def three_files(service: dict[str, str], sizes: Sizes) -> Figure:
    """Three recordings of four chunks side by side, four calls at a time at most."""
    client = Client(service)
    files = [recording(1_000_000) for _ in range(3)]
    client.send(files[0][0])
    with ThreadPoolExecutor(3 * CHUNKS) as pool:
        one_s = timed(lambda: list(pool.map(client.send, files[0])))
        before = len(ledger(service))
        all_s = timed(lambda: list(pool.map(client.send, [one for file in files for one in file])))
    client.services.close()
    most = max(entry["in_flight"] for entry in ledger(service)[before:])
    return Figure(
        what="three recordings / one, calls at once at most",
        value=most,
        unit="",
        wanted=4,
        more={"time of three / of one": round(all_s / one_s, 2)},
    )


def memory(service: dict[str, str], sizes: Sizes, encoding: str) -> Figure:
    """In a process of its own: what other measurements left behind is not counted."""
    command = [sys.executable, "-m", "benchmarks.gateway_memory", service["url"]]
    command += [service["authority"], encoding, str(sizes.chunk_bytes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return Figure(
        what=f"memory above idle, {encoding}",
        value=found["above_idle"] / 1e6,
        unit="MB",
        wanted=150.0,
        more={"of it for sending, MB": round(found["for_sending"] / 1e6)},
    )


def overhead(service: dict[str, str], chunk: Chunk, calls: int) -> Figure:
    """A chunk of 1 MB through the gateway, and the same bytes through httpx2 alone, in turn."""
    ours, bare = Client(service), []
    request = ours.service._request(  # the very bytes that the gateway sends
        chunk.samples.data.cast("B"), chunk.audio, TranscriptionOptions()
    )
    body = b"".join(bytes(piece[:]) for piece in request.body)
    gateway = []
    context = ssl.create_default_context(cafile=service["authority"])
    with httpx2.Client(http2=True, verify=context) as client:
        for _ in range(calls + 2):
            gateway.append(timed(lambda: ours.send(chunk)))
            bare.append(
                timed(
                    lambda: client.post(
                        f"{service['url']}/audio/transcriptions",
                        content=body,
                        headers=list(request.headers),
                    ).raise_for_status()
                )
            )
    ours.services.close()
    ours_ms, bare_ms = (1000 * statistics.median(times[2:]) for times in (gateway, bare))
    return Figure(
        what="gateway above the bare client, a chunk",
        value=ours_ms - bare_ms,
        unit="ms",
        wanted=5.0,
        more={"gateway, ms": round(ours_ms, 2), "httpx2, ms": round(bare_ms, 2), "calls": calls},
    )


def openai_loop(service: dict[str, str], chunks: list[Chunk]) -> None:
    context = ssl.create_default_context(cafile=service["authority"])
    http = httpx2.Client(verify=context, timeout=60)
    with openai.OpenAI(api_key="none", base_url=service["url"], http_client=http) as client:
        for chunk in chunks:
            encoded = WavEncoder().encode(chunk.samples.data)
            client.audio.transcriptions.create(
                file=(encoded.name, b"".join(bytes(piece[:]) for piece in encoded.pieces)),
                model="whisper-1",
            )
