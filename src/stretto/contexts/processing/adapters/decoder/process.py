"""A decoder in a process of its own, seen from the parent: started, asked, watched and ended."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from stretto.contexts.core.audio import BYTES_PER_SECOND
from stretto.contexts.processing.adapters.decoder import wire

ANSWER_S: Final = 30.0
"""How long a decoder may take for its next message, while somebody waits for it."""

BESIDES_S: Final = 60.0
"""Waited for one file in all, on top of a second for each second of audio that it gives."""

_TICK_S: Final = 0.25
_IMPORTED: Final = ("av", "stretto")
_CHILD: Final = Path(__file__).with_name("child.py")


class Died(Exception):
    """The decoder is gone. ``status`` is as in subprocess: negative for the signal that ended it;
    ``ready`` says whether it had begun with the file."""

    def __init__(self, status: int, *, ready: bool) -> None:
        super().__init__(status, ready)
        self.status = status
        self.ready = ready


class Stuck(Exception):
    """The decoder takes too long; ``ready`` is as in Died."""

    def __init__(self, *, ready: bool) -> None:
        super().__init__(ready)
        self.ready = ready


class DecoderProcess:
    """One decoder for one file. Ends with ``end``, with this object, and with this process."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """``command`` stands in for the real one in tests; it is given the descriptor.

        Raises OSError when no process can be had, FileNotFoundError without an interpreter.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._popen = subprocess.Popen(  # noqa: S603 - our own file, no shell
                    [*(command or _command()), str(theirs.fileno()), *_folders()],
                    stdin=subprocess.PIPE,  # see sandbox.die_with
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={},
                    cwd="/",
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C is for the parent to understand
                )
            except BaseException:
                ours.close()
                raise
        self.end = weakref.finalize(self, _end, self._popen, ours)
        self._channel = ours
        self._ready = False
        self._waited_s = 0.0
        self._decoded_s = 0.0
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def ask(self, request: wire.Request, file: int | None = None) -> None:
        """``file`` is an open descriptor, needed once. Raises Died."""
        try:
            descriptors = [] if file is None else [file]
            socket.send_fds(self._channel, [wire.pack_request(request)], descriptors)
        except OSError as cause:
            raise self._died() from cause

    def answer(self) -> tuple[wire.Kind, bytearray]:
        """The next message; that it is ready is no message. Raises Died, Stuck and wire.Lie."""
        waited_before_s = self._waited_s
        while True:
            kind, length = wire.unpack_header(self._exactly(wire.HEADER.size, waited_before_s))
            payload = self._exactly(length, waited_before_s)
            if kind is wire.Kind.SAMPLES:
                self._decoded_s += length / BYTES_PER_SECOND
            if (kind is wire.Kind.READY) is self._ready:
                raise wire.Lie("a message out of turn")
            if self._ready:
                return kind, payload
            self._ready = True

    def _exactly(self, count: int, waited_before_s: float) -> bytearray:
        data = bytearray(count)
        view, have = memoryview(data), 0
        while have < count:
            self._wait(waited_before_s)
            try:
                received = self._channel.recv_into(view[have:])
            except ConnectionError as cause:
                raise self._died() from cause
            if not received:
                raise self._died()
            have += received
        return data

    def _wait(self, waited_before_s: float) -> None:
        """Until there is something to read. Raises Stuck.

        Only what is spent here counts, a tick at most each time: a parent that was stopped, or
        busy with something else, must not blame the decoder.
        """
        while True:
            began = time.monotonic()
            readable = self._poll.poll(_TICK_S * 1000)
            self._waited_s += min(time.monotonic() - began, _TICK_S)
            waited_s = self._waited_s - waited_before_s
            if waited_s > ANSWER_S or self._waited_s > BESIDES_S + self._decoded_s:
                raise Stuck(ready=self._ready)
            if readable:
                return

    def _died(self) -> Died:
        """What it died of; one that only closed its end is ended."""
        try:
            status = self._popen.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            status = 0
        return Died(status, ready=self._ready)


def _command() -> list[str]:
    if not sys.executable:
        raise FileNotFoundError("this program has no Python interpreter of its own")
    # No variables of the environment, no .pth files, no site-packages but ours, no cache written.
    return [sys.executable, "-I", "-S", "-B", str(_CHILD)]


def _folders() -> list[str]:
    """Where the child finds what it imports: the parents of those packages."""
    specs = [find_spec(name) for name in _IMPORTED]
    origins = [Path(spec.origin) for spec in specs if spec and spec.origin]
    return list(dict.fromkeys(str(origin.parent.parent) for origin in origins))


def _end(popen: subprocess.Popen[bytes], channel: socket.socket) -> None:
    """Kills and reaps it, whatever it does, and closes what led to it."""
    channel.close()
    popen.kill()
    if popen.stdin is not None:
        popen.stdin.close()
    popen.wait()


def cause_of_death(status: int) -> str:
    """In words: ``-11`` is "crashed (SIGSEGV)"."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"crashed ({name})"
    return f"gave up (exit code {status})" if status else "ended without a result"


def supported() -> bool:
    """Open files can be handed to another process everywhere but on Windows."""
    return os.name == "posix"
