"""A RabbitMQ of our own for tests: one node in a temporary folder, on free ports of the loopback
interface, with a cookie and a name directory (epmd) of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kombu import Connection

PROGRAM: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not the one in /usr/sbin, which changes the user."""

START_S: Final = 150.0


class RabbitServer:
    """Can be killed, and started again at the same port with what it had on the disk."""

    def __init__(self, folder: Path, settings: Mapping[str, int] | None = None) -> None:
        """``settings`` are those of the application ``rabbit``."""
        self.folder = folder
        self._settings = settings or {}
        self.port, self._names_port, self._nodes_port = free_ports(3)
        self._name = f"stretto-{uuid.uuid4().hex[:8]}@localhost"
        self._node: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """It answers when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        told = ", ".join(f"{{{name}, {value}}}" for name, value in self._settings.items())
        (self.folder / "advanced.config").write_text(f"[{{rabbit, [{told}]}}].\n")
        environment = self._environment()
        if self._names is None:
            self._names = _started(
                ["epmd", "-port", str(self._names_port), "-address", "127.0.0.1"], environment
            )
        self._node = _started([str(PROGRAM)], environment, self.folder / "console")
        end = time.monotonic() + START_S
        while not self._answers():
            assert self._node.poll() is None, (self.folder / "console").read_text()
            assert time.monotonic() < end, "RabbitMQ did not start"
            time.sleep(0.2)

    def kill(self) -> None:
        """As a power cut does: the node and whatever it started, all in a group of its own."""
        if self._node is not None:
            os.killpg(self._node.pid, 9)
            self._node.wait()
            self._node = None

    def stop(self) -> None:
        self.kill()
        if self._names is not None:
            os.killpg(self._names.pid, 9)
            self._names.wait()
            self._names = None

    def clear(self) -> None:
        """No queue of the fleet is left."""
        with Connection(self.url) as connection:
            for priority in ("high", "medium", "low"):
                connection.default_channel.queue_delete(f"stretto.{priority}")

    def log(self) -> str:
        """What it has written: who came, and whom it turned away."""
        return "".join(path.read_text() for path in sorted((self.folder / "log").glob("*.log")))

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        own = {
            "HOME": self.folder,
            "ERL_EPMD_PORT": self._names_port,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": self._nodes_port,
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder / "log",
            "RABBITMQ_PID_FILE": self.folder / "pid",
            "RABBITMQ_CONFIG_FILE": self.folder / "none",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.folder / "advanced.config",
            "RABBITMQ_CONF_ENV_FILE": self.folder / "none-environment",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface "
            "{127,0,0,1}",
        }
        return {**os.environ, **{name: str(value) for name, value in own.items()}}


def free_ports(count: int) -> list[int]:
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return ports


def _started(
    command: list[str], environment: dict[str, str], output: Path | None = None
) -> subprocess.Popen[bytes]:
    with (output or Path(os.devnull)).open("ab") as file:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def rabbit_server(
    folder: Path, settings: Mapping[str, int] | None = None
) -> Generator[RabbitServer, None, None]:
    server = RabbitServer(folder, settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
