"""What a decoder gives up before it looks at a file: its rights, and most of what it can ask for.

Runs in the child. Two steps: ``settle`` while nothing is open yet, ``lock`` when the file is there.
What holds where: limits everywhere but on Windows; the filter of system calls on Linux, on x86-64
and arm64.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

MEMORY_BYTES: Final = 400 << 20
"""Address space on top of what the interpreter and FFmpeg's code take before they begin."""

CPU_BASE_S: Final = 30
CPU_PER_AUDIO_S: Final = 0.1
"""Processor time for the file, and for each second of audio that came out of it."""

LONGEST_AUDIO_S: Final = 7 * 86_400
"""More than a week is not decoded; see ``findings.LONGEST``, in samples."""

NOBODY: Final = 65_534

PR_SET_DUMPABLE: Final = 4
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_MODE_FILTER: Final = 2
SECCOMP_RET_ALLOW: Final = 0x7FFF_0000
SECCOMP_RET_ERRNO_EPERM: Final = 0x0005_0001
SECCOMP_RET_KILL_PROCESS: Final = 0x8000_0000

# Of linux/audit.h, asm/unistd_64.h and asm-generic/unistd.h, in the order of ALLOWED.
ARCHITECTURES: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
ALLOWED: Final = {
    # name: (x86-64, arm64); -1 where there is none
    "read": (0, 63),
    "write": (1, 64),
    "fstat": (5, 80),
    "newfstatat": (262, 79),  # fstat of newer C libraries; of a path it tells size and times only
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "sched_yield": (24, 124),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "futex": (202, 98),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
LIMITING: Final = (302, 261)
"""prlimit64, which may only be asked about or for the process itself: see ``_filter``."""

CLOSING: Final = (3, 57)
"""close, of whatever but WATCHED: see ``die_with``."""

WATCHED: Final = 0


def settle() -> None:
    """Gives up root, memory, files, processes and core dumps. Raises OSError or ValueError."""
    if os.geteuid() == 0:
        with suppress(OSError):  # a container's root may have no nobody to become
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_NPROC", 0)
    if sys.platform == "linux":
        _limit("RLIMIT_AS", _address_space() + MEMORY_BYTES)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    utmost = _cpu_s(LONGEST_AUDIO_S) + 1
    if hard == resource.RLIM_INFINITY or hard > utmost:
        resource.setrlimit(resource.RLIMIT_CPU, (utmost, utmost))
    allow_cpu(0.0)


def lock() -> None:
    """From now on no descriptor can be opened, of whatever kind: no file, no socket, no pipe.

    Those that are open stay; poll and select do not work any more. Raises OSError.
    """
    _limit("RLIMIT_NOFILE", 0)
    if sys.platform == "linux":
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _prctl(PR_SET_DUMPABLE, 0)
        if (machine := os.uname().machine) in ARCHITECTURES:
            try:
                _install(_filter(machine))
            except OSError as refused:
                if refused.errno != errno.EINVAL:  # that says: a kernel without such filters
                    raise


def allow_cpu(audio_s: float) -> None:
    """Processor time for a file that has given ``audio_s`` so far; the system ends what has more.

    A decoder that is taken over can give itself as much as the longest recording has, and not heed
    the signal before: then it is the clock of the parent that ends it. What ``settle`` has allowed
    nobody can raise, not even for a long recording: that is why it is so much.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(_cpu_s(audio_s), hard), hard))


def die_with(descriptor: int) -> None:
    """The system ends this process when the other end of this pipe is closed, by whatever death.

    On Linux by SIGKILL, which cannot be ignored; with the filter, the pipe cannot be let go of
    either. Not PR_SET_PDEATHSIG: that looks at the thread which started the child, and threads end.
    """
    if sys.platform == "linux":
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if poll.poll(0):  # it was closed before the system was asked to look
        os._exit(0)


def _cpu_s(audio_s: float) -> int:
    return CPU_BASE_S + round(CPU_PER_AUDIO_S * audio_s)


def _limit(name: str, most: int) -> None:
    if (which := getattr(resource, name, None)) is not None:
        resource.setrlimit(which, (most, most))


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()


def _prctl(option: int, argument: int, pointer: object = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(argument), pointer, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option} is not permitted")


def _install(program: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    loaded = Program(len(program) // 8, program)
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(loaded))


def _filter(machine: str) -> bytes:
    """A program for the kernel (Linux, Documentation/userspace-api/seccomp_filter.rst): what is
    not on the list is not permitted. Each instruction is ``code, if true, if false, constant``.

    seccomp_data is: number 0, architecture 4, instruction pointer 8, arguments from 16 on, each
    eight bytes, the lower half first on these machines.
    """
    load, equal, answer = 0x20, 0x15, 0x06
    column = list(ARCHITECTURES).index(machine)
    numbers = [number[column] for number in ALLOWED.values()]
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, ARCHITECTURES[machine]),
        (answer, 0, 0, SECCOMP_RET_KILL_PROCESS),
        (load, 0, 0, 0),
    ]
    for number in numbers:
        program += [(equal, 0, 1, number), (answer, 0, 0, SECCOMP_RET_ALLOW)]
    program += [
        (equal, 0, 4, CLOSING[column]),
        (load, 0, 0, 16),
        (equal, 0, 1, WATCHED),
        (answer, 0, 0, SECCOMP_RET_ERRNO_EPERM),
        (answer, 0, 0, SECCOMP_RET_ALLOW),
        (equal, 0, 3, LIMITING[column]),
        (load, 0, 0, 16),  # whose limits: 0 is the caller
        (equal, 0, 1, 0),
        (answer, 0, 0, SECCOMP_RET_ALLOW),
        (answer, 0, 0, SECCOMP_RET_ERRNO_EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
