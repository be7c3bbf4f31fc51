"""What publishing needs from outside: stores, a list that survives crashes, an encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from stretto.contexts.core.identifiers import Timestamp, TranscriptId
from stretto.contexts.external.cdn_model import (
    AssetKey,
    CDNAsset,
    CDNLocation,
    Content,
    Totals,
    Wanted,
)

Sent = Callable[[int], None]
"""Is told the bytes that were taken so far; may raise, and ends the upload with that."""


class CDNStore(Protocol):
    """Keeps bytes by key. Raises CDNUnavailable while it is out of reach, CDNRefused when somebody
    has to set something right, StorageFull when there is no room."""

    @property
    def name(self) -> str:
        """As it may be shown and is written down, without a secret."""

    def put(self, asset: CDNAsset, content: Content, *, sent: Sent) -> None:
        """All of it is there when this returns, proven by its hash; or nothing is.

        Raises AssetDamaged when what comes or what arrived is not what the asset's hash says."""

    def size(self, key: AssetKey) -> int | None:
        """Its bytes, None when it is not there."""

    def read(self, key: AssetKey) -> Iterator[bytes]:
        """Raises AssetMissing."""

    def delete(self, key: AssetKey) -> None:
        """It is gone when this returns, if it ever was there."""


class CDNAddresses(Protocol):
    """Says how a store's assets are fetched; asks nobody."""

    def location(self, key: AssetKey, *, now: Timestamp, seconds: float) -> CDNLocation:
        """Good for ``seconds`` at least."""


class Shop(CDNStore, CDNAddresses, Protocol):
    """A store whose assets have addresses."""


class AssetRecords(Protocol):
    """Which assets there are. Durable when a method returns."""

    def add(self, assets: Sequence[CDNAsset]) -> None:
        """They are pending from now on; others of the same transcript and kind are purging."""

    def of(self, transcript_id: TranscriptId) -> tuple[CDNAsset, ...]:
        """Those that are not purging, in the order of their kinds."""

    def strike(self, transcript_id: TranscriptId) -> int:
        """All of this transcript are purging from now on. Returns how many."""

    def totals(self) -> tuple[Totals, ...]:
        """By state, those that occur."""


class AssetList(Protocol):
    """Assets as a list to be read."""

    def page(self, *, limit: int, after: str = "") -> tuple[CDNAsset, ...]:
        """By key, all states, from after the key ``after``."""


class AssetWork(Protocol):
    """What is to be done with assets, for one worker at a time each. Durable."""

    def claim(self, holder: str, *, wanted: Wanted) -> CDNAsset | None:
        """The first that is wanted; nobody else gets it for ``wanted.seconds``."""

    def renew(self, key: AssetKey, holder: str, *, now: Timestamp, seconds: float) -> bool:
        """Whether it is still the holder's and still to be stored."""

    def settle(self, asset: CDNAsset, holder: str, *, due_at: Timestamp | None = None) -> None:
        """Write down what became of it and let go of it. A purging one without ``due_at`` is
        gone; whoever lost it in the meantime changes nothing."""

    def reopen(self, *, store: str, key: AssetKey | None = None) -> int:
        """What lies elsewhere than in ``store``, or that one, is pending again. Returns how
        many."""


class Encoder(Protocol):
    """Makes what is nice to listen to."""

    @property
    def suffix(self) -> str: ...

    @property
    def content_type(self) -> str: ...

    def encode(self, recording: Path, target: Path, *, progressed: Callable[[float], None]) -> None:
        """Write the recording to ``target``; ``progressed`` hears the seconds that are done.

        Raises UnusableMedia, StorageFull."""
