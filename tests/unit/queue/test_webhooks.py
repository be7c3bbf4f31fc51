"""Whoever asked for it is told that a job is over: signed, again and again, and never twice in a
row by two."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

import pytest

from stretto.contexts.core.errors import CallbackFailed
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.core.job import JobStatus
from stretto.contexts.queue.model import DeathCause, JobError
from stretto.contexts.queue.webhooks import (
    LONGEST_DELAY_S,
    MOST_ATTEMPTS,
    Webhook,
    WebhookCourier,
    body_of,
    delay_s,
    signature,
)
from tests.unit.queue.jobs import a_job, job_id

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
NOW = Timestamp(1_800_000_000.5)


class Records:
    """Calls that are owed, in memory."""

    def __init__(self, *owed: Webhook) -> None:
        self.owed = list(owed)
        self.delays: list[float] = []
        self.ends: list[str] = []

    def take(self, limit: int, *, for_s: float) -> list[Webhook]:
        taken, self.owed = self.owed[:limit], self.owed[limit:]
        return taken

    def put_off(self, webhook: Webhook, *, delay_s: float) -> None:
        self.delays.append(delay_s)

    def done(self, webhook: Webhook, *, trouble: str = "") -> None:
        self.ends.append(trouble)


class Receiver:
    def __init__(self, *, failing: bool = False) -> None:
        self.failing = failing
        self.heard: list[tuple[str, bytes, Mapping[str, str]]] = []

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.heard.append((url, body, headers))
        if self.failing:
            raise CallbackFailed("It answered 503.")


def a_webhook(attempts: int = 1) -> Webhook:
    return Webhook(
        id="msg_1", job_id=job_id(1), url="https://e.org/token", body="{}", attempts=attempts
    )


def courier(records: Records, receiver: Receiver, *, secret: str = SECRET) -> WebhookCourier:
    return WebhookCourier(
        records=records, post=receiver.post, secret=secret, clock=lambda: NOW, dice=lambda: 0.0
    )


def test_a_call_is_signed_over_its_id_its_time_and_its_body() -> None:
    receiver = Receiver()
    records = Records(a_webhook())
    assert courier(records, receiver).deliver() == 1
    ((url, body, headers),) = receiver.heard
    assert (url, body) == ("https://e.org/token", b"{}")
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, b"msg_1.1800000000.{}", hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1800000000")
    assert records.ends == [""]


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks."""
    signed = signature(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_whoever_does_not_listen_is_called_again_later() -> None:
    records = Records(a_webhook(1), a_webhook(4))
    courier(records, Receiver(failing=True)).deliver()
    assert records.delays == [2.5, 67.5]
    assert records.ends == []


def test_after_hours_a_call_is_given_up_and_why_is_said() -> None:
    records = Records(a_webhook(MOST_ATTEMPTS))
    courier(records, Receiver(failing=True)).deliver()
    assert (records.delays, records.ends) == ([], ["It answered 503."])


def test_without_a_secret_nothing_is_sent() -> None:
    receiver, records = Receiver(), Records(a_webhook())
    courier(records, receiver, secret="").deliver()
    assert receiver.heard == []
    assert len(records.delays) == 1


def test_all_that_is_due_is_called_in_one_go() -> None:
    receiver = Receiver()
    assert courier(Records(*[a_webhook()] * 25), receiver).deliver() == 25
    assert len(receiver.heard) == 25


@pytest.mark.parametrize("attempts", range(1, MOST_ATTEMPTS))
def test_waits_grow_up_to_an_hour(attempts: int) -> None:
    assert delay_s(attempts, 0.0) <= delay_s(attempts, 0.99) <= LONGEST_DELAY_S
    assert delay_s(attempts, 0.0) <= delay_s(attempts + 1, 0.0)


def test_what_is_told_of_a_job() -> None:
    transcript = TranscriptId.new()
    done = json.loads(body_of(a_job(status=JobStatus.COMPLETED, transcript_id=transcript)))
    assert done["type"] == "job.completed"
    assert done["data"]["transcript_id"] == str(transcript)
    assert "/talks" not in json.dumps(done), "where files lie is nobody's business"
    error = JobError(kind="MediaNotFound", message="There is no file.", trace="secret")
    dead = a_job(status=JobStatus.FAILED, error=error, cause=DeathCause.REFUSED)
    told = json.loads(body_of(dead))
    assert told["type"] == "job.failed"
    assert told["data"]["error"] == {"kind": "MediaNotFound", "message": "There is no file."}


def test_the_url_and_the_secret_are_in_no_repr() -> None:
    shown = repr(a_webhook()) + repr(courier(Records(), Receiver()))
    shown += repr(a_job(callback="https://e.org/token"))
    assert "token" not in shown
    assert SECRET not in shown
