"""Runs one program and measures the whole of it, from outside: time, processor, memory.

This file is both the function that the harness calls and the small process it starts for it.
The small process is needed for honest memory figures: Linux counts what the parent had at the
moment of the fork into a child's peak, and the harness itself has loaded a good deal by then.
So it imports as little as possible.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

SAMPLE_S = 0.2
"""How often the sizes of all processes are added up; a look costs well under a millisecond."""


def watched(command: list[str], folder: str, *, limit_s: float) -> dict[str, float | int | bool]:
    """Run ``command`` with its output in files in ``folder``; wait for it and measure it.

    ``wall_s``: from its start to its end. ``cpu_s``: user and system seconds of it and the
    children it waited for. ``largest_process_bytes``: the kernel's own high-water mark of
    resident memory (ru_maxrss of wait4) of the largest single process. ``peak_rss_bytes``: the
    larger of that and of the sum over the process tree, looked at every 0.2 s.
    """
    outputs = [
        (os.POSIX_SPAWN_OPEN, descriptor, f"{folder}/{name}", os.O_WRONLY | os.O_CREAT, 0o600)
        for descriptor, name in ((1, "stdout"), (2, "stderr"))
    ]
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=outputs)
    sampler = Sampler(pid, deadline=started + limit_s)
    sampler.start()
    try:
        _, status, usage = os.wait4(pid, 0)
    except BaseException:
        kill(pid)
        raise
    wall_s = time.perf_counter() - started
    sampler.stop()
    largest = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "largest_process_bytes": largest,
        "peak_rss_bytes": max(largest, sampler.peak_bytes),
        "exit_code": os.waitstatus_to_exitcode(status),
        "timed_out": sampler.timed_out,
    }


class Sampler(threading.Thread):
    """Adds up the resident memory of a process tree.

    Ends the tree when its time is over, and when the harness that waits for it is gone.
    """

    def __init__(self, pid: int, *, deadline: float) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.timed_out = False
        self._pid = pid
        self._deadline = deadline
        self._done = threading.Event()
        self._harness = os.getppid()

    def run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            total = sum(resident_bytes(pid) for pid in tree(self._pid))
            self.peak_bytes = max(self.peak_bytes, total)
            too_late = time.perf_counter() > self._deadline
            if too_late or os.getppid() != self._harness:
                self.timed_out = True
                kill(self._pid)

    def stop(self) -> None:
        self._done.set()
        self.join()


def tree(pid: int) -> list[int]:
    """``pid`` and all below it; only itself where the system does not tell (no Linux /proc)."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208
                with open(f"/proc/{parent}/task/{task}/children") as file:  # noqa: PTH123
                    found.extend(int(child) for child in file.read().split())
        except OSError:  # gone meanwhile
            continue
    return found


def resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123
            pages = int(file.read().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def kill(pid: int) -> None:
    for member in reversed(tree(pid)):
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    limit, place, *program = sys.argv[1:]
    print(json.dumps(watched(program, place, limit_s=float(limit))))
