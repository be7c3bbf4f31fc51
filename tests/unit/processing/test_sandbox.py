"""What code that has taken over the decoder can do: nothing but talk to its parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stretto.contexts.core.audio import SAMPLE_RATE_HZ
from stretto.contexts.processing.adapters.decoder import sandbox
from stretto.contexts.processing.adapters.findings import LONGEST
from tests.decoders import SOURCE

ENDS_S = 60.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is that of Linux")

PRISON = f"""
import ctypes, json, mmap, os, resource, socket, sys, threading
sys.path.append({str(SOURCE)!r})
from stretto.contexts.processing.adapters.decoder import sandbox
target, port, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
before = os.open(target, os.O_WRONLY)
reading = os.open(target, os.O_RDONLY)
libc = ctypes.CDLL(None, use_errno=True)
def native(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
def unlimited():
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
def outcome(attempt):
    try:
        attempt()
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        return type(error).__name__
    return "done"
buffer = ctypes.create_string_buffer(64)
attempts = dict(
    open=lambda: os.open("/etc/passwd", os.O_RDONLY),
    create=lambda: os.open(target + ".new", os.O_CREAT | os.O_WRONLY),
    write=lambda: os.write(before, b"x"),
    unlink=lambda: os.unlink(target),
    truncate=lambda: os.truncate(target, 0),
    rename=lambda: os.rename(target, target + ".old"),
    chmod=lambda: os.chmod(target, 0o777),
    connect=lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", port)),
    datagram=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    unix=lambda: socket.socketpair(),
    pipe=os.pipe,
    dup=lambda: os.dup(0),
    outlive=lambda: os.close(0),  # with which die_with would be over
    fork=os.fork,
    thread=lambda: threading.Thread(target=int).start(),
    exec=lambda: os.execv("/bin/true", ["true"]),
    kill=lambda: os.kill(parent, 0),
    trace=lambda: native("ptrace", 16, parent, 0, 0),
    other_memory=lambda: native("process_vm_readv", parent, buffer, 1, buffer, 1, 0),
    other_limits=lambda: resource.prlimit(parent, resource.RLIMIT_CPU),
    memory=lambda: bytearray(1 << 30),
    open_when_unlimited=lambda: (outcome(unlimited), os.open("/etc/passwd", os.O_RDONLY)),
)
if sys.argv[4] == "limits":
    sandbox.ARCHITECTURES.clear()  # as on a machine whose system calls cannot be filtered
    del attempts["exec"]  # limits do not forbid it: another program would be under them, too
sandbox.settle()
user = os.getuid()
sandbox.lock()
results = {{name: outcome(attempt) for name, attempt in attempts.items()}}
results["read what is open"] = os.read(reading, 5).decode()
results["environment"] = sorted(set(os.environ) - {{"LC_CTYPE"}})  # Python's own (PEP 538)
results["user"] = user
os.write(1, json.dumps(results).encode())
"""


BY_LIMITS = {"open", "create", "write", "connect", "datagram", "unix", "pipe", "dup", "fork"}
"""Refused without the filter of system calls, too."""


@pytest.mark.parametrize("by", ["filter", "limits"])
def test_no_way_leads_out(tmp_path: Path, by: str) -> None:
    tmp_path.chmod(0o755)
    target = tmp_path / "target"
    target.write_text("sound")
    target.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = [str(target), str(port), str(os.getpid()), by]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", PRISON, *arguments],
            capture_output=True,
            env={},
            timeout=60,
            check=False,
        )
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results.pop("read what is open") == "sound"
    assert results.pop("environment") == []
    assert results.pop("user") != 0
    done_all_the_same = {name for name, outcome in results.items() if outcome == "done"}
    if by == "limits":
        assert done_all_the_same.isdisjoint(BY_LIMITS)
        return
    assert done_all_the_same == set()
    assert target.read_text() == "sound"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_decoder_in_a_loop_runs_out_of_processor_time() -> None:
    code = (
        f"import sys; sys.path.append({str(SOURCE)!r})\n"
        "from stretto.contexts.processing.adapters.decoder import sandbox\n"
        "sandbox.CPU_BASE_S = 1\nsandbox.settle()\nsandbox.lock()\nwhile True: pass"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGXCPU


STUBBORN = f"""
import resource, signal, sys
sys.path.append({str(SOURCE)!r})
from stretto.contexts.processing.adapters.decoder import sandbox
sandbox.CPU_BASE_S, sandbox.CPU_PER_AUDIO_S = int(sys.argv[1]), 0
sandbox.settle()
sandbox.die_with(sandbox.WATCHED)
sandbox.lock()
taken_over = [one for one in signal.valid_signals() if one not in (signal.SIGKILL, signal.SIGSTOP)]
for number in taken_over:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, taken_over)
_, hard = resource.getrlimit(resource.RLIMIT_CPU)
resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
sys.stdout.write("stubborn\\n")
sys.stdout.flush()
while True: pass
"""
"""Heeds no signal that can be ignored, and gives itself all the time that it can."""


@contextmanager
def stubborn(*, cpu_s: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-I", "-S", "-c", STUBBORN, str(cpu_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"stubborn\n"
            yield process
        finally:
            process.kill()


def test_a_decoder_that_heeds_no_signal_runs_out_of_processor_time_all_the_same() -> None:
    with stubborn(cpu_s=1) as decoder:
        assert decoder.wait(ENDS_S) == -signal.SIGKILL


def test_a_decoder_that_heeds_no_signal_does_not_outlive_its_parent() -> None:
    with stubborn(cpu_s=1000) as decoder:
        assert decoder.stdin is not None
        decoder.stdin.close()
        assert decoder.wait(ENDS_S) == -signal.SIGKILL


def test_the_longest_recording_has_the_time_that_it_needs() -> None:
    code = (
        f"import resource, sys; sys.path.append({str(SOURCE)!r})\n"
        "from stretto.contexts.processing.adapters.decoder import sandbox\n"
        "sandbox.settle()\nsandbox.lock()\nsandbox.allow_cpu(sandbox.LONGEST_AUDIO_S)\n"
        "print(*resource.getrlimit(resource.RLIMIT_CPU))"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, timeout=ENDS_S, check=True)
    assert done.stdout.split() == [b"60510", b"60511"]
    assert sandbox.LONGEST_AUDIO_S * SAMPLE_RATE_HZ == LONGEST
