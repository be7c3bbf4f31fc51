"""A link that can be made bad: a relay in front of a server, with the eight kinds of trouble that
networks have. Toxiproxy gave the list of them."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

Connect = Callable[[], socket.socket]
BLOCK_BYTES = 16_384


class Toxic(StrEnum):
    NONE = "none"
    LATE = "each piece 50 ms late"
    SLOW = "20 kB a second"
    SLICED = "seven bytes at a time"
    BLACK_HOLE = "nothing arrives, and nobody is told"
    RESET = "reset"
    HALF = "cut off after 200 bytes"
    LINGERING = "closed late"
    DOWN = "nobody listens"


TOXICS = tuple(toxic for toxic in Toxic if toxic is not Toxic.NONE)


class Link:
    """Connections go through threads of their own; what is wrong is decided piece by piece."""

    def __init__(self, listening: socket.socket, connect: Connect) -> None:
        self.toxic = Toxic.NONE
        self._listening = listening
        self._connect = connect
        self._open: set[socket.socket] = set()
        self._over = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def turn(self, toxic: Toxic) -> None:
        """From now on. What was black-holed does not come back: its connections are cut."""
        before, self.toxic = self.toxic, toxic
        if before in {Toxic.BLACK_HOLE, Toxic.LINGERING} or toxic in {Toxic.RESET, Toxic.DOWN}:
            self.cut()

    def cut(self) -> None:
        """Every connection, as a router does that was switched off and on."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._over = True
        self.toxic = Toxic.NONE
        self.cut()
        self._thread.join(10)
        self._listening.close()

    def _accept(self) -> None:
        self._listening.settimeout(0.05)
        while not self._over:
            try:
                ours, _ = self._listening.accept()
            except TimeoutError:
                continue
            if self.toxic in {Toxic.DOWN, Toxic.RESET}:
                _reset(ours)
                continue
            try:
                theirs = self._connect()
            except OSError:
                ours.close()
                continue
            for one in (ours, theirs):
                _at_once(one)
            with self._lock:
                self._open |= {ours, theirs}
            threading.Thread(target=self._relay, args=(ours, theirs), daemon=True).start()

    def _relay(self, ours: socket.socket, theirs: socket.socket) -> None:
        passed = 0
        try:
            while not self._over:
                readable, _, _ = select.select([ours, theirs], [], [], 0.05)
                for source in readable:
                    data = source.recv(BLOCK_BYTES)
                    if not data:
                        return
                    target = theirs if source is ours else ours
                    passed += len(data)
                    if not self._pass(data, target, passed):
                        return
        except (OSError, ValueError):
            return
        finally:
            if self.toxic is Toxic.LINGERING:
                time.sleep(0.3)
            with self._lock:
                self._open -= {ours, theirs}
            ours.close()
            theirs.close()

    def _pass(self, data: bytes, target: socket.socket, passed: int) -> bool:
        """Whether the connection is still one."""
        toxic = self.toxic
        if toxic is Toxic.BLACK_HOLE:
            return True
        if toxic is Toxic.RESET or (toxic is Toxic.HALF and passed > 200):
            return False
        if toxic is Toxic.LATE:
            time.sleep(0.05)
        size = {Toxic.SLICED: 7, Toxic.SLOW: 1_000}.get(toxic, len(data))
        for start in range(0, len(data), size):
            target.sendall(data[start : start + size])
            if toxic is Toxic.SLOW:
                time.sleep(0.05)
        return True


def _at_once(one: socket.socket) -> None:
    """Otherwise the system would keep all but the first piece until that is acknowledged, which
    takes another 40 ms."""
    if one.family != socket.AF_UNIX:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


@contextmanager
def unix_link(path: str, to: str) -> Iterator[Link]:
    """Between two files of sockets."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    yield from _running(listening, lambda: unix_socket(to))


@contextmanager
def tcp_link(to: int) -> Iterator[tuple[Link, int]]:
    """To a port of this machine, and the port that leads there."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = int(listening.getsockname()[1])
    for link in _running(listening, lambda: socket.create_connection(("127.0.0.1", to), 5)):
        yield link, port


def _running(listening: socket.socket, connect: Connect) -> Iterator[Link]:
    link = Link(listening, connect)
    try:
        yield link
    finally:
        link.close()


def unix_socket(path: str) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    try:
        one.connect(path)
    except OSError:
        one.close()
        raise
    return one
