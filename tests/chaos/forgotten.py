"""A network that forgets: two machines with a wire between them, of which one sends into nothing
from one moment on. Neither is told.

``unshare --user --map-root-user --net python -m tests.chaos.forgotten SOCKET USER DATABASE`` is the
machine of PostgreSQL, and starts the other one. It prints how long it took there to notice.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

from stretto.contexts.core.errors import StorageUnavailable
from stretto.contexts.database.model import ConnectionString
from tests.chaos.links import Link, unix_socket
from tests.servers import Database, opened

HERE, THERE = "10.9.0.1", "10.9.0.2"
WAITS = "SELECT pg_sleep(600)"
ARE_WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    f" WHERE datname = current_database() AND state = 'active' AND query = '{WAITS}'"
)


def serve(path: str, user: str, database: str) -> None:
    """Tells the other machine, line by line, what to do; it says when that is done."""
    other = ["unshare", "--net", sys.executable, "-m", "tests.chaos.forgotten"]
    with subprocess.Popen(
        other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "started\n"
        wire = "ip link add wire0 type veth peer name wire1 netns"
        run(f"{wire} {client.pid}")
        run(f"ip address add {HERE}/24 dev wire0")
        run("ip link set wire0 up")
        (shown,) = json.loads(run("ip -json link show wire0"))
        listening = socket.create_server((HERE, 0))
        with closing(Link(listening, lambda: unix_socket(path))):
            place = f"{user}@{HERE}:{listening.getsockname()[1]}/{database}"
            print(shown["address"], f"postgresql+psycopg://{place}", file=client.stdin)
            assert client.stdout.readline() == "connected\n"
            run("tc qdisc replace dev wire0 root pfifo limit 0")
            print("forgotten", file=client.stdin)
            print(client.stdout.readline(), end="", flush=True)


def run(command: str) -> str:
    done = subprocess.run(command.split(), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def ask() -> None:
    print("started", flush=True)
    neighbour, url = input().split()
    run(f"ip address add {THERE}/24 dev wire1")
    run("ip link set wire1 up")
    # A router between the two would still be there.
    run(f"ip neighbour replace {HERE} lladdr {neighbour} dev wire1 nud permanent")
    noticed: dict[str, float] = {}
    with closing(opened(ConnectionString.parse(url))) as database:
        waiting = threading.Thread(target=lambda: noticed.update(waiting=waits_until(database)))
        waiting.start()
        began, noticed["asking"] = asks_until(database)
        waiting.join()
    print(json.dumps({what: round(at - began, 1) for what, at in noticed.items()}), flush=True)


def waits_until(database: Database) -> float:
    """When somebody noticed who waits for an answer."""
    try:
        with database.read() as connection:
            connection.execute(WAITS)
    except StorageUnavailable:
        return time.monotonic()
    raise AssertionError("it was answered")


def asks_until(database: Database) -> tuple[float, float]:
    """From when on nothing came any more, and when somebody noticed who asked something then."""
    began = 0.0
    try:
        with database.read() as connection:
            while connection.execute(ARE_WAITING).fetchone() != (1,):
                time.sleep(0.05)
            print("connected", flush=True)
            input()
            began = time.monotonic()
            connection.execute("SELECT 1")
    except StorageUnavailable:
        if began:
            return began, time.monotonic()
        raise
    raise AssertionError("it was answered")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(*sys.argv[1:])
    else:
        ask()
