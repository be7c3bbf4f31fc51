"""A service that is reached through a proxy, which sees nothing of what is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stretto.bootstrap.remote import proxies_of
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.external.adapters.transport import ConnectionPoolManager
from stretto.contexts.external.adapters.tunnel import Proxy as Door
from stretto.contexts.external.model import (
    APIEndpoint,
    APIRequest,
    APIResponse,
    CallFailed,
    Phase,
    Timeouts,
)
from stretto.contexts.processing.model import CancelToken
from stretto.settings import Settings
from tests.fakes.backend import Backend, backend
from tests.fakes.proxy import a_proxy

SOUND = b"nobody but the service may hear this" * 10_000
Ask = Callable[[str], APIResponse]


@pytest.fixture(params=["h2", "http/1.1"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with backend(tmp_path, protocols=(request.param,)) as running:
        yield running


@pytest.fixture
def ask(server: Backend, tmp_path: Path) -> Iterator[Ask]:
    """Sends one recording to the service through the proxy at a URL."""
    managers: list[ConnectionPoolManager] = []

    def send(url: str) -> APIResponse:
        manager = ConnectionPoolManager(
            authority=str(server.authority_file(tmp_path)), proxy_for=lambda _: url
        )
        managers.append(manager)
        endpoint = APIEndpoint(server.url)
        return manager.send(
            APIRequest(
                endpoint=endpoint,
                method="POST",
                path=endpoint.path("/audio/transcriptions"),
                headers=(("authorization", "Bearer sk-very-secret"),),
                body=(SOUND,),
            ),
            timeouts=Timeouts(connect_s=2.0, stall_s=2.0, answer_s=5.0),
            until=time.monotonic() + 10,
            cancel=CancelToken(),
        )

    yield send
    for manager in managers:
        manager.close()


def test_what_passes_the_proxy_is_a_tunnel_that_it_cannot_look_into(
    server: Backend, ask: Ask
) -> None:
    with a_proxy() as proxy:
        assert ask(proxy.url).status == 200
    assert proxy.asked == [f"localhost:{server.port}"]
    assert len(proxy.passed) > len(SOUND)
    assert b"nobody but the service" not in proxy.passed
    assert b"sk-very-secret" not in proxy.passed


def test_a_proxy_may_want_a_name_and_a_password(ask: Ask) -> None:
    with a_proxy(password="anna:p@ss") as proxy:
        with pytest.raises(CallFailed, match="407") as refused:
            ask(proxy.url)
        assert refused.value.permanent
        assert ask(f"http://anna:p%40ss@127.0.0.1:{proxy.port}").status == 200
        assert "p@ss" not in repr(Door.at(f"http://anna:p%40ss@127.0.0.1:{proxy.port}"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000, "does not speak HTTP"),
        (b"HTTP/1.1 2", "closed"),
    ],
)
def test_a_proxy_that_does_not_help_is_a_sentence(ask: Ask, answer: bytes, said: str) -> None:
    with a_proxy(answer=answer) as proxy, pytest.raises(CallFailed, match=said) as failed:
        ask(proxy.url)
    assert failed.value.unseen
    assert failed.value.phase is Phase.CONNECTING


def test_a_proxy_that_is_not_there_is_a_sentence(ask: Ask) -> None:
    with a_proxy() as proxy:
        gone = proxy.url
    with pytest.raises(CallFailed, match="cannot be reached"):
        ask(gone)


@pytest.mark.parametrize("url", ["socks5://x:1", "https://x:1", "http://", "http://x:99999"])
def test_what_is_no_proxy_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InvalidOption, match="STRETTO_REMOTE_PROXY") as refused:
        Door.at(url.replace("//", "//anna:secret@"))
    assert "secret" not in refused.value.message


def test_the_setting_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://everybody:1")
    monkeypatch.setenv("NO_PROXY", "inside.example.org")
    home = Path("/nonexistent")
    of_environment = proxies_of(Settings(home=home))
    assert of_environment("api.example.org") == "http://everybody:1"
    assert of_environment("inside.example.org") == ""
    assert of_environment("localhost") == ""
    ours = proxies_of(Settings(home=home, remote_proxy="http://ours:2"))
    assert ours("api.example.org") == "http://ours:2"
    assert proxies_of(Settings(home=home, remote_proxy="none"))("api.example.org") == ""
