"""Requests of S3 that obstore cannot make: signed here, and sent with the standard library.

The signature is version 4 of AWS's ("Signature Calculations for the Authorization Header", Amazon
S3 API reference); it covers the body, so that a store sees what changed on the way.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import quote, urlsplit

from stretto.contexts.external.adapters.s3_bucket import Bucket

MOST_BYTES: Final = 4 << 20
"""A list of a thousand parts has 300 kB."""

THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
ALGORITHM: Final = "AWS4-HMAC-SHA256"

_CODE: Final = re.compile(rb"<Code>(\w{1,64})</Code>")


class StoreRefused(Exception):
    """A store answered that it will not: ``status`` of HTTP and the code of its error. Without a
    status nothing came of it at all."""

    def __init__(self, status: int = 0, code: str = "") -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code

    @property
    def worth_a_retry(self) -> bool:
        return self.status in {0, 408, 429} or (self.status >= 500 and self.status != 501)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``headers`` have names in lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class S3Requests:
    """Needs keys in ``bucket``. ``retries`` are those after the first try of each request."""

    bucket: Bucket
    retries: int = 1
    now: Callable[[], datetime.datetime] = field(
        default=lambda: datetime.datetime.now(datetime.UTC)
    )

    def ask(
        self,
        method: str,
        name: str,
        query: Mapping[str, str],
        *,
        timeout_s: float,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """About the object ``name``, or the bucket where that is empty. Raises StoreRefused."""
        for attempt in range(self.retries + 1):
            try:
                return self._once(method, name, query, timeout_s, body, headers or {})
            except StoreRefused as refused:
                if attempt == self.retries or not refused.worth_a_retry:
                    raise
        raise AssertionError("unreachable")

    def _once(
        self,
        method: str,
        name: str,
        query: Mapping[str, str],
        timeout_s: float,
        body: bytes,
        headers: Mapping[str, str],
    ) -> Answer:
        url = "/".join(part for part in (self.bucket.address, quote(name, safe="/-_.~")) if part)
        asked = "&".join(
            f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}"
            for key, value in sorted(query.items())
        )
        with_body = method in {"PUT", "POST"}  # the standard library would think of a type itself
        sent = {**({"Content-Type": "application/octet-stream"} if with_body else {}), **headers}
        signed = signature(
            self.bucket,
            method=method,
            url=url,
            query=asked,
            body=body,
            content_type=sent.get("Content-Type", ""),
            at=self.now(),
        )
        request = urllib.request.Request(  # noqa: S310  # the settings allow http(s) alone
            f"{url}?{asked}",
            data=body if with_body else None,
            method=method,
            headers={**sent, **signed},
        )
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                found = Answer(
                    headers={k.lower(): v for k, v in answer.headers.items()},
                    body=answer.read(MOST_BYTES),
                )
        except urllib.error.HTTPError as refused:
            with refused:
                raise StoreRefused(refused.code, _code_in(_rest_of(refused))) from None
        except (OSError, http.client.HTTPException):  # theirs would show the request
            raise StoreRefused from None
        if code := _code_in(found.body):  # an error that took long to find out comes with a 200
            raise StoreRefused(500, code)
        return found

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        """Certificates and proxies are those of the environment, as for obstore."""
        local = urlsplit(self.bucket.address).hostname in THIS_MACHINE
        proxies = urllib.request.ProxyHandler({} if local else None)
        secure = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        return urllib.request.build_opener(proxies, secure)


def _rest_of(refused: urllib.error.HTTPError) -> bytes:
    try:
        return refused.read(MOST_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _code_in(body: bytes) -> str:
    found = _CODE.search(body)
    return found[1].decode() if found and b"<Error" in body else ""


def signature(
    bucket: Bucket,
    *,
    method: str,
    url: str,
    query: str,
    body: bytes,
    at: datetime.datetime,
    content_type: str = "",
) -> dict[str, str]:
    """The headers that show who asks, and for what. ``query`` is sorted and quoted."""
    moment, day = at.strftime("%Y%m%dT%H%M%SZ"), at.strftime("%Y%m%d")
    place = urlsplit(url)
    headers = {
        "host": place.netloc,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": moment,
    }
    headers |= {"content-type": content_type} if content_type else {}
    headers |= {"x-amz-security-token": bucket.session_token} if bucket.session_token else {}
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    asked = [method, place.path, query, *lines, "", names, headers["x-amz-content-sha256"]]
    scope = f"{day}/{bucket.usual_region}/s3/aws4_request"
    digest = hashlib.sha256("\n".join(asked).encode()).hexdigest()
    key = f"AWS4{bucket.secret_key}".encode()
    for part in (day, bucket.usual_region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = "\n".join([ALGORITHM, moment, scope, digest]).encode()
    proof = hmac.digest(key, signed, "sha256").hex()
    shown = {name: headers[name] for name in headers if name.startswith("x-amz-")}
    return shown | {
        "Authorization": f"{ALGORITHM} Credential={bucket.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={proof}"
    }
