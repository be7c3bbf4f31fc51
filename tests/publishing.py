"""An uploader put together for tests: stores in memory, the list in a real database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stretto.contexts.core.events import DomainEvent
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.external.adapters.cdn_records import SqlAssets
from stretto.contexts.external.cdn import CDNUploader
from stretto.contexts.external.cdn_delivery import CDNDelivery
from stretto.contexts.external.cdn_model import AssetKind, AssetState, Content, Draft
from tests.fakes.assets import MemoryStore
from tests.fakes.clock import FakeClock

SUFFIXES = {AssetKind.AUDIO: ".ogg", AssetKind.ORIGINAL: ".wav"}


@dataclass
class Publisher:
    """One process of those that share a database, and everything that can be seen of it."""

    database: Any
    origin: MemoryStore = field(default_factory=lambda: MemoryStore("origin"))
    edge: MemoryStore | None = field(default_factory=lambda: MemoryStore("edge"))
    clock: FakeClock = field(default_factory=FakeClock)
    deleted: set[TranscriptId] = field(default_factory=set)
    events: list[DomainEvent] = field(default_factory=list)
    holder: str = "this process"

    def __post_init__(self) -> None:
        self.assets = SqlAssets(self.database)
        self.delivery = CDNDelivery(
            origin=self.origin,
            edge=self.edge,
            records=self.assets,
            work=self.assets,
            exists=self.exists,
            clock=self.clock,
            chance=lambda: 0.5,
            publish_event=self.events.append,
            holder=self.holder,
        )
        self.uploader = CDNUploader(
            origin=self.origin,
            edge=self.edge,
            records=self.assets,
            listed=self.assets,
            work=self.assets,
            delivery=self.delivery,
            exists=self.exists,
            clock=self.clock,
        )

    def exists(self, transcript_id: TranscriptId) -> bool:
        return transcript_id not in self.deleted

    def states(self) -> dict[AssetState, int]:
        return {total.state: total.assets for total in self.assets.totals()}


def a_draft(data: bytes = b"audio", kind: AssetKind = AssetKind.AUDIO) -> Draft:
    return Draft(
        kind=kind,
        content=Content.of_bytes(data),
        suffix=SUFFIXES.get(kind, f".{kind}"),
        content_type="text/plain",
        name="talk.wav",
    )
