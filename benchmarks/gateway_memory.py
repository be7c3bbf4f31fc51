"""What sending takes in memory: run in a process of its own by gateway_speed.py, says it as JSON.

The most that is resident while all chunks are on their way, above the same program with nothing to
send: their samples are counted.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.gateway_figures import CHUNKS, Client, recording, resident_bytes, small


def main(url: str, authority: str, encoding: str, chunk_bytes: str) -> None:
    client = Client({"url": url, "authority": authority}, remote_encoding=encoding)
    client.send(small(1))  # everything is loaded that is needed, as in a program that waits
    idle = resident_bytes()
    chunks = recording(int(chunk_bytes))
    with_samples = resident_bytes()
    with watching() as seen, ThreadPoolExecutor(CHUNKS) as pool:
        list(pool.map(client.send, chunks))
    client.services.close()
    most = max(seen)
    print(json.dumps({"above_idle": most - idle, "for_sending": most - with_samples}))


@contextmanager
def watching() -> Generator[list[int], None, None]:
    """What is resident, looked at a hundred times a second."""
    seen, over = [resident_bytes()], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            seen.append(resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
