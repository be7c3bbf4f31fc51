"""Wires the services over the network that the settings name."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from stretto.contexts.core.errors import EngineUnavailable
from stretto.settings import Settings, variable_of

if TYPE_CHECKING:
    from stretto.contexts.external.adapters.pace_redis import RedisPaceStore
    from stretto.contexts.external.adapters.transport import ConnectionPoolManager
    from stretto.contexts.external.gateway import Gateway
    from stretto.contexts.external.model import ConnectionMetrics
    from stretto.contexts.external.ports import Observer, PaceStore
    from stretto.contexts.external.transcription import RemoteTranscription

INSTALL: Final = "Install it with: pip install 'stretto[remote]'"
THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
NEEDS_A_KEY: Final = frozenset({"foundation-models.api.cloud.ru", "api.openai.com"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the settings say of one service; ``key`` may be shown to nobody but the service."""

    name: str
    title: str
    url: str
    key_name: str
    usual_model: str
    answers: str


def services_of(settings: Settings) -> dict[str, Service]:
    cloudru = Service(
        name="cloudru",
        title="Cloud.ru",
        url=settings.cloudru_url,
        key_name="cloudru_api_key",
        usual_model="openai/whisper-large-v3",
        answers="json",
    )
    openai = Service(
        name="openai",
        title=urlsplit(settings.openai_url).hostname or "The service",
        url=settings.openai_url,
        key_name="openai_api_key",
        usual_model="whisper-1",
        answers=settings.openai_answers,
    )
    return {service.name: service for service in (cloudru, openai)}


def key_of(settings: Settings, service: Service) -> str:
    """From the settings, or from the file that they name. Raises EngineUnavailable."""
    key: str = getattr(settings, service.key_name)
    path: str = getattr(settings, f"{service.key_name}_file")
    if not key and path:
        key = _read_key(Path(path).expanduser())
    variable = variable_of(service.key_name)
    if not key and urlsplit(service.url).hostname in NEEDS_A_KEY:
        raise EngineUnavailable(
            f"The engine {service.name} needs a key. Put it into {variable}, or into a file "
            f"that {variable}_FILE names."
        )
    return key


def proxies_of(settings: Settings) -> Callable[[str], str]:
    """Through which proxy a host is reached: that of the settings, or of the environment as other
    programs read it; empty for none. A server on this machine is behind no proxy."""
    if settings.remote_proxy == "none":
        return lambda _: ""
    proxies = {"https": settings.remote_proxy} if settings.remote_proxy else {}
    proxies = proxies or getproxies_environment()
    url = proxies.get("https", proxies.get("all", ""))

    def proxy_for(host: str) -> str:
        passed_by = host in THIS_MACHINE or proxy_bypass(host)
        return "" if passed_by else url

    return proxy_for


def _read_key(path: Path) -> str:
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as cause:
        why = getattr(cause, "strerror", None) or "it is no text in ASCII"
        raise EngineUnavailable(f"The file with the key, {path}, cannot be read: {why}.") from cause
    if not key or not key.isprintable() or " " in key:
        raise EngineUnavailable(f"The file {path} does not hold a key, which is one word.")
    return key


def look_at_service(settings: Settings) -> Callable[[], str] | None:
    """How to find out whether the service of the settings' engine can be used; None when the engine
    is no service. It raises a StrettoError that says what is wrong."""
    if settings.engine not in services_of(settings):
        return None

    def look() -> str:
        from stretto.contexts.processing.model import CancelToken

        services = RemoteServices(settings)
        try:
            return services(settings.engine, settings.model).look(cancel=CancelToken())
        finally:
            services.close()

    return look


class RemoteServices:
    """Makes the client of a service by its name, and closes its connections in the end. Whatever
    models of a service are asked for, one gateway stands before it: its limits and its troubles
    are the same for all of them."""

    def __init__(self, settings: Settings, *, observer: Observer | None = None) -> None:
        self._settings = settings
        self._observer = observer
        self._transport: ConnectionPoolManager | None = None
        self._shared: RedisPaceStore | None = None
        self._gateways: dict[str, Gateway] = {}
        self._lock = Lock()

    def __call__(self, name: str, model: str) -> RemoteTranscription:
        """``model`` empty is the usual one. Connects to nothing. Raises EngineUnavailable and
        InvalidOption."""
        settings = self._settings
        service = services_of(settings)[name]
        key = key_of(settings, service)
        try:
            from stretto.contexts.external.adapters.audio_files import FlacEncoder, WavEncoder

            gateway = self._gateway(service, key)
        except ImportError as cause:
            raise EngineUnavailable(
                f"The engine {name} needs a package that is not installed: {cause.name}. {INSTALL}"
            ) from cause
        from stretto.contexts.external.model import APIEndpoint
        from stretto.contexts.external.parser import ResponseFormat
        from stretto.contexts.external.transcription import RemoteTranscription, ServiceDescription

        endpoint = APIEndpoint(service.url)
        return RemoteTranscription(
            service=ServiceDescription(
                name=name,
                title=service.title,
                endpoint=endpoint,
                model=model or service.usual_model,
                answers=ResponseFormat(service.answers),
                key=key,
                maximum_bytes=settings.remote_body_bytes,
                maximum_s=float(settings.remote_call_s) or None,
                concurrency=settings.remote_concurrency,
            ),
            gateway=gateway,
            encoder=FlacEncoder() if settings.remote_encoding == "flac" else WavEncoder(),
        )

    @property
    def metrics(self) -> ConnectionMetrics:
        """What was connected and sent so far, to all services together."""
        from stretto.contexts.external.model import ConnectionMetrics

        return self._transport.metrics if self._transport is not None else ConnectionMetrics()

    @property
    def breakers_open(self) -> int:
        """How many services are left alone for a while."""
        return sum(gateway.breaker.open for gateway in tuple(self._gateways.values()))

    def calm(self, name: str) -> bool:
        """Whether that engine was not told to slow down lately; a local one never is."""
        gateway = self._gateways.get(name)
        return gateway is None or not gateway.limits.told_to_slow_down()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._shared is not None:
            self._shared.close()

    def _gateway(self, service: Service, key: str) -> Gateway:
        """The one of the service. Raises ImportError."""
        from stretto.contexts.external.adapters.transport import ConnectionPoolManager

        with self._lock:
            if service.name not in self._gateways:
                self._transport = self._transport or ConnectionPoolManager(
                    authority=str(self._settings.remote_ca_file),
                    proxy_for=proxies_of(self._settings),
                )
                self._gateways[service.name] = _gateway(
                    self._settings,
                    service,
                    self._transport,
                    self._pace_store(service, key),
                    self._observer,
                )
            return self._gateways[service.name]

    def _pace_store(self, service: Service, key: str) -> PaceStore:
        """Shared with all processes that use the same Redis and the same account."""
        from stretto.contexts.external.adapters.pace_memory import MemoryPaceStore

        if not self._settings.redis_url:
            return MemoryPaceStore(time.monotonic)
        from stretto.contexts.external.adapters.pace_redis import RedisPaceStore

        account = hashlib.sha256(f"{service.url} {key}".encode()).hexdigest()[:16]
        self._shared = RedisPaceStore(self._settings.redis_url, name=account)
        return self._shared


def _gateway(
    settings: Settings,
    service: Service,
    transport: ConnectionPoolManager,
    store: PaceStore,
    observer: Observer | None,
) -> Gateway:
    from stretto.contexts.external.breaker import CircuitBreaker
    from stretto.contexts.external.gateway import Gateway
    from stretto.contexts.external.model import Timeouts
    from stretto.contexts.external.pace import RateLimit
    from stretto.contexts.external.ports import Unobserved
    from stretto.contexts.external.ratelimit import RateLimitHandler

    limit = RateLimit(
        requests_per_minute=settings.remote_requests_per_minute,
        audio_s_per_minute=float(settings.remote_audio_s_per_minute),
        concurrency=settings.remote_concurrency,
    )
    return Gateway(
        name=service.title,
        transport=transport,
        limits=RateLimitHandler(limit, store=store, clock=time.monotonic),
        breaker=CircuitBreaker(clock=time.monotonic),
        timeouts=Timeouts(answer_s=float(settings.remote_answer_s)),
        deadline_s=float(settings.remote_deadline_s),
        observer=observer or Unobserved(),
    )
