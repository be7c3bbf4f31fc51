"""The gateway against a real service over TLS: retried where it is worth it, and no more."""

from __future__ import annotations

import gc
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.errors import (
    Cancelled,
    EngineFailure,
    EngineUnavailable,
    StorageFull,
    TransientEngineFailure,
    UnusableAnswer,
)
from stretto.contexts.core.identifiers import AudioHash, Language
from stretto.contexts.core.recognition import Recognition, Task, TranscriptionOptions
from stretto.contexts.core.transcript import GapReason
from stretto.contexts.external.adapters.audio_files import FlacEncoder, WavEncoder
from stretto.contexts.external.adapters.pace_memory import MemoryPaceStore
from stretto.contexts.external.adapters.transport import ConnectionPoolManager
from stretto.contexts.external.breaker import CircuitBreaker
from stretto.contexts.external.gateway import Gateway
from stretto.contexts.external.model import APIEndpoint, Timeouts
from stretto.contexts.external.pace import RateLimit
from stretto.contexts.external.parser import ResponseFormat
from stretto.contexts.external.ratelimit import RateLimitHandler
from stretto.contexts.external.retrying import RetryPolicy
from stretto.contexts.external.transcription import RemoteTranscription, ServiceDescription
from stretto.contexts.processing.model import CancelToken
from tests.fakes.audio import speechlike
from tests.fakes.backend import Backend, backend
from tests.fakes.backend_script import Call, Fault, Reply, in_turn, refused

ENGLISH = TranscriptionOptions(language=Language("en"))
KEY = "sk-very-secret"
AUDIO = speechlike(4.0)
SPEECH = (Span(0, 2 * SAMPLE_RATE_HZ), Span(3 * SAMPLE_RATE_HZ, 4 * SAMPLE_RATE_HZ))


@dataclass
class Desk:
    """A service in the fake backend, and everything between it and a caller."""

    server: Backend
    manager: ConnectionPoolManager
    limit: RateLimit = field(default_factory=lambda: RateLimit(concurrency=64))
    deadline_s: float = 20.0
    answers: ResponseFormat = ResponseFormat.JSON
    maximum_bytes: int = 2**20
    seconds_open: float = 5.0
    quick: bool = True

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(clock=time.monotonic, seconds_open=self.seconds_open)
        self.limits = RateLimitHandler(
            self.limit, store=MemoryPaceStore(time.monotonic), clock=time.monotonic
        )
        self.service = RemoteTranscription(
            service=ServiceDescription(
                name="openai",
                title="The backend",
                endpoint=APIEndpoint(self.server.url),
                model="whisper-1",
                answers=self.answers,
                key=KEY,
                maximum_bytes=self.maximum_bytes,
            ),
            gateway=Gateway(
                name="The backend",
                transport=self.manager,
                limits=self.limits,
                breaker=self.breaker,
                timeouts=Timeouts(connect_s=2.0, stall_s=2.0, answer_s=5.0),
                retries=RetryPolicy(first_delay_s=0.01 if self.quick else 0.5),
                deadline_s=self.deadline_s,
            ),
            encoder=WavEncoder(),
        )

    def ask(
        self,
        number: int = 0,
        *,
        options: TranscriptionOptions = ENGLISH,
        cancel: CancelToken | None = None,
        tenant: str = "",
        recording: str = "",
    ) -> Recognition:
        """``number`` makes one recording different from the other."""
        samples = np.concatenate([AUDIO, np.full(16, number, np.int16)])
        return self.service.transcribe(
            samples.data,
            options,
            audio=AudioHash(hashlib.sha256(samples.data).hexdigest()),
            speech=SPEECH,
            cancel=cancel or CancelToken(),
            tenant=tenant,
            recording=recording,
        )

    def attempts(self) -> Counter[str]:
        return Counter(entry.key for entry in self.server.entries())


Setup = Callable[..., Desk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Setup]:
    with backend(tmp_path) as server:
        manager = ConnectionPoolManager(authority=str(server.authority_file(tmp_path)))

        def make(script: Callable[[Call], Reply] = lambda _: Reply(), **given: Any) -> Desk:
            server.script = script
            return Desk(server, manager, **given)

        yield make
        manager.close()


def test_text_without_times_is_laid_onto_the_speech(desk: Setup) -> None:
    answer = desk().ask()
    assert [segment.estimated for segment in answer.segments] == [True, True]
    assert (answer.segments[0].start, answer.segments[-1].end) == (0.0, 4.0)
    assert answer.transcribed_s == answer.speech_s == 3.0
    assert answer.language == Language("en")
    assert not answer.gaps


def test_the_service_gets_what_its_interface_wants(desk: Setup) -> None:
    calls: list[Call] = []
    one = desk(lambda call: calls.append(call) or Reply())
    one.ask(options=TranscriptionOptions(language=Language("ru"), prompt='Имена: "Ян"'))
    (call,) = calls
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert call.fields == {
        "model": "whisper-1",
        "response_format": "json",
        "temperature": "0",
        "language": "ru",
        "prompt": 'Имена: "Ян"',
        "file.name": "audio.wav",
        "file.type": "audio/wav",
    }
    assert call.audio[44:][: AUDIO.nbytes] == AUDIO.tobytes()


def test_translating_has_an_address_of_its_own_and_no_language(desk: Setup) -> None:
    calls: list[Call] = []
    one = desk(lambda call: calls.append(call) or Reply())
    one.ask(options=TranscriptionOptions(language=Language("ru"), task=Task.TRANSLATE))
    assert calls[0].headers[":path"] == "/v1/audio/translations"
    assert "language" not in calls[0].fields


@pytest.mark.parametrize(
    "reply",
    [
        refused(503, "busy"),
        refused(500, "oops"),
        refused(408, "too slow"),
        refused(409, "conflict"),
        Reply(fault=Fault.RESET),
        Reply(fault=Fault.REFUSED),
        Reply(fault=Fault.CLOSED),
        Reply(fault=Fault.GOAWAY_BELOW),
        Reply(fault=Fault.RESET_IN_BODY, pieces=2),
        Reply(body=b'{"text": "cut o'),
        Reply(body=b"<html>502</html>"),
    ],
)
def test_what_a_retry_may_help_is_tried_again_with_the_same_key(desk: Setup, reply: Reply) -> None:
    one = desk(in_turn(reply))
    assert one.ask().segments
    assert list(one.attempts().values()) == [2]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
def test_a_service_that_repeats_our_key_is_quoted_without_it(desk: Setup, status: int) -> None:
    one = desk(lambda call: refused(status, f"No access with {call.headers['authorization']}."))
    with pytest.raises((EngineFailure, EngineUnavailable), match=r"Bearer \*\*\*\.") as failed:
        one.ask()
    assert KEY not in str(failed.value)


@pytest.mark.parametrize(("status", "kind"), [(400, EngineFailure), (413, EngineFailure)])
def test_what_would_be_the_same_again_is_not_tried_again(
    desk: Setup, status: int, kind: type[Exception]
) -> None:
    one = desk(lambda _: refused(status, "The prompt is rude."))
    with pytest.raises(kind, match=r"refused a piece .*The prompt is rude\.") as failed:
        one.ask()
    assert not isinstance(failed.value, TransientEngineFailure)
    assert list(one.attempts().values()) == [1]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_concerns_the_whole_file(desk: Setup, status: int) -> None:
    one = desk(lambda _: refused(status, "Incorrect API key provided"))
    with pytest.raises(EngineUnavailable, match="does not accept the key") as failed:
        one.ask()
    assert KEY not in str(failed.value)
    assert KEY not in repr(one.service)
    assert list(one.attempts().values()) == [1]


def test_one_request_is_tried_three_times_at_most(desk: Setup) -> None:
    one = desk(lambda _: refused(503, "busy"))
    with pytest.raises(TransientEngineFailure, match="busy"):
        one.ask()
    assert list(one.attempts().values()) == [3]


@pytest.mark.parametrize(
    "body", [b'{"text": "cut o', b"<html></html>", b'{"text": "' + b"la " * 9000 + b'"}']
)
def test_an_answer_that_stays_bad_is_one_typed_error(desk: Setup, body: bytes) -> None:
    one = desk(lambda _: Reply(body=body))
    with pytest.raises(UnusableAnswer):
        one.ask()


def test_no_text_over_speech_is_a_gap_and_no_success(desk: Setup) -> None:
    answer = desk(lambda _: Reply(body=b'{"text": "  "}')).ask()
    (gap,) = answer.gaps
    assert (gap.start, gap.end, gap.reason) == (0.0, 4.0, GapReason.NOTHING_RECOGNISED)
    assert answer.transcribed_s == 0.0


def test_a_piece_that_the_service_would_not_take_is_not_sent(desk: Setup) -> None:
    one = desk(maximum_bytes=1000)
    with pytest.raises(EngineFailure, match="takes 1000 bytes"):
        one.ask()
    assert one.server.entries() == []


def test_a_service_that_says_when_to_come_back_is_never_asked_early(desk: Setup) -> None:
    asked: list[float] = []

    def script(call: Call) -> Reply:
        asked.append(time.monotonic())
        return refused(429, "slow down", retry_after="1") if call.number < 1 else Reply()

    one = desk(script)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(one.ask, 0)
        while not asked:
            time.sleep(0.005)
        time.sleep(0.1)
        others = [pool.submit(one.ask, number) for number in range(1, 8)]
        assert all(future.result().segments for future in [first, *others])
    assert min(asked[1:]) - asked[0] >= 1.0


def test_when_the_service_wants_more_time_than_there_is_nobody_waits(desk: Setup) -> None:
    one = desk(lambda _: refused(429, "slow down", retry_after="30"), deadline_s=2.0)
    began = time.monotonic()
    with pytest.raises(TransientEngineFailure, match="had enough"):
        one.ask()
    assert time.monotonic() - began < 1.0


def test_the_deadline_holds_for_all_attempts_together(desk: Setup) -> None:
    one = desk(lambda _: Reply(fault=Fault.NEVER_ANSWERS), deadline_s=0.6)
    began = time.monotonic()
    with pytest.raises(TransientEngineFailure):
        one.ask()
    assert 0.5 < time.monotonic() - began < 1.6


def test_a_cancel_is_obeyed_while_the_service_thinks(desk: Setup) -> None:
    one = desk(lambda _: Reply(takes_s=4.0))
    cancel = CancelToken()
    threading.Timer(0.2, cancel.cancel).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        one.ask(cancel=cancel)
    assert time.monotonic() - began < 1.2
    assert one.server.entries() == []


def test_never_more_calls_at_once_than_allowed(desk: Setup) -> None:
    """Three files of four chunks each, at once: as long as one file three times."""
    one = desk(lambda _: Reply(takes_s=0.2), limit=RateLimit(concurrency=4))
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(one.ask, range(12)))
    assert max(entry.in_flight for entry in one.server.entries()) == 4
    assert 0.6 <= time.monotonic() - began < 1.2


def test_a_service_in_trouble_gets_little_more_than_the_usual_load(desk: Setup) -> None:
    """G1 in three seconds: twenty callers, a service that answers 503, then is well again."""
    ill = threading.Event()
    ill.set()
    one = desk(lambda _: refused(503, "down") if ill.is_set() else Reply(), seconds_open=0.5)
    numbers, turned_away_s = count(), []
    began = time.monotonic()

    def keep_asking() -> None:
        while time.monotonic() < began + 3.0:
            at = time.perf_counter()
            with suppress(TransientEngineFailure):
                try:
                    one.ask(next(numbers))
                except TransientEngineFailure as failure:
                    if "left alone" in str(failure):
                        turned_away_s.append(time.perf_counter() - at)
                    raise
            time.sleep(0.05)

    with ThreadPoolExecutor(20) as pool:
        [future.result() for future in [pool.submit(keep_asking) for _ in range(20)]]
    attempts = one.attempts()
    assert attempts.total() <= 1.2 * len(attempts) + 3
    assert max(attempts.values()) <= 3
    late = [entry for entry in one.server.entries() if entry.at > began + 1.0]
    assert late
    assert max(entry.in_flight for entry in late) == 1
    assert len(late) <= 5
    assert sorted(turned_away_s)[len(turned_away_s) // 2] <= 0.005
    ill.clear()
    time.sleep(0.5)
    assert one.ask(next(numbers)).segments
    assert one.ask(next(numbers)).segments


def test_connections_that_go_away_again_and_again_cost_no_call(tmp_path: Path) -> None:
    """G3: every twentieth stream is left unlooked at by a service that goes away."""
    with backend(tmp_path, goaway_every=20, script=lambda _: Reply(takes_s=0.001)) as server:
        manager = ConnectionPoolManager(authority=str(server.authority_file(tmp_path)))
        one = Desk(server, manager)
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(one.ask, range(500)))
        assert all(answer.segments for answer in answers)
        executed = Counter(entry.key for entry in server.entries() if entry.executed)
        assert len(executed) == 500
        assert set(executed.values()) == {1}
        manager.close()


@pytest.mark.parametrize("recordings", [1, 8])
def test_tenants_take_turns_however_many_recordings_they_have(desk: Setup, recordings: int) -> None:
    order: list[str] = []

    def script(call: Call) -> Reply:
        order.append(call.fields["prompt"])
        return Reply(takes_s=0.02)

    one = desk(script, limit=RateLimit(concurrency=1))

    def ask(tenant: str, number: int) -> None:
        one.ask(
            number,
            options=TranscriptionOptions(prompt=tenant),
            tenant=tenant,
            recording=f"{number % recordings}",
        )

    with ThreadPoolExecutor(24) as pool:
        many = [pool.submit(ask, "many", number) for number in range(16)]
        while not order:
            time.sleep(0.001)
        few = [pool.submit(ask, "few", number) for number in range(4)]
        [future.result() for future in [*many, *few]]
    assert order.index("few") <= 4
    assert [at for at, tenant in enumerate(order) if tenant == "few"][-1] <= 12


def test_a_long_recording_of_a_tenant_does_not_keep_a_short_one_waiting(desk: Setup) -> None:
    order: list[str] = []

    def script(call: Call) -> Reply:
        order.append(call.fields["prompt"])
        return Reply(takes_s=0.02)

    one = desk(script, limit=RateLimit(concurrency=1))

    def ask(recording: str, number: int) -> None:
        options = TranscriptionOptions(prompt=recording)
        one.ask(number, options=options, tenant="anna", recording=recording)

    with ThreadPoolExecutor(24) as pool:
        long = [pool.submit(ask, "long", number) for number in range(16)]
        while not order:
            time.sleep(0.001)
        short = [pool.submit(ask, "short", number) for number in range(4)]
        [future.result() for future in [*long, *short]]
    assert [at for at, recording in enumerate(order) if recording == "short"][-1] <= 12


@pytest.mark.parametrize("encoder", [FlacEncoder(), WavEncoder()])
def test_what_is_sent_can_be_decoded_and_is_the_same_sound(encoder: Any, tmp_path: Path) -> None:
    import av

    encoded = encoder.encode(AUDIO.data.cast("B"))
    path = tmp_path / encoded.name
    path.write_bytes(b"".join(bytes(piece[:]) for piece in encoded.pieces))
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (SAMPLE_RATE_HZ, 1)
        frames = [frame.to_ndarray().ravel() for frame in container.decode(stream)]
    assert np.array_equal(np.concatenate(frames), AUDIO)


def test_without_room_to_pack_a_piece_it_is_said_where_room_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    with pytest.raises(StorageFull, match="TMPDIR"):
        FlacEncoder().encode(AUDIO.data.cast("B"))


def test_what_was_packed_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(Path("/proc/self/fd").iterdir())
    encoded = FlacEncoder().encode(AUDIO.data.cast("B"))
    assert list(tmp_path.iterdir()) == []
    assert len(encoded.pieces[0]) < AUDIO.nbytes
    del encoded
    gc.collect()
    assert set(Path("/proc/self/fd").iterdir()) <= before
