"""The commands `stretto cdn …`: what lies where, what waits, and how it is fetched."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from stretto.contexts.core.errors import (
    InvalidOption,
    StrettoError,
)
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.external.cdn import CDNUploader
from stretto.contexts.external.cdn_model import (
    AssetKind,
    AssetState,
    CDNAsset,
    CDNLocation,
    Delivery,
)

if TYPE_CHECKING:
    pass

_MEGABYTE: Final = 1e6


def show_status(uploader: CDNUploader, *, as_json: bool) -> int:
    """Whether the store takes something, gives it back and deletes it; and what waits."""
    store, trouble = uploader.edge or uploader.origin, ""
    try:
        uploader.try_out()
    except StrettoError as error:
        trouble = error.message
    totals = {total.state: total for total in uploader.records.totals()}
    counts = {
        str(state): {
            "assets": totals[state].assets if state in totals else 0,
            "size_bytes": totals[state].size_bytes if state in totals else 0,
        }
        for state in AssetState
    }
    if as_json:
        report = {"store": store.name, "origin": uploader.origin.name, "working": not trouble}
        print(json.dumps({**report, "trouble": trouble, **counts}))
        return int(bool(trouble))
    print(f"store:   {store.name}")
    print(f"origin:  {uploader.origin.name}")
    print(f"works:   {trouble or 'yes: something was put there, read back and deleted'}")
    for state, count in counts.items():
        print(f"{state + ':':<8} {count['assets']} ({shown_size(count['size_bytes'])})")
    return int(bool(trouble))


def list_assets(
    uploader: CDNUploader, transcript_id: str | None, *, limit: int, after: str, as_json: bool
) -> None:
    """By transcript, a line with tabs each."""
    if not 1 <= limit <= 1000:
        raise InvalidOption(f"A page has 1 to 1000 rows, not {limit}.")
    if transcript_id is not None:
        rows = uploader.records.of(TranscriptId.parse(transcript_id))
        following = None
    else:
        found = uploader.listed.page(limit=limit + 1, after=after)
        rows = found[:limit]
        following = rows[-1].key.value if len(found) > limit else None
    if as_json:
        print(json.dumps({"assets": [asset_as_json(row) for row in rows], "next": following}))
        return
    for row in rows:
        cells = (
            str(row.transcript_id),
            row.kind.value,
            row.state.value,
            shown_size(row.size_bytes),
            row.store or "-",
            row.trouble or "-",
        )
        print("\t".join(cells))
    if following:
        print(f"There are more; go on with --after {following}", file=sys.stderr)


def show_link(
    uploader: CDNUploader, transcript_id: str, kind: str, *, seconds: float, as_json: bool
) -> None:
    """The address alone on standard output; why it is not the edge's on standard error."""
    if not 1 <= seconds <= 604_800:
        raise InvalidOption(f"A link is good for 1 to 604800 seconds, not {seconds:.0f}.")
    wanted = TranscriptId.parse(transcript_id)
    location = uploader.locate(wanted, AssetKind.parse(kind), seconds=seconds)
    if as_json:
        print(json.dumps(location_as_json(location)))
        return
    print(location.url)
    if location.reason:
        print(f"From the origin: {location.reason}", file=sys.stderr)


def purge(uploader: CDNUploader, ids: Sequence[str], *, sure: bool, as_json: bool) -> None:
    """Ask, and delete everywhere."""
    found = [TranscriptId.parse(one) for one in dict.fromkeys(ids)]
    if not sure and not _agreed(found):
        raise InvalidOption("Nothing was deleted. Say --yes to delete without a question.")
    reports = []
    for transcript_id in found:
        done = uploader.purge(transcript_id)
        reports.append({"id": str(transcript_id), **delivery_as_json(done)})
        if not as_json:
            waits = f", {done.postponed} wait" if done.postponed else ""
            print(f"purged {transcript_id}: {done.purged} deleted{waits}")
            say_troubles(done)
    if as_json:
        print(json.dumps({"purged": reports}))


def sync(uploader: CDNUploader, *, verify: bool, as_json: bool) -> int:
    """Send and delete what waits. Returns 1 while something still does."""
    moved = uploader.move()
    inspection = uploader.inspect() if verify else None
    done = uploader.deliver(early=True)
    left = sum(t.assets for t in uploader.records.totals() if t.state is not AssetState.STORED)
    if as_json:
        checked = (
            {"sound": inspection.sound, "sent_again": list(inspection.sent_again)}
            if inspection
            else {}
        )
        print(json.dumps({"moved": moved, **checked, **delivery_as_json(done), "waiting": left}))
        return int(bool(left))
    if inspection:
        print(f"{inspection.sound} sound, {len(inspection.sent_again)} missing or damaged")
    print(f"{done.stored} sent, {done.purged} deleted, {left} waiting")
    say_troubles(done)
    return int(bool(left))


def _agreed(ids: Sequence[TranscriptId]) -> bool:
    if not sys.stdin.isatty():
        return False
    print(*ids, sep="\n", file=sys.stderr)
    question = "Delete what was published of it from every store? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def say_troubles(done: Delivery) -> None:
    for trouble in done.troubles:
        print(f"stretto: {trouble}", file=sys.stderr)


def delivery_as_json(done: Delivery) -> dict[str, Any]:
    return {
        "stored": done.stored,
        "deleted": done.purged,
        "postponed": done.postponed,
        "troubles": list(done.troubles),
    }


def asset_as_json(asset: CDNAsset) -> dict[str, Any]:
    return {
        "transcript_id": str(asset.transcript_id),
        "kind": asset.kind.value,
        "state": asset.state.value,
        "key": asset.key.value,
        "sha256": asset.sha256.value,
        "size_bytes": asset.size_bytes,
        "content_type": asset.content_type,
        "name": asset.name,
        "store": asset.store,
        "attempts": asset.attempts,
        "trouble": asset.trouble,
        "created_at": asset.created_at.unix_s,
    }


def location_as_json(found: CDNLocation) -> dict[str, Any]:
    return {
        "url": found.url,
        "place": found.place.value,
        "region": found.region,
        "expires_at": found.expires_at.unix_s if found.expires_at else None,
        "reason": found.reason,
    }


def shown_size(count: int) -> str:
    return f"{count / _MEGABYTE:.1f} MB" if count >= _MEGABYTE else f"{count / 1000:.1f} kB"
