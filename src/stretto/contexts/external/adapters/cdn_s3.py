"""Any store that speaks the language of S3, through obstore (the Rust crate object_store); large
uploads, which obstore cannot take up again, by requests of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store as Client
except ImportError as cause:  # bootstrap says how to install it before it gets here
    raise ImportError("Install it with: pip install 'stretto[cdn]'") from cause

from stretto.contexts.core.errors import AssetDamaged, AssetMissing
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.external.adapters.s3_bucket import Bucket, explanation, refusal
from stretto.contexts.external.adapters.s3_multipart import PARTS_AT_ONCE, MultipartUploads
from stretto.contexts.external.adapters.s3_requests import S3Requests, StoreRefused
from stretto.contexts.external.cdn_model import (
    LONGEST_LINK_S,
    PIECE_BYTES,
    AssetKey,
    CDNAsset,
    CDNLocation,
    Content,
    Place,
)
from stretto.contexts.external.cdn_ports import Sent

PART_BYTES: Final = 8 << 20
MOST_PARTS: Final = 9_000
"""S3 takes 10,000 at most (Amazon S3 user guide, "multipart upload limits")."""

QUICK_S: Final = 5
"""For a look or a deletion; a link is to lead to the origin soon when the store is silent."""

SLOW_S: Final = 300
"""For one part: 8 MB in five minutes is an uplink of 28 kB a second."""


class S3CDNStore:
    """The ports CDNStore and CDNAddresses. Opens nothing before its first use.

    Every upload is proven: by the hash that the store answers with where that is a plain one, else
    by reading everything back.
    """

    def __init__(self, bucket: Bucket, *, retries: int = 1) -> None:
        self._bucket = bucket
        self._retries = retries

    @property
    def name(self) -> str:
        return str(self._bucket)

    def put(self, asset: CDNAsset, content: Content, *, sent: Sent) -> None:
        part_bytes = max(PART_BYTES, -(-content.size_bytes // MOST_PARTS))
        proof = _Proof(part_bytes)
        pieces = proof.watch(content.checked("the origin"), sent)
        with self._explained(asset.key):
            if content.size_bytes > part_bytes and self._uploads is not None:
                name = self._bucket.object_name(asset.key)
                self._uploads.put(asset, name, pieces, part_bytes=part_bytes)
            else:
                self._put(asset, pieces, part_bytes)
            found = obstore.head(self._quick, asset.key.value)
        if found["size"] == asset.size_bytes and proof.holds(found["e_tag"]):
            return
        self._read_back(asset)

    def _put(self, asset: CDNAsset, pieces: Iterator[bytes], part_bytes: int) -> None:
        """Through obstore. What is broken off in the middle begins anew the next time."""
        options: dict[str, Any] = {"attributes": dict(asset.headers)}
        if asset.size_bytes <= part_bytes:
            body: Any = b"".join(pieces)
            options["use_multipart"] = False
        else:
            body = pieces
            options |= {"chunk_size": part_bytes, "max_concurrency": PARTS_AT_ONCE}
        obstore.put(self._patient, asset.key.value, body, **options)

    def size(self, key: AssetKey) -> int | None:
        try:
            with self._explained(key):
                return int(obstore.head(self._quick, key.value)["size"])
        except AssetMissing:
            return None

    def read(self, key: AssetKey) -> Iterator[bytes]:
        with self._explained(key):
            answer = obstore.get(self._patient, key.value)
        pieces = iter(answer.stream(min_chunk_size=PIECE_BYTES))
        while True:
            with self._explained(key):
                piece = next(pieces, None)
            if piece is None:
                return
            yield bytes(piece)

    def delete(self, key: AssetKey) -> None:
        """With what an upload left that was broken off: parts cost money, and nobody sees them."""
        try:
            with self._explained(key):
                obstore.delete(self._quick, key.value)
        except AssetMissing:
            pass
        if self._uploads is not None:
            with self._explained(key):
                self._uploads.abort(self._bucket.object_name(key))

    def location(self, key: AssetKey, *, now: Timestamp, seconds: float) -> CDNLocation:
        """Under the public address it does not expire; else it is a link that is signed here."""
        region = self._bucket.region
        if self._bucket.public_url:
            url = f"{self._bucket.public_url.rstrip('/')}/{quote(key.value)}"
            return CDNLocation(place=Place.EDGE, store=self.name, url=url, region=region)
        lasting = int(min(max(1, seconds), LONGEST_LINK_S))
        with self._explained(key):
            signed = obstore.sign(self._quick, "GET", key.value, timedelta(seconds=lasting))
        return CDNLocation(
            place=Place.EDGE,
            store=self.name,
            url=signed,
            region=region,
            expires_at=Timestamp(now.unix_s + lasting),
        )

    def _read_back(self, asset: CDNAsset) -> None:
        arrived = Content(
            sha256=asset.sha256,
            size_bytes=asset.size_bytes,
            pieces=lambda: self.read(asset.key),
        )
        try:
            for _ in arrived.checked(self.name):
                pass
        except AssetDamaged:
            self.delete(asset.key)
            raise

    @cached_property
    def _uploads(self) -> MultipartUploads | None:
        """None where only obstore knows the keys."""
        if not self._bucket.access_key:
            return None
        requests = S3Requests(bucket=self._bucket, retries=self._retries)
        return MultipartUploads(requests=requests, quick_s=QUICK_S, slow_s=SLOW_S)

    @cached_property
    def _quick(self) -> Client:
        return self._client(QUICK_S)

    @cached_property
    def _patient(self) -> Client:
        return self._client(SLOW_S)

    def _client(self, timeout_s: int) -> Client:
        bucket = self._bucket
        config: Any = {"region": bucket.region or "us-east-1"}
        given = {
            "endpoint": bucket.endpoint,
            "access_key_id": bucket.access_key,
            "secret_access_key": bucket.secret_key,
            "session_token": bucket.session_token,
        }
        config |= {name: value for name, value in given.items() if value}
        # One by one: deleting many at once is what some stores have not learned.
        config |= {"virtual_hosted_style_request": False, "disable_bulk_delete": True}
        return Client(
            bucket.name,
            prefix=bucket.prefix or None,
            config=config,
            client_options={
                "allow_http": bucket.endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=timeout_s),
            },
            retry_config={
                "max_retries": self._retries,
                "retry_timeout": timedelta(seconds=2 * timeout_s),
            },
        )

    @contextmanager
    def _explained(self, key: AssetKey) -> Generator[None, None, None]:
        """Their errors as ours; what is raised inside the upload by us comes out as it is."""
        try:
            yield
        except (BaseError, OSError, ValueError) as cause:
            # Theirs would name the request with its signature; ours come out as they are.
            raise explanation(str(cause), key, self._bucket) from None
        except StoreRefused as refused:
            status = str(refused.status or "")
            raise refusal(status, refused.code, key, self._bucket) from None


class _Proof:
    """Hashes what is sent, as S3 does for its ETag: MD5 of all, or of the MD5s of the parts."""

    def __init__(self, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._whole = hashlib.md5(usedforsecurity=False)
        self._part = hashlib.md5(usedforsecurity=False)
        self._parts: list[bytes] = []
        self._in_part = 0

    def watch(self, pieces: Iterator[bytes], sent: Sent) -> Iterator[bytes]:
        count = 0
        for piece in pieces:
            self._add(piece)
            count += len(piece)
            sent(count)
            yield piece

    def holds(self, e_tag: str | None) -> bool:
        """Whether the store's word proves that everything arrived as it was sent."""
        parts = [*self._parts, *([self._part.digest()] if self._in_part else [])]
        joined = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
        expected = {self._whole.hexdigest(), f"{joined}-{len(parts)}"}
        return (e_tag or "").strip('"').lower() in expected

    def _add(self, piece: bytes) -> None:
        self._whole.update(piece)
        view = memoryview(piece)
        while view:
            taken = view[: self._part_bytes - self._in_part]
            self._part.update(taken)
            self._in_part += len(taken)
            view = view[len(taken) :]
            if self._in_part == self._part_bytes:
                self._parts.append(self._part.digest())
                self._part = hashlib.md5(usedforsecurity=False)
                self._in_part = 0
