"""Tells whoever asked for it that a job is over: signed, at least once, until somebody listens.

The form is that of Standard Webhooks 1.0 (https://www.standardwebhooks.com): the receiver checks
``webhook-signature`` over ``webhook-id``, ``webhook-timestamp`` and the body.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from stretto.contexts.core import signing
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.core.identifiers import JobId, Timestamp
from stretto.contexts.queue.model import Job

MOST_ATTEMPTS: Final = 12
"""The last one is about six hours after the first."""

BASE_S: Final = 5.0
LONGEST_DELAY_S: Final = 3600.0
HELD_FOR_S: Final = 60.0
"""Whoever took a call and died does not make it; then another one does."""

LOOKED_FOR_EVERY_S: Final = 5.0
LAST_CALLS_S: Final = 1.0
"""So long whoever leaves waits for what it calls just then."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One call that is owed to somebody; ``attempts`` includes the one that is being made. The
    URL may hold a secret of the receiver, and is never shown."""

    id: str
    job_id: JobId
    url: str = field(repr=False)
    body: str
    attempts: int = 0


class WebhookRecords(Protocol):
    """The calls that are owed, written with the end of their jobs."""

    def take(self, limit: int, *, for_s: float) -> Sequence[Webhook]:
        """Those that are due, for nobody else within ``for_s``, one attempt more."""

    def put_off(self, webhook: Webhook, *, delay_s: float) -> None: ...

    def done(self, webhook: Webhook, *, trouble: str = "") -> None:
        """Forget it; the log of the job says that it was made, or with ``trouble`` that it was
        given up."""


Post = Callable[[str, bytes, Mapping[str, str]], None]
"""Of a body to a URL; raises StrettoError when it did not arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCourier:
    """Any number of processes may run it. ``secret`` signs; without one nothing is sent."""

    records: WebhookRecords
    post: Post
    secret: str = field(repr=False)
    clock: Callable[[], Timestamp]
    dice: Callable[[], float] = random.random

    def deliver(self) -> int:
        """What is due now. Returns how many calls were made. Raises StorageUnavailable."""
        made = 0
        # One at a time: what waits behind slow answers is free for others, and nobody's hold of it
        # ends before it is called.
        while taken := self.records.take(1, for_s=HELD_FOR_S):
            self._call(taken[0])
            made += 1
        return made

    def _call(self, webhook: Webhook) -> None:
        try:
            if not self.secret:
                raise StrettoError("This worker has no STRETTO_WEBHOOK_SECRET to sign with.")
            body, at_s = webhook.body.encode(), int(self.clock().unix_s)
            self.post(webhook.url, body, headers_of(webhook.id, at_s, body, self.secret))
        except StrettoError as trouble:
            self._failed(webhook, trouble.message)
            return
        self.records.done(webhook)

    def _failed(self, webhook: Webhook, trouble: str) -> None:
        if webhook.attempts >= MOST_ATTEMPTS:
            logger.warning("The callback of the job %s is given up: %s", webhook.job_id, trouble)
            self.records.done(webhook, trouble=trouble)
            return
        logger.info("The callback of the job %s is tried again: %s", webhook.job_id, trouble)
        self.records.put_off(webhook, delay_s=delay_s(webhook.attempts, self.dice()))


class CourierThread:
    """Delivers while the program runs, as soon as it is ``nudge``d, else every few seconds."""

    def __init__(self, courier: WebhookCourier, *, last_calls_s: float = LAST_CALLS_S) -> None:
        self._last_calls_s = last_calls_s
        self._courier = courier
        self._due, self._ended = threading.Event(), threading.Event()
        self._nudged = False
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def nudge(self) -> None:
        """A job is over."""
        self._nudged = True
        self._due.set()

    def close(self) -> None:
        """What it was nudged for is still called, if that is soon done. The rest is called by
        another worker, or later."""
        self._ended.set()
        self._due.set()
        self._thread.join(self._last_calls_s)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._due.wait(LOOKED_FOR_EVERY_S)  # first of all the worker is to get to work
            if self._ended.is_set() and not self._nudged:
                return
            self._due.clear()
            self._nudged = False
            try:
                self._courier.deliver()
            except StrettoError as trouble:
                logger.warning("Callbacks wait: %s", trouble)
            except Exception:
                logger.exception("Callbacks wait.")


def body_of(job: Job) -> str:
    """What is told of a job that is over: no path, no text, nothing that is not needed to ask."""
    error = job.error if job.cause else None
    return json.dumps(
        {
            "type": f"job.{job.status.value}",
            "timestamp": job.updated_at.unix_s,
            "data": {
                "id": str(job.id),
                "file": job.file,
                "status": job.status.value,
                "transcript_id": str(job.transcript_id) if job.transcript_id else None,
                "error": {"kind": error.kind, "message": error.message} if error else None,
                "attempts": job.attempts,
            },
        }
    )


def headers_of(webhook_id: str, at_s: int, body: bytes, secret: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "stretto",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": signature(webhook_id, at_s, body, secret),
    }


def signature(webhook_id: str, at_s: int, body: bytes, secret: str) -> str:
    """With the secret in its usual form: ``whsec_`` and base64."""
    return signing.signature(
        base64.b64decode(secret.removeprefix("whsec_")), webhook_id, at_s, body
    )


def delay_s(attempts: int, chance: float) -> float:
    """Seconds until the next attempt: half of ``min(3600, 5 * 3 ** (attempts - 1))`` at least, as
    ``chance`` in [0, 1) has it."""
    ceiling = min(LONGEST_DELAY_S, BASE_S * 3.0 ** (attempts - 1))
    return ceiling * (0.5 + 0.5 * chance)
