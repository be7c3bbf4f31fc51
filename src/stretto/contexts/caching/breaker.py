"""The breaker: trouble is noticed once, passed over at once, and looked after in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

SECONDS_BETWEEN_PROBES: Final = 1.0
"""What has healed is in use again after about so long."""

FIRST_WAIT_S: Final = 0.04
"""How long the very first call waits for the connection; those after it do not wait at all."""

logger = logging.getLogger(__name__)


class OutOfReach(ConnectionError):
    """What is asked is known to be in trouble, and is not asked."""


class Breaker:
    """Lets calls through as long as what they reach is well.

    ``probe`` raises when it is not. It runs on a thread of its own, before the first call and
    after each failure until it succeeds, because looking for a server that is gone (its name, its
    machine, its answer) may take many seconds that nobody is to wait for.
    """

    def __init__(
        self, probe: Callable[[], None], *, seconds_between: float = SECONDS_BETWEEN_PROBES
    ) -> None:
        self._probe = probe
        self._seconds_between = seconds_between
        self._lock = threading.Lock()
        self._well = False
        self._trouble: str | None = None
        self._probing: threading.Thread | None = None
        self._settled = threading.Event()
        self._waited = False
        self._closed = threading.Event()

    @property
    def trouble(self) -> str:
        """Why nothing is let through; empty while all is well."""
        return "" if self._well else (self._trouble or "not reached yet")

    def pass_or_raise(self) -> None:
        """Raises OutOfReach, at most ``FIRST_WAIT_S`` after the very first call."""
        if self._well:
            return
        self._look_after_it()
        if not self._waited:
            self._settled.wait(FIRST_WAIT_S)
            self._waited = True
        if not self._well:
            raise OutOfReach(self.trouble)

    def failed(self, error: Exception) -> None:
        """A call went wrong: nothing more is let through until a probe succeeds."""
        with self._lock:
            self._well = False
            self._trouble = described(error)
        self._look_after_it()

    def settle(self, timeout_s: float) -> bool:
        """Wait for the first probe. Returns whether all is well."""
        self._look_after_it()
        self._settled.wait(timeout_s)
        return self._well

    def close(self) -> None:
        self._closed.set()

    def _look_after_it(self) -> None:
        with self._lock:
            if self._well or self._probing is not None or self._closed.is_set():
                return
            self._probing = threading.Thread(target=self._probe_until_well, daemon=True)
            self._probing.start()

    def _probe_until_well(self) -> None:
        while not self._closed.is_set():
            try:
                self._probe()
            except Exception as error:
                self._trouble = described(error)
                self._settled.set()
                self._closed.wait(self._seconds_between)
                continue
            with self._lock:
                self._well, self._trouble, self._probing = True, None, None
            self._settled.set()
            return


def described(error: Exception) -> str:
    """In one line, as it may be shown."""
    text = " ".join(str(error).split())[:200]
    return text or type(error).__name__
