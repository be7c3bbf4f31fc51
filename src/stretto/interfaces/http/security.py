"""Who is let in: the policy of each route, keys, and how often they may ask."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from stretto.bootstrap.serving import Serving
from stretto.contexts.core.access import AccessKey, AccessKeyId, Caller, Scope, hash_of_secret
from stretto.contexts.core.errors import AccessDenied, AccessKeyRefused, StorageUnavailable
from stretto.interfaces.http.errors import HttpError

COOKIE: Final = "stretto_key"
REMEMBERED_S: Final = 2.0
"""How long a key that was revoked elsewhere may still be let in here."""

MOST_REMEMBERED: Final = 10_000
WRONG_KEYS_PER_MINUTE: Final = 10
HOW_TO_GET_ONE: Final = (
    "send a key as 'Authorization: Bearer ...'. An operator makes one with: stretto keys create"
)


class Policy:
    """What a caller needs to be let in at a route; None: nothing."""

    def __init__(self, needed: Scope | None) -> None:
        self.needed = needed

    async def __call__(self, request: Request) -> Caller:
        """Raises AccessKeyRefused and AccessDenied."""
        caller: Caller | None = request.scope["state"].get("caller")
        if self.needed is None:
            return caller or Caller(scopes=frozenset())
        if caller is None:
            refusal: AccessKeyRefused | None = request.scope["state"].get("refusal")
            raise refusal or AccessKeyRefused(f"A key is needed: {HOW_TO_GET_ONE}")
        if not caller.may(self.needed):
            raise AccessDenied(f"This key does not have the scope {self.needed.value!r}.")
        return caller


ANYBODY: Final = Policy(None)
Anybody = Annotated[Caller, Depends(ANYBODY)]
Reader = Annotated[Caller, Depends(Policy(Scope.READ))]
Writer = Annotated[Caller, Depends(Policy(Scope.WRITE))]
Admin = Annotated[Caller, Depends(Policy(Scope.ADMIN))]


def policy_of(route: APIRoute) -> Policy | None:
    calls = [dependency.call for dependency in route.dependant.dependencies]
    return next((call for call in calls if isinstance(call, Policy)), None)


def require_policies(routes: Iterable[Any]) -> None:
    """Raises RuntimeError for a route of which nobody said who may use it."""
    for route in flat(routes):
        if not isinstance(route, APIRoute) or policy_of(route) is None:
            raise RuntimeError(f"The route {route!r} has no policy; say who may use it.")


def flat(routes: Iterable[Any]) -> Iterator[Any]:
    """Every route, those of included routers among them."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from flat(included.routes)


class Doorkeeper:
    """Knows callers by their keys, and how often they came lately."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._known: OrderedDict[str, tuple[float, AccessKey]] = OrderedDict()
        self._allowance: dict[AccessKeyId, tuple[float, float]] = {}
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = Lock()

    def recall(self, secret: str) -> Caller | None:
        """The caller, if the key was looked up a moment ago: without asking the database."""
        with self._lock:
            found = self._known.get(hash_of_secret(secret))
        if found is None or time.monotonic() > found[0]:
            return None
        return Caller.with_key(found[1])

    def look_up(self, secret: str, *, address: str) -> Caller:
        """Raises AccessKeyRefused, and HttpError after too many wrong ones. A right one is let in
        all the same: behind a proxy everybody comes from one address, and nobody guesses keys of
        256 bits."""
        key = self._valid(secret)
        if key is None:
            self._raise_if_guessing(address)
            self._note_wrong(address)
            raise AccessKeyRefused("This key is not valid here; it may have been revoked.")
        return Caller.with_key(key)

    async def knows(self, secret: str) -> bool:
        """Whether a key that was let in still is, for answers that take long."""
        if self.recall(secret) is not None:
            return True
        try:
            return await asyncio.to_thread(self._valid, secret) is not None
        except StorageUnavailable:  # where nothing new is read either
            return True

    def _valid(self, secret: str) -> AccessKey | None:
        key = self._serving.keys.of_secret(secret)
        if key is not None:
            with self._lock:
                self._known[key.sha256] = (time.monotonic() + REMEMBERED_S, key)
                while len(self._known) > MOST_REMEMBERED:
                    self._known.popitem(last=False)
        return key

    def spend(self, caller: Caller) -> None:
        """One request of the caller's allowance (a token bucket). Raises HttpError when it is used
        up."""
        rate = self._serving.settings.serve_requests_per_minute / 60.0
        if caller.key is None or not rate:
            return
        burst, now = max(1.0, rate * 60.0), time.monotonic()
        with self._lock:
            left, at = self._allowance.get(caller.key, (burst, now))
            left = min(burst, left + (now - at) * rate)
            self._allowance[caller.key] = (max(0.0, left - 1.0), now)
        if left < 1.0:
            wait_s = max(1, round((1.0 - left) / rate))
            raise HttpError(
                429,
                f"This key asks more often than it may; wait {wait_s} s.",
                code="rate_limit_exceeded",
                retry_after=str(wait_s),
            )

    def _raise_if_guessing(self, address: str) -> None:
        with self._lock:
            recent = [at for at in self._wrong.get(address, ()) if time.monotonic() - at < 60.0]
        if len(recent) >= WRONG_KEYS_PER_MINUTE:
            raise HttpError(
                429, "Too many wrong keys; wait a minute.", code="wrong_keys", retry_after="60"
            )

    def _note_wrong(self, address: str) -> None:
        with self._lock:
            recent = self._wrong.setdefault(address, [])
            recent.append(time.monotonic())
            del recent[:-WRONG_KEYS_PER_MINUTE]
            while len(self._wrong) > MOST_REMEMBERED:
                self._wrong.popitem(last=False)


def secret_of(request_headers: dict[bytes, bytes]) -> str:
    """The key in the headers, or in the cookie; empty without one."""
    kind, _, secret = request_headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return secret.strip()
    for part in request_headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
