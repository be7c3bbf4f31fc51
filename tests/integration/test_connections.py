"""Connections to a real server over TLS: shared, kept, called back, and broken in every way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stretto.contexts.core.errors import Cancelled, InvalidOption
from stretto.contexts.external.adapters.transport import ConnectionPoolManager
from stretto.contexts.external.model import (
    LONGEST_ANSWER_BYTES,
    APIEndpoint,
    APIRequest,
    APIResponse,
    CallFailed,
    Phase,
    Timeouts,
)
from stretto.contexts.processing.model import CancelToken
from tests.fakes.backend import Backend, backend
from tests.fakes.backend_script import Fault, Reply, in_turn

PATIENT = Timeouts()
QUICK = Timeouts(connect_s=2.0, stall_s=0.5, answer_s=0.5)


def a_request(
    server: Backend,
    *,
    key: str = "k",
    audio: bytes = b"sound",
    longest_answer_bytes: int = LONGEST_ANSWER_BYTES,
) -> APIRequest:
    endpoint = APIEndpoint(server.url)
    head = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\n"
    )
    return APIRequest(
        endpoint=endpoint,
        method="POST",
        path=endpoint.path("/audio/transcriptions"),
        headers=(
            ("content-type", "multipart/form-data; boundary=x"),
            ("idempotency-key", key),
        ),
        body=(head, memoryview(audio), b"\r\n--x--\r\n"),
        longest_answer_bytes=longest_answer_bytes,
    )


class Client:
    def __init__(self, server: Backend, folder: Path, **options: Any) -> None:
        self.server = server
        self.manager = ConnectionPoolManager(
            authority=str(server.authority_file(folder)), **options
        )

    def ask(
        self,
        *,
        timeouts: Timeouts = PATIENT,
        seconds: float = 20.0,
        cancel: CancelToken | None = None,
        **request: Any,
    ) -> APIResponse:
        return self.manager.send(
            a_request(self.server, **request),
            timeouts=timeouts,
            until=time.monotonic() + seconds,
            cancel=cancel or CancelToken(),
        )

    def at_once(self, count: int, **given: Any) -> list[APIResponse]:
        with ThreadPoolExecutor(count) as pool:
            asked = [pool.submit(self.ask, key=f"k{n}", **given) for n in range(count)]
            return [one.result() for one in asked]


@pytest.fixture(params=["h2", "http/1.1"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    yield from a_client(tmp_path, protocols=(request.param,))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    yield from a_client(tmp_path)


def a_client(folder: Path, **server: Any) -> Iterator[Client]:
    with backend(folder, **server) as running:
        client = Client(running, folder)
        yield client
        client.manager.close()


def test_a_request_is_answered_in_the_protocol_that_the_service_speaks(either: Client) -> None:
    answer = either.ask(audio=b"some sound")
    assert answer.status == 200
    assert b"The recording has 10 bytes." in answer.body
    assert answer.protocol in {"HTTP/2", "HTTP/1.1"}


def test_a_server_on_this_machine_may_do_without_tls(tmp_path: Path) -> None:
    for client in a_client(tmp_path, encrypted=False):
        assert client.ask().protocol == "HTTP/1.1"
        assert client.ask().status == 200
        assert (client.manager.metrics.opened, client.manager.metrics.handshakes) == (1, 0)


def test_an_upload_larger_than_every_window_arrives_whole(either: Client) -> None:
    audio = bytes(range(256)) * 2**14 * 3  # 12 MiB
    assert either.ask(audio=audio).status == 200
    assert [entry.bytes for entry in either.server.entries()] == [len(audio)]


def test_four_requests_at_once_share_one_connection(client: Client) -> None:
    client.server.script = lambda _: Reply(takes_s=0.3)
    client.at_once(4)
    entries = client.server.entries()
    assert {entry.connection for entry in entries} == {1}
    assert max(entry.in_flight for entry in entries) == 4
    assert (client.manager.metrics.opened, client.manager.metrics.handshakes) == (1, 1)


def test_a_service_without_http_2_gets_a_connection_for_each(tmp_path: Path) -> None:
    for client in a_client(tmp_path, protocols=("http/1.1",)):
        client.server.script = lambda _: Reply(takes_s=0.3)
        client.at_once(3)
        assert client.manager.metrics.opened == 3
        client.at_once(3)
        assert client.manager.metrics.opened == 3


def test_there_are_never_more_connections_than_allowed(tmp_path: Path) -> None:
    with backend(tmp_path, protocols=("http/1.1",), script=lambda _: Reply(takes_s=0.05)) as server:
        client = Client(server, tmp_path, most=2)
        assert len(client.at_once(8)) == 8
        assert client.manager.metrics.opened == 2
        client.manager.close()


def test_a_warm_connection_is_there_before_the_first_request(client: Client) -> None:
    client.manager.warm_up(APIEndpoint(client.server.url), timeouts=PATIENT)
    wait_for(lambda: client.manager.metrics.handshakes == 1)
    client.at_once(4)
    assert client.manager.metrics.handshakes == 1


def test_an_idle_connection_is_closed_and_a_new_one_opened(tmp_path: Path) -> None:
    with backend(tmp_path) as server:
        client = Client(server, tmp_path, keep_alive_s=0.05)
        client.ask()
        time.sleep(0.1)
        client.ask()
        assert client.manager.metrics.opened == 2
        assert client.manager.metrics.closed == 1
        client.manager.close()


def test_a_certificate_of_nobody_known_is_refused(tmp_path: Path) -> None:
    with backend(tmp_path) as server:
        manager = ConnectionPoolManager()
        with pytest.raises(CallFailed, match="STRETTO_REMOTE_CA_FILE") as refused:
            manager.send(
                a_request(server),
                timeouts=PATIENT,
                until=time.monotonic() + 9,
                cancel=CancelToken(),
            )
        assert refused.value.permanent
        assert server.entries() == []
        manager.close()


def test_a_file_that_holds_no_certificates_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nonsense")
    for path in ("no.pem", "missing.pem"):
        with pytest.raises(InvalidOption, match="cannot be used"):
            ConnectionPoolManager(authority=str(tmp_path / path))


def test_nobody_listening_is_a_sentence_and_was_certainly_not_looked_at(tmp_path: Path) -> None:
    for client in a_client(tmp_path):
        client.server.go_down()
        with pytest.raises(CallFailed, match="cannot be reached") as failed:
            client.ask()
        assert failed.value.unseen
        client.server.come_up()
        assert client.ask().status == 200


def test_a_service_that_never_answers_is_given_up_and_the_others_go_on(client: Client) -> None:
    client.server.script = lambda call: (
        Reply(fault=Fault.NEVER_ANSWERS) if call.key == "dead" else Reply(takes_s=1.0)
    )
    with ThreadPoolExecutor() as pool:
        dead = pool.submit(client.ask, key="dead", timeouts=QUICK)
        alive = pool.submit(client.ask, key="alive")
        with pytest.raises(CallFailed, match="waiting for the answer"):
            dead.result()
        assert alive.result().status == 200
    assert client.manager.metrics.opened == 1


@pytest.mark.parametrize("protocols", [("h2",), ("http/1.1",)])
def test_the_deadline_is_kept_whatever_the_service_does(
    tmp_path: Path, protocols: tuple[str, ...]
) -> None:
    for client in a_client(tmp_path, protocols=protocols):
        client.server.script = lambda _: Reply(fault=Fault.NEVER_ANSWERS)
        began = time.monotonic()
        with pytest.raises(CallFailed, match="time for this piece is over"):
            client.ask(seconds=0.5)
        assert time.monotonic() - began < 5.0


def test_a_cancelled_request_is_called_back_and_the_connection_kept(client: Client) -> None:
    client.server.script = lambda call: Reply(takes_s=20.0 if call.key == "long" else 0.0)
    cancel = CancelToken()
    threading.Timer(0.3, cancel.cancel).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        client.ask(key="long", cancel=cancel)
    assert time.monotonic() - began < 10.0
    assert client.ask(key="next").status == 200
    assert [entry.key for entry in client.server.entries()] == ["next"]
    assert client.manager.metrics.opened == 1


def test_a_connection_that_the_network_forgot_is_noticed_long_before_the_timeout(
    tmp_path: Path,
) -> None:
    script = in_turn(Reply(fault=Fault.SILENT))
    with backend(tmp_path, script=script) as server:
        client = Client(server, tmp_path, quiet_s=0.2, look_after_s=0.05)
        began = time.monotonic()
        with pytest.raises(CallFailed, match="ping"):
            client.ask()
        assert time.monotonic() - began < 10.0
        assert client.ask(key="next").status == 200
        client.manager.close()


def test_a_service_that_only_thinks_for_long_answers_pings_and_is_waited_for(
    tmp_path: Path,
) -> None:
    with backend(tmp_path, script=lambda _: Reply(takes_s=1.0)) as server:
        client = Client(server, tmp_path, quiet_s=0.1, look_after_s=0.03)
        assert client.ask().status == 200
        client.manager.close()


def test_what_a_goaway_spares_is_still_answered(client: Client) -> None:
    client.server.script = lambda call: (
        Reply(fault=Fault.GOAWAY_ABOVE, drip_s=0.2, pieces=3) if call.key == "k" else Reply()
    )
    assert client.ask(key="k").status == 200
    assert client.ask(key="next").status == 200
    assert client.manager.metrics.opened == 2


def test_what_a_goaway_did_not_look_at_is_known_to_be_unseen(client: Client) -> None:
    client.server.script = in_turn(Reply(fault=Fault.GOAWAY_BELOW))
    with pytest.raises(CallFailed) as failed:
        client.ask()
    assert failed.value.unseen
    assert client.ask().status == 200


@pytest.mark.parametrize(
    ("fault", "unseen"),
    [
        (Fault.REFUSED, True),
        (Fault.RESET, False),
        (Fault.CLOSED, False),
        (Fault.RESET_IN_BODY, False),
        (Fault.GOAWAY_AND_CLOSED, False),
    ],
)
def test_a_break_says_whether_the_service_may_have_worked(
    client: Client, fault: Fault, unseen: bool
) -> None:
    client.server.script = in_turn(Reply(fault=fault, pieces=3))
    with pytest.raises(CallFailed) as failed:
        client.ask()
    assert failed.value.unseen is unseen
    assert client.ask().status == 200


@pytest.mark.parametrize("fault", [Fault.CLOSED, Fault.RESET_IN_BODY])
def test_without_http_2_a_break_is_noticed_as_well(tmp_path: Path, fault: Fault) -> None:
    for client in a_client(tmp_path, protocols=("http/1.1",)):
        client.server.script = in_turn(Reply(fault=fault))
        with pytest.raises(CallFailed):
            client.ask()
        assert client.ask().status == 200


def test_a_service_that_takes_one_stream_at_a_time_is_never_refused(tmp_path: Path) -> None:
    for client in a_client(tmp_path, most_streams=1):
        assert len(client.at_once(12)) == 12
        assert client.manager.metrics.resets == 0
        assert client.manager.metrics.opened <= 10


def test_a_window_of_nothing_is_waited_for_and_given_up_in_time(tmp_path: Path) -> None:
    for client in a_client(tmp_path, window=0):
        with pytest.raises(CallFailed, match="while sending") as failed:
            client.ask(timeouts=QUICK)
        assert failed.value.phase is Phase.SENDING


def test_an_answer_without_end_is_cut_off(either: Client) -> None:
    endless = Reply(body=b"x" * (8 * 2**20), pieces=512)
    either.server.script = lambda call: endless if call.key == "endless" else Reply()
    with pytest.raises(CallFailed, match="longer than 65536 bytes") as failed:
        either.ask(key="endless", longest_answer_bytes=2**16)
    assert failed.value.permanent
    assert either.manager.metrics.received_bytes < 4 * 2**20
    assert either.ask().status == 200


def test_an_answer_that_announces_its_length_is_not_waited_for(client: Client) -> None:
    announced = (("content-length", str(10**9)),)
    client.server.script = lambda _: Reply(headers=announced, body=b"x", drip_s=30.0)
    with pytest.raises(CallFailed, match="longer than") as failed:
        client.ask(timeouts=QUICK)
    assert failed.value.permanent


def test_an_answer_in_small_pieces_is_put_together(client: Client) -> None:
    client.server.script = lambda _: Reply(body=b"0123456789" * 100, pieces=50, drip_s=0.001)
    assert client.ask().body == b"0123456789" * 100


def test_nothing_is_left_open_after_all_that(client: Client) -> None:
    client.at_once(5)
    client.manager.close()
    wait_for(lambda: not client.server.open)
    assert "connections" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://example.org", "http://example.org/v1", "https://", "https://a@b.c/"],
)
def test_an_address_that_would_leak_the_key_or_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption):
        APIEndpoint(url)


def test_neither_the_key_nor_the_recording_is_shown(client: Client) -> None:
    request = a_request(client.server, key="secret", audio=b"private")
    assert "secret" not in repr(request)
    assert "private" not in repr(request)


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
