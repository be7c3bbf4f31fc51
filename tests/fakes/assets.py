"""The CDN in memory: a store whose server may be down, and the list of what is to be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from stretto.contexts.core.errors import AssetMissing, CDNUnavailable, StrettoError
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.external.cdn_model import AssetKey, CDNAsset, CDNLocation, Content, Place
from stretto.contexts.external.cdn_ports import Sent


@dataclass
class MemoryStore:
    """``trouble`` is raised by whatever is asked while it is set."""

    name: str = "memory"
    objects: dict[str, bytes] = field(default_factory=dict)
    trouble: StrettoError | None = None
    puts: list[str] = field(default_factory=list)

    def down(self) -> None:
        self.trouble = CDNUnavailable("It cannot be reached.")

    def up(self) -> None:
        self.trouble = None

    def put(self, asset: CDNAsset, content: Content, *, sent: Sent) -> None:
        self._check()
        pieces, count = [], 0
        for piece in content.checked(self.name):
            pieces.append(piece)
            sent(count := count + len(piece))
        self.puts.append(asset.key.value)
        self.objects[asset.key.value] = b"".join(pieces)

    def size(self, key: AssetKey) -> int | None:
        self._check()
        return len(self.objects[key.value]) if key.value in self.objects else None

    def read(self, key: AssetKey) -> Iterator[bytes]:
        self._check()
        if key.value not in self.objects:
            raise AssetMissing(f"{key} is not there. Publish it again: stretto cdn publish")
        yield self.objects[key.value]

    def delete(self, key: AssetKey) -> None:
        self._check()
        self.objects.pop(key.value, None)

    def location(self, key: AssetKey, *, now: Timestamp, seconds: float) -> CDNLocation:
        return CDNLocation(place=Place.EDGE, store=self.name, url=f"memory://{self.name}/{key}")

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble
