"""Works through the list of assets: one after the other to the edge, or out of every store."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from stretto.contexts.core.bus import Publish
from stretto.contexts.core.errors import (
    AssetMissing,
    CDNRefused,
    CDNUnavailable,
    StrettoError,
)
from stretto.contexts.core.events import AssetPublished, AssetPurged
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.external.cdn_model import (
    AssetState,
    CDNAsset,
    Content,
    Delivery,
    Wanted,
    next_delay_s,
)
from stretto.contexts.external.cdn_ports import AssetRecords, AssetWork, CDNStore

LEASE_S: Final = 120.0
RENEWED_AFTER_S: Final = 20.0
SECONDS_BETWEEN_LOOKS: Final = 30.0
PATIENCE_S: Final = 1.0
"""So long an end waits for what is on its way; its lease ends by itself."""

Existence = Callable[[TranscriptId], bool]

logger = logging.getLogger(__name__)


class TakenAway(Exception):
    """Somebody deleted the asset, or took it over, while it was on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CDNDelivery:
    """Any number of processes may run it: an asset is worked on by one of them, which has a lease.

    Whoever dies loses its lease, and the next one does that asset again; sending and deleting
    twice are harmless. ``chance`` draws from [0, 1).
    """

    origin: CDNStore
    edge: CDNStore | None
    records: AssetRecords
    work: AssetWork
    exists: Existence
    clock: Callable[[], Timestamp]
    chance: Callable[[], float]
    publish_event: Publish
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(
        self,
        *,
        early: bool = False,
        transcript_id: TranscriptId | None = None,
        progressed: Callable[[CDNAsset, int], None] = lambda _asset, _bytes: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Delivery:
        """One pass over what is due; ``early`` does not wait for what failed lately.

        It ends at the first sign that the edge is out of reach: the others would fare no better.
        """
        done, after = Delivery(), ""
        while not stopped():
            wanted = Wanted(
                now=self.clock(),
                seconds=LEASE_S,
                after=after,
                early=early,
                transcript_id=transcript_id,
            )
            asset = self.work.claim(self.holder, wanted=wanted)
            if asset is None:
                break
            after = asset.key.value
            outcome, reachable = self._handle(asset, progressed)
            done = _together(done, outcome)
            if not reachable:
                break
        return done

    def _handle(
        self, asset: CDNAsset, progressed: Callable[[CDNAsset, int], None]
    ) -> tuple[Delivery, bool]:
        """What became of it, and whether it is worth going on."""
        try:
            if asset.state is not AssetState.PURGING and not self.exists(asset.transcript_id):
                # Whoever published it died before it saw that the transcript was deleted.
                self.records.strike(asset.transcript_id)
                asset = replace(asset, state=AssetState.PURGING)
            if asset.state is AssetState.PURGING:
                self._purge(asset)
                return Delivery(purged=1), True
            self._send(asset, progressed)
        except TakenAway:
            self.work.settle(asset, self.holder, due_at=self.clock())
            return Delivery(), True
        except StrettoError as error:
            self._postpone(asset, error)
            reachable = not isinstance(error, CDNUnavailable | CDNRefused)
            return Delivery(postponed=1, troubles=(error.message,)), reachable
        except BaseException:  # interrupted, or a bug: it is free at once for whoever comes next
            self.work.settle(asset, self.holder, due_at=self.clock())
            raise
        return Delivery(stored=1), True

    def _send(self, asset: CDNAsset, progressed: Callable[[CDNAsset, int], None]) -> None:
        store = self.edge or self.origin
        if self.edge is not None:
            content = Content(
                sha256=asset.sha256,
                size_bytes=asset.size_bytes,
                pieces=lambda: self.origin.read(asset.key),
            )
            self.edge.put(asset, content, sent=self._kept_alive(asset, progressed))
        elif self.origin.size(asset.key) != asset.size_bytes:
            raise AssetMissing
        now = self.clock()
        stored = replace(asset, state=AssetState.STORED, store=store.name, attempts=0, trouble="")
        self.work.settle(stored, self.holder)
        self.publish_event(
            AssetPublished(
                at=now,
                transcript_id=asset.transcript_id,
                kind=asset.kind.value,
                key=asset.key.value,
                size_bytes=asset.size_bytes,
                store=store.name,
            )
        )

    def _kept_alive(
        self, asset: CDNAsset, progressed: Callable[[CDNAsset, int], None]
    ) -> Callable[[int], None]:
        """Renews the lease while bytes flow; ends the upload when the asset is not wanted."""
        renewed_s = self.clock().unix_s

        def sent(count: int) -> None:
            nonlocal renewed_s
            progressed(asset, count)
            now = self.clock()
            if now.unix_s - renewed_s < RENEWED_AFTER_S:
                return
            if not self.work.renew(asset.key, self.holder, now=now, seconds=LEASE_S):
                raise TakenAway
            renewed_s = now.unix_s

        return sent

    def _purge(self, asset: CDNAsset) -> None:
        self.origin.delete(asset.key)
        known = {"", self.origin.name, *([self.edge.name] if self.edge else [])}
        if asset.store not in known:
            raise CDNRefused(
                f"{asset.key} lies in {asset.store}, which is not the store of the settings any "
                "more. Set STRETTO_CDN_URL back to it and run: stretto cdn sync"
            )
        if self.edge is not None:  # whatever is recorded: an upload may have died half-way
            self.edge.delete(asset.key)
        self.work.settle(asset, self.holder)
        self.publish_event(
            AssetPurged(
                at=self.clock(),
                transcript_id=asset.transcript_id,
                kind=asset.kind.value,
                key=asset.key.value,
            )
        )

    def _postpone(self, asset: CDNAsset, error: StrettoError) -> None:
        attempts = asset.attempts + 1
        delay_s = next_delay_s(attempts, chance=self.chance())
        failed = replace(asset, attempts=attempts, trouble=error.message)
        due_at = Timestamp(self.clock().unix_s + delay_s)
        self.work.settle(failed, self.holder, due_at=due_at)
        logger.info("%s waits %.0f s. %s", asset.key, delay_s, error)


@dataclass(slots=True, kw_only=True)
class DeliveryThread:
    """Works through the list in the background for as long as the program runs."""

    delivery: CDNDelivery
    seconds_between: float = SECONDS_BETWEEN_LOOKS
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="cdn delivery", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Lets go of what is on its way; whoever runs next sends it."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                self.delivery.run(progressed=self._watched, stopped=self._stopped.is_set)
            except StrettoError as error:
                logger.info("Assets wait for the next look. %s", error)
            except Exception:
                if not self._stopped.is_set():  # else the database was closed under it
                    logger.exception("Assets wait for the next look.")
            self._stopped.wait(self.seconds_between)

    def _watched(self, _asset: CDNAsset, _bytes: int) -> None:
        if self._stopped.is_set():
            raise TakenAway


def _together(one: Delivery, other: Delivery) -> Delivery:
    return Delivery(
        stored=one.stored + other.stored,
        purged=one.purged + other.purged,
        postponed=one.postponed + other.postponed,
        troubles=tuple(dict.fromkeys((*one.troubles, *other.troubles))),
    )
