"""What every request passes before its route, and every answer after it: names, origins, keys, ids
and the headers that keep browsers safe."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Set
from functools import partial
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stretto.bootstrap.serving import Serving, is_loopback
from stretto.contexts.core.access import Caller
from stretto.contexts.core.errors import AccessDenied, AccessKeyRefused, StrettoError
from stretto.contexts.core.log_context import work_for
from stretto.interfaces.http import errors
from stretto.interfaces.http.bodies import Body, Refusal
from stretto.interfaces.http.errors import HttpError
from stretto.interfaces.http.figures import kind_of
from stretto.interfaces.http.security import HOW_TO_GET_ONE, Doorkeeper, secret_of
from stretto.interfaces.http.streaming import LET_IN

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PASSED_ON: Final = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"}
)
"""What proxies add. Behind one, the loopback interface is no sign of somebody at the machine."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"microphone=(self), camera=(), geolocation=()"),
)

logger = logging.getLogger(__name__)


class Gate:
    """Around the whole application."""

    def __init__(self, app: ASGIApp, *, serving: Serving, keeper: Doorkeeper) -> None:
        self._app = app
        self._serving = serving
        self._keeper = keeper
        self._counted = serving.monitoring.answered
        names = {n.lower() for n in serving.settings.serve_names.split(",") if n}
        self._names = names | {serving.settings.serve_host.lower()}
        if is_loopback(serving.settings.serve_host):
            self._names |= {"localhost", "127.0.0.1", "[::1]", "::1"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, begun, came = uuid.uuid4().hex, False, time.perf_counter()
        scope.setdefault("state", {})["request_id"] = request_id
        work_for(request=request_id)  # each request is a task of its own

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                kind = kind_of(scope["path"])
                self._counted(kind, message["status"], time.perf_counter() - came)
                message["headers"] = _with_ours(message.get("headers", []), request_id)
            await send(message)

        try:
            await self._admit(scope)
            await self._app(scope, Body(scope, receive).receive, sending)
        except StrettoError as error:
            if begun:
                raise
            await errors.answer(error, request_id=request_id)(scope, receive, sending)
        except Exception:
            logger.exception("The request %s met a bug.", request_id)
            if begun:
                raise
            await errors.unexpected(request_id=request_id)(scope, receive, sending)

    async def _admit(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if is_loopback(self._serving.settings.serve_host) and name not in self._names:
            raise HttpError(
                421,
                f"This server is not known as {name[:80]!r}. Name it in STRETTO_SERVE_NAMES.",
                code="unknown_host",
            )
        if scope["method"] not in SAFE_METHODS:
            _refuse_strangers(headers, host)
        scope["state"]["caller"] = await self._caller(scope, headers)
        # Nobody below reads a cookie, but would take it apart, in a time that grows with its
        # square before Python 3.11.10 and 3.12.6 (CVE-2024-7592).
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"cookie"]

    async def _caller(self, scope: Scope, headers: dict[bytes, bytes]) -> Caller | None:
        secret = secret_of(headers)
        if not self._serving.key_needed:
            passed_on = PASSED_ON & headers.keys()
            if not passed_on:
                return Caller()
            scope["state"]["refusal"] = _for_the_proxy(passed_on)
        if not secret:
            return None
        caller = self._keeper.recall(secret)
        if caller is None:
            address = (scope.get("client") or ("",))[0]
            try:
                caller = await asyncio.to_thread(self._keeper.look_up, secret, address=address)
            except AccessKeyRefused as refusal:  # where nobody needs a key, no wrong one matters
                scope["state"]["refusal"] = refusal
                return None
        scope["state"][LET_IN] = partial(self._keeper.knows, secret)
        self._keeper.spend(caller)
        return caller


def _for_the_proxy(passed_on: Set[bytes]) -> AccessKeyRefused:
    names = ", ".join(name.decode().title() for name in sorted(passed_on))
    return AccessKeyRefused(
        "Users of this machine need no key, but this request came through a proxy (it has "
        f"{names}): {HOW_TO_GET_ONE}"
    )


def _refuse_strangers(headers: dict[bytes, bytes], host: str) -> None:
    """A page of another origin must not act in the name of whoever looks at it."""
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    site = headers.get(b"sec-fetch-site", b"same-origin").decode("latin-1").lower()
    other = origin and origin.partition("://")[2] != host
    if other or site not in {"same-origin", "none"}:
        raise AccessDenied("A page of another origin may not do that.")


def _with_ours(headers: list[Any], request_id: str) -> list[Any]:
    present = {name for name, _ in headers}
    ours = [*HEADERS, (b"x-request-id", request_id.encode()), (b"cache-control", b"no-store")]
    return [*headers, *((name, value) for name, value in ours if name not in present)]


def translated(error: Exception) -> StrettoError:
    """What the framework found wrong with a request, as an error of ours."""
    if isinstance(error, StrettoError):
        return error
    if isinstance(error, Refusal):
        return error.error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part not in {"body", "query", "path"}]
        param = ".".join(place) or None
        said = f"{param}: {first['msg']}." if param else f"{first['msg']}."
        return HttpError(422, said[:500], code="invalid_value", param=param)
    if isinstance(error, HTTPException):
        return HttpError(
            error.status_code,
            f"{error.detail}.",
            code=_NAMES.get(error.status_code, "http_error"),
            **{name.replace("-", "_"): value for name, value in (error.headers or {}).items()},
        )
    raise error


_NAMES: Final = {404: "not_found", 405: "method_not_allowed", 400: "bad_request"}
