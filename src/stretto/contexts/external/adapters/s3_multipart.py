"""A large upload in parts, which goes on where it ended when it was broken off.

Nothing is written down here: what arrived, the store itself knows, by the name of the object and
the hash of each part.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Final
from xml.etree import ElementTree as ET

from stretto.contexts.core.errors import AssetDamaged
from stretto.contexts.external.adapters.s3_requests import Answer, S3Requests, StoreRefused
from stretto.contexts.external.cdn_model import CDNAsset

PARTS_AT_ONCE: Final = 3
PARTS_OF_A_PAGE: Final = 1000
NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
NOT_TOLD: Final = frozenset({400, 403, 404, 405, 501})
"""Answers of stores that do not let us, or cannot, list what is unfinished."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An upload that was begun: its id, and the hash (MD5) and size of each part that arrived."""

    id: str
    parts: dict[int, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUploads:
    """``quick_s`` is the patience with small requests, ``slow_s`` with a part. Everything raises
    StoreRefused; ``name`` is an object's."""

    requests: S3Requests
    quick_s: float
    slow_s: float

    def put(self, asset: CDNAsset, name: str, pieces: Iterator[bytes], *, part_bytes: int) -> None:
        """What is raised while ``pieces`` are read comes out as it is. Parts that arrived are kept
        then, for whoever puts the same; not when they turn out to be something else."""
        earlier = self._unfinished(name)
        upload = earlier or self._begun(asset, name)
        sender = _Sender(lambda number, part: self._send(name, upload.id, number, part))
        try:
            for number, part in enumerate(_parts(pieces, part_bytes), 1):
                digest = hashlib.md5(part, usedforsecurity=False).hexdigest()
                if upload.parts.get(number) == (digest, len(part)):
                    sender.arrived(number, digest)
                else:
                    sender.send(number, part)
            self._complete(name, upload.id, sender.finished())
        except Exception as error:
            sender.wait()  # some stores stand still when they are sent a part twice at once
            useless = earlier is not None and _is_useless(error, sender)
            if useless or isinstance(error, AssetDamaged):
                self._given_up(name, upload.id)
            raise

    def abort(self, name: str) -> None:
        """What was begun for ``name`` and not finished is gone when this returns."""
        for upload_id in self._ids(name):
            self._abort(name, upload_id)

    def _unfinished(self, name: str) -> Unfinished | None:
        """The newest; others of the same name are of no use."""
        *others, newest = self._ids(name) or [""]
        for upload_id in others:
            self._abort(name, upload_id)
        if not newest:
            return None
        try:
            return Unfinished(id=newest, parts=self._parts_of(name, newest))
        except StoreRefused as refused:
            if refused.status not in NOT_TOLD:
                raise
            return None

    def _ids(self, name: str) -> list[str]:
        """Oldest first; none where the store does not tell."""
        query = {"uploads": "", "prefix": name}
        try:
            answer = self.requests.ask("GET", "", query, timeout_s=self.quick_s)
        except StoreRefused as refused:
            if refused.status not in NOT_TOLD:
                raise
            return []
        found = [
            (_text(one, "Initiated"), _text(one, "UploadId"))
            for one in _all(answer, "Upload")
            if _text(one, "Key") == name
        ]
        return [upload_id for _, upload_id in sorted(found) if upload_id]

    def _parts_of(self, name: str, upload_id: str) -> dict[int, tuple[str, int]]:
        found: dict[int, tuple[str, int]] = {}
        after = 0
        while True:
            query = {"uploadId": upload_id, "max-parts": str(PARTS_OF_A_PAGE)}
            query |= {"part-number-marker": str(after)} if after else {}
            answer = self.requests.ask("GET", name, query, timeout_s=self.quick_s)
            page = {
                int(_text(one, "PartNumber")): (
                    _text(one, "ETag").strip('"').lower(),
                    int(_text(one, "Size")),
                )
                for one in _all(answer, "Part")
            }
            found |= page
            if len(page) < PARTS_OF_A_PAGE or max(page) <= after:
                return found
            after = max(page)

    def _begun(self, asset: CDNAsset, name: str) -> Unfinished:
        answer = self.requests.ask(
            "POST", name, {"uploads": ""}, timeout_s=self.quick_s, headers=asset.headers
        )
        return Unfinished(id=_text(_root(answer), "UploadId"))

    def _send(self, name: str, upload_id: str, number: int, part: bytes) -> str:
        query = {"partNumber": str(number), "uploadId": upload_id}
        answer = self.requests.ask("PUT", name, query, timeout_s=self.slow_s, body=part)
        return answer.headers.get("etag", "").strip('"')

    def _complete(self, name: str, upload_id: str, tags: list[str]) -> None:
        root = ET.Element("CompleteMultipartUpload", xmlns=NAMESPACE)
        for number, tag in enumerate(tags, 1):
            part = ET.SubElement(root, "Part")
            ET.SubElement(part, "PartNumber").text = str(number)
            ET.SubElement(part, "ETag").text = f'"{tag}"'
        self.requests.ask(
            "POST", name, {"uploadId": upload_id}, timeout_s=self.slow_s, body=ET.tostring(root)
        )

    def _given_up(self, name: str, upload_id: str) -> None:
        """If that cannot be done now, it is when the asset is purged."""
        with suppress(StoreRefused):
            self._abort(name, upload_id)

    def _abort(self, name: str, upload_id: str) -> None:
        try:
            self.requests.ask("DELETE", name, {"uploadId": upload_id}, timeout_s=self.quick_s)
        except StoreRefused as refused:
            if refused.status not in NOT_TOLD:
                raise


class _Sender:
    """Sends some parts at once, each on a thread that nobody has to wait for at the end of the
    program."""

    def __init__(self, send: Callable[[int, bytes], str]) -> None:
        self._send = send
        self.sent = self.failed = 0
        self._tags: dict[int, str] = {}
        self._running: dict[Future[str], int] = {}

    def arrived(self, number: int, tag: str) -> None:
        self._tags[number] = tag

    def send(self, number: int, part: bytes) -> None:
        """Waits for room. Raises what went wrong with an earlier one."""
        self._settle(PARTS_AT_ONCE - 1)
        future: Future[str] = Future()

        def work() -> None:
            try:
                future.set_result(self._send(number, part))
            except BaseException as error:  # raised again where the future is looked at
                self.failed += 1
                future.set_exception(error)

        self._running[future] = number
        Thread(target=work, name="part", daemon=True).start()

    def finished(self) -> list[str]:
        """What the store calls each part, in their order."""
        self._settle(0)
        return [tag for _, tag in sorted(self._tags.items())]

    def wait(self) -> None:
        """Until nothing is on its way, however that ends."""
        done, _ = wait(self._running)
        self.sent += sum(future.exception() is None for future in done)

    def _settle(self, most: int) -> None:
        while len(self._running) > most:
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            for future in done:
                self._tags[self._running.pop(future)] = future.result()
                self.sent += 1


def _is_useless(error: Exception, sender: _Sender) -> bool:
    """Whether an upload that was taken up gets nowhere: no part came through, or the store does not
    take what has come. One that only could not be completed just now is there the next time."""
    if not isinstance(error, StoreRefused) or sender.sent:
        return False
    return sender.failed > 0 or not error.worth_a_retry


def _parts(pieces: Iterator[bytes], part_bytes: int) -> Iterator[bytes]:
    """Of ``part_bytes`` each, the last one of what is left."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= part_bytes:
            yield bytes(held[:part_bytes])
            del held[:part_bytes]
    if held:
        yield bytes(held)


def _root(answer: Answer) -> ET.Element:
    """The names in it without their namespaces. What is no XML is no answer of a store."""
    try:
        root = ET.fromstring(answer.body)  # noqa: S314  # expat refuses what unfolds endlessly
    except ET.ParseError:
        raise StoreRefused from None
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
    return root


def _all(answer: Answer, tag: str) -> list[ET.Element]:
    return _root(answer).findall(tag)


def _text(one: ET.Element, tag: str) -> str:
    return one.findtext(tag) or ""
