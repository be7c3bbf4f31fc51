"""Harm for a crew of workers, by chance and for hours, and the one of them that is spared."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import JobId
from tests.chaos.fleet import Fleet
from tests.chaos.test_outages import CUT
from tests.servers import Server

WARM = 0.3
"""Of the run, in which caches fill and libraries are loaded: what is measured comes after it."""


@dataclass(frozen=True, slots=True)
class Took:
    """What a process had of the machine at one moment."""

    kilobytes: int
    files: int
    threads: int


@dataclass
class Elder:
    """The worker that no fault is meant for, and what it took of the machine, again and again."""

    pid: int
    samples: list[Took] = field(default_factory=list)

    def look(self) -> None:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        said = {name: value for name, _, value in (line.partition(":") for line in lines)}
        files = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        self.samples.append(Took(int(said["VmRSS"].split()[0]), files, int(said["Threads"])))

    def growth(self) -> Took:
        """From a third of the run to its end: what the second half took, less the first. Of the
        memory what it had in the middle of the samples, because a long recording, which is whole
        in the memory of these tests, takes much of it for a moment; of the others the most."""
        late = self.samples[int(WARM * len(self.samples)) :]
        half = len(late) // 2
        before, after = (
            Took(
                round(median(took.kilobytes for took in part)),
                max(took.files for took in part),
                max(took.threads for took in part),
            )
            for part in (late[:half], late[half:])
        )
        return Took(
            after.kilobytes - before.kilobytes,
            after.files - before.files,
            after.threads - before.threads,
        )


@dataclass
class Storm:
    """Does harm to a crew; each kind of fault by its name, as often as its weight says.
    ``open_jobs`` says which may be cancelled."""

    crew: Fleet
    dice: random.Random
    server: Server | None
    open_jobs: Callable[[], list[JobId]]
    done: Counter[str] = field(default_factory=Counter)

    def strike(self) -> None:
        kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "killed": (10, self._kill),
            "told to leave": (5, self._dismiss),
            "frozen": (2, self._freeze),
            "tries to cancel": (4, self._cancel),
        }
        if self.server is not None:
            kinds["cut off"] = (3, self._cut)
            kinds["database killed"] = (1, self.server.restart)
        weights = [weight for weight, _ in kinds.values()]
        (name,) = self.dice.choices(list(kinds), weights)
        kinds[name][1]()
        self.done[name] += 1

    def _victim(self):
        return self.dice.choice(self.crew.crew[1:])

    def _kill(self) -> None:
        victim = self._victim()
        victim.kill()
        victim.wait()

    def _dismiss(self) -> None:
        victim = self._victim()
        victim.terminate()
        victim.wait(120)

    def _freeze(self) -> None:
        elder = self.crew.crew.pop(0)
        try:
            # it may be in the middle of a write each time, or nobody can say whether it is
            with suppress(AssertionError, StrettoError):
                self.crew.stop_one()
                time.sleep(2.5 * self.crew.lease_s)
        finally:
            for frozen in list(self.crew.frozen):
                self.crew.wake(frozen)
            self.crew.crew.insert(0, elder)

    def _cancel(self) -> None:
        with suppress(StrettoError):
            found = self.open_jobs()
            if found:
                self.crew.queue.cancel(self.dice.choice(found))

    def _cut(self) -> None:
        assert self.server is not None
        assert not isinstance(self.crew.place, Path)
        self.server.run(CUT.format(self.crew.place.database))
