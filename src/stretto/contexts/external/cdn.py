"""Publishes what came of a recording: kept at the origin first, then sent to the edge, and purged
from both. The list of what is to be done survives crashes; so nothing is lost in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stretto.contexts.core.errors import (
    AssetDamaged,
    AssetMissing,
    CDNRefused,
    CDNUnavailable,
    UnknownAsset,
    UnknownTranscript,
)
from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.external.cdn_delivery import CDNDelivery, Existence
from stretto.contexts.external.cdn_model import (
    AssetKind,
    AssetState,
    CDNAsset,
    CDNLocation,
    Content,
    Delivery,
    Draft,
    Place,
)
from stretto.contexts.external.cdn_ports import AssetList, AssetRecords, AssetWork, Shop

PAGE: Final = 200

Progress = Callable[[CDNAsset, int], None]
"""Hears how many bytes of an asset were sent so far."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What reading everything back found: how much was sound, and what is sent again."""

    sound: int
    sent_again: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CDNUploader:
    """``edge`` is where listeners fetch from; without one that is the origin itself.

    ``exists`` says whether a transcript is still there: nothing is published of a deleted one.
    """

    origin: Shop
    edge: Shop | None
    records: AssetRecords
    listed: AssetList
    work: AssetWork
    delivery: CDNDelivery
    exists: Existence
    clock: Callable[[], Timestamp]

    def publish(
        self,
        transcript_id: TranscriptId,
        drafts: Sequence[Draft],
        *,
        progressed: Progress = lambda _asset, _bytes: None,
    ) -> Delivery:
        """Keep the drafts at the origin and send them to the edge; what cannot be sent now waits.

        What was published of the same kinds before is replaced. Raises UnknownTranscript,
        StorageFull, StorageUnavailable.
        """
        now = self.clock()
        assets = [draft.asset(transcript_id, at=now) for draft in drafts]
        # First the list, then the bytes: whatever lies in a store can be found and purged.
        self.records.add(assets)
        if not self.exists(transcript_id):
            self.purge(transcript_id)
            raise UnknownTranscript(
                f"There is no transcript {transcript_id}. See which there are: "
                "stretto transcripts list"
            )
        for asset, draft in zip(assets, drafts, strict=True):
            self.origin.put(asset, draft.content, sent=lambda _: None)
        return self.deliver(early=True, transcript_id=transcript_id, progressed=progressed)

    def deliver(
        self,
        *,
        early: bool = False,
        transcript_id: TranscriptId | None = None,
        progressed: Progress = lambda _asset, _bytes: None,
    ) -> Delivery:
        """Work through what waits, until the end of the list or the store is out of reach."""
        return self.delivery.run(early=early, transcript_id=transcript_id, progressed=progressed)

    def strike(self, transcript_id: TranscriptId) -> int:
        """From now on everything of this transcript is to be purged, whatever happens."""
        return self.records.strike(transcript_id)

    def purge(self, transcript_id: TranscriptId) -> Delivery:
        """Delete everything of this transcript from every store; what cannot be deleted now
        waits, and is not to be had any more from here."""
        self.strike(transcript_id)
        return self.deliver(early=True, transcript_id=transcript_id)

    def locate(
        self, transcript_id: TranscriptId, kind: AssetKind, *, seconds: float
    ) -> CDNLocation:
        """Where it can be fetched for ``seconds`` from now: from the edge, if it can be.

        While the edge is out of reach, or does not have it yet, the origin has it. Raises
        UnknownAsset.
        """
        asset = self._asset(transcript_id, kind)
        reason = self._why_not_from_edge(asset)
        now = self.clock()
        if self.edge is not None and not reason:
            return self.edge.location(asset.key, now=now, seconds=seconds)
        found = self.origin.location(asset.key, now=now, seconds=seconds)
        return replace(found, place=Place.ORIGIN, reason=reason)

    def inspect(self) -> Inspection:
        """Read everything back from where listeners fetch it; what is missing or damaged there is
        sent again. Raises CDNUnavailable, CDNRefused."""
        store, sound, again, after = self.edge or self.origin, 0, [], ""
        while page := self.listed.page(limit=PAGE, after=after):
            after = page[-1].key.value
            for asset in page:
                if asset.state is not AssetState.STORED or asset.store != store.name:
                    continue
                if _is_sound(asset, store):
                    sound += 1
                elif self.work.reopen(store=store.name, key=asset.key):
                    again.append(asset.key.value)
        return Inspection(sound=sound, sent_again=tuple(again))

    def try_out(self) -> None:
        """Put something small where listeners fetch from, read it back and delete it. Raises
        CDNUnavailable, CDNRefused, StorageFull, AssetDamaged."""
        tried_out(self.edge or self.origin, at=self.clock())

    def move(self) -> int:
        """What lies in another store than that of the settings is to be sent to it. Returns how
        many."""
        return self.work.reopen(store=(self.edge or self.origin).name)

    def _asset(self, transcript_id: TranscriptId, kind: AssetKind) -> CDNAsset:
        found = {asset.kind: asset for asset in self.records.of(transcript_id)}
        if kind not in found:
            others = ", ".join(found)
            raise UnknownAsset(
                f"The {kind} of {transcript_id} was not published"
                + (f" ({others} was)." if others else ".")
                + " Publish it: stretto cdn publish"
            )
        return found[kind]

    def _why_not_from_edge(self, asset: CDNAsset) -> str:
        """Empty when the edge has it. What the edge lost is sent again."""
        if self.edge is None:
            return ""
        if asset.state is not AssetState.STORED or asset.store != self.edge.name:
            return asset.trouble or "it is on its way"
        try:
            size = self.edge.size(asset.key)
        except (CDNUnavailable, CDNRefused) as error:
            return error.message
        if size != asset.size_bytes:
            self.work.reopen(store=self.edge.name, key=asset.key)
            return "the store lost it; it is sent again"
        return ""


def tried_out(store: Shop, *, at: Timestamp) -> None:
    """As ``CDNUploader.try_out``, for a store by itself."""
    draft = Draft(
        kind=AssetKind.TXT,
        content=Content.of_bytes(b"Stretto tries this store out.\n"),
        suffix=".txt",
        content_type="text/plain",
        name="trial",
    )
    asset = draft.asset(TranscriptId.new(), at=at)
    store.put(asset, draft.content, sent=lambda _: None)
    try:
        if not _is_sound(asset, store):
            raise AssetDamaged
    finally:
        store.delete(asset.key)


def _is_sound(asset: CDNAsset, store: Shop) -> bool:
    content = Content(
        sha256=asset.sha256,
        size_bytes=asset.size_bytes,
        pieces=lambda: store.read(asset.key),
    )
    try:
        for _ in content.checked(store.name):
            pass
    except (AssetDamaged, AssetMissing) as error:
        logger.warning("%s: %s", asset.key, error)
        return False
    return True
