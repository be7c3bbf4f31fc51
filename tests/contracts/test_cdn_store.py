"""Every store keeps what it was given, all or nothing: a folder, and two S3 servers."""

from __future__ import annotations

import os
import random
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stretto.contexts.core.errors import (
    AssetDamaged,
    AssetMissing,
    CDNRefused,
    CDNUnavailable,
    StrettoError,
)
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.external.adapters.cdn_folder import FolderStore
from stretto.contexts.external.adapters.cdn_s3 import PART_BYTES, S3CDNStore
from stretto.contexts.external.cdn_model import CACHE_CONTROL, AssetKey, CDNAsset, Content
from tests.fakes.assets import MemoryStore
from tests.stores import (
    ACCESS_KEY,
    SECRET_KEY,
    S3Server,
    an_asset,
    make_bucket,
    moto_server,
    rclone_server,
)
from tests.wire import Wire, wire_to

SMALL = b"It was the best of times"
LARGE = random.Random(1).randbytes(2 * PART_BYTES + 12_345)
"""Three parts."""

SERVERS = {"moto": moto_server, "rclone": rclone_server}


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Server]]:
    with (
        moto_server(tmp_path_factory.mktemp("moto")) as moto,
        rclone_server(tmp_path_factory.mktemp("rclone")) as rclone,
    ):
        yield {"moto": moto, "rclone": rclone}


@pytest.fixture(params=["memory", "folder", "moto", "rclone"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return FolderStore(tmp_path / "cdn")
    return request.getfixturevalue("both")[request.param].store()


def put(store: Any, data: bytes, **fields: Any) -> CDNAsset:
    asset = an_asset(data, **fields)
    store.put(asset, Content.of_bytes(data), sent=lambda _: None)
    return asset


@pytest.mark.parametrize("data", [b"x", SMALL, LARGE], ids=["one byte", "small", "three parts"])
def test_what_is_put_is_read_again(store: Any, data: bytes) -> None:
    asset = put(store, data)
    assert store.size(asset.key) == len(data)
    assert b"".join(store.read(asset.key)) == data


def test_putting_it_twice_changes_nothing(store: Any) -> None:
    asset = put(store, SMALL)
    store.put(asset, Content.of_bytes(SMALL), sent=lambda _: None)
    assert b"".join(store.read(asset.key)) == SMALL


def test_progress_counts_up_to_all_of_it(store: Any) -> None:
    asset, seen = an_asset(LARGE), list[int]()
    pieces = [LARGE[at : at + (1 << 20)] for at in range(0, len(LARGE), 1 << 20)]
    store.put(
        asset, replace(Content.of_bytes(LARGE), pieces=lambda: iter(pieces)), sent=seen.append
    )
    assert seen == sorted(set(seen))
    assert (len(seen), seen[-1]) == (len(pieces), len(LARGE))


def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_trouble(store: Any) -> None:
    asset, other = put(store, SMALL), put(store, b"another")
    for _ in range(2):
        store.delete(asset.key)
        assert store.size(asset.key) is None
        with pytest.raises(AssetMissing, match="stretto cdn publish"):
            b"".join(store.read(asset.key))
    assert b"".join(store.read(other.key)) == b"another"


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "three parts"])
@pytest.mark.parametrize("wrong", ["longer", "shorter", "other"])
def test_what_is_not_what_its_hash_says_is_never_stored(
    store: Any, data: bytes, wrong: str
) -> None:
    given = {"longer": data + b"!", "shorter": data[:-1], "other": b"X" + data[1:]}[wrong]
    asset, honest = an_asset(data), Content.of_bytes(data)
    pieces = [given[at : at + (1 << 20)] for at in range(0, len(given), 1 << 20)]
    with pytest.raises(AssetDamaged):
        store.put(asset, replace(honest, pieces=lambda: iter(pieces)), sent=lambda _: None)
    assert store.size(asset.key) is None


class Enough(Exception):
    """Somebody does not want it any more."""


def test_an_upload_that_is_broken_off_leaves_nothing(store: Any) -> None:
    def sent(count: int) -> None:
        if count > PART_BYTES + 1000:
            raise Enough

    asset = an_asset(LARGE)
    pieces = [LARGE[at : at + (1 << 20)] for at in range(0, len(LARGE), 1 << 20)]
    content = replace(Content.of_bytes(LARGE), pieces=lambda: iter(pieces))
    with pytest.raises(Enough):
        store.put(asset, content, sent=sent)
    assert store.size(asset.key) is None
    store.put(asset, content, sent=lambda _: None)
    assert store.size(asset.key) == len(LARGE)


HOSTILE = [
    "../../etc/passwd",
    "a\r\nSet-Cookie: x=1",
    "\u202egnp.exe",
    "'; rm -rf ~\"",
    "x" * 5000,
    "",
    "зал",
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:20])
def test_a_hostile_name_is_only_ever_a_harmless_header(store: Any, name: str) -> None:
    asset = put(store, SMALL, name=name)
    assert b"".join(store.read(asset.key)) == SMALL
    said = asset.headers["Content-Disposition"]
    assert said.isascii()
    assert said.isprintable()
    assert "/" not in said.removeprefix("inline; filename*=UTF-8''").replace("%", "")


KEYS = [
    "../outside",
    "/etc/passwd",
    "a/../../b",
    "00000000-0000-4000-8000-000000000000/" + "A" * 64,
]


@pytest.mark.parametrize("text", [*KEYS, "", "\0"], ids=ascii)
def test_a_key_of_another_form_is_none(text: str) -> None:
    with pytest.raises(StrettoError, match="not the key of an asset"):
        AssetKey(text)


# -- S3 alone


@pytest.fixture(params=["moto", "rclone"])
def s3(request: pytest.FixtureRequest, both: dict[str, S3Server]) -> S3Server:
    return both[request.param]


def fetched(url: str, **headers: str) -> tuple[bytes, dict[str, str]]:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read(), {name.lower(): value for name, value in answer.headers.items()}


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "three parts"])
def test_a_signed_link_plays_in_any_browser_and_may_be_kept_for_ever(
    s3: S3Server, data: bytes
) -> None:
    store = s3.store()
    asset = put(store, data)
    location = store.location(asset.key, now=Timestamp(1e9), seconds=60)
    assert location.expires_at == Timestamp(1e9 + 60)
    assert SECRET_KEY not in location.url
    body, headers = fetched(location.url)
    assert body == data
    assert headers["content-type"] == "audio/ogg; codecs=opus"
    assert headers["cache-control"] == CACHE_CONTROL
    assert headers["content-disposition"] == "inline; filename*=UTF-8''talk.ogg"


def test_a_player_may_ask_for_a_part(s3: S3Server) -> None:
    store = s3.store()
    location = store.location(put(store, SMALL).key, now=Timestamp(1e9), seconds=60)
    assert fetched(location.url, Range="bytes=7-10")[0] == SMALL[7:11]


def test_under_a_public_address_links_do_not_expire(s3: S3Server) -> None:
    store = s3.store(public_url="https://cdn.example.org/audio/")
    asset = an_asset(SMALL)
    location = store.location(asset.key, now=Timestamp(1e9), seconds=60)
    assert location.url == f"https://cdn.example.org/audio/{asset.key}"
    assert location.expires_at is None


def test_an_upload_that_failed_leaves_no_parts_behind(s3: S3Server) -> None:
    asset, honest = an_asset(LARGE), Content.of_bytes(LARGE)
    with pytest.raises(AssetDamaged):
        s3.store().put(
            asset, replace(honest, pieces=lambda: iter((LARGE[:-1],))), sent=lambda _: None
        )
    assert s3.unfinished_uploads(asset) == []


def test_without_the_bucket_somebody_is_told_to_make_it(s3: S3Server) -> None:
    with pytest.raises(CDNRefused, match=r"no bucket 'nowhere'.*STRETTO_CDN_URL"):
        put(s3.store(name="nowhere"), SMALL)


@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
def test_with_a_wrong_key_somebody_is_told_which_settings_to_correct(
    both: dict[str, S3Server], wrong: str
) -> None:
    store = both["rclone"].store(**{wrong: "top-secret-mistake"})
    with pytest.raises(CDNRefused, match="STRETTO_CDN_SECRET_KEY") as caught:
        put(store, SMALL)
    told = f"{caught.value} {caught.value.__cause__} {store.name} {store._bucket!r}"
    assert "top-secret-mistake" not in told
    assert SECRET_KEY not in told


def test_without_keys_somebody_is_told_where_to_put_them(
    both: dict[str, S3Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(CDNRefused, match="STRETTO_CDN_CREDENTIALS_FILE"):
        put(both["rclone"].store(access_key="", secret_key=""), SMALL)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "three parts"])
def test_the_keys_may_be_those_that_aws_knows(
    both: dict[str, S3Server], monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    store = both["rclone"].store(access_key="", secret_key="")
    assert store.size(put(store, data).key) == len(data)


def test_a_server_that_is_down_is_said_to_be_and_works_when_it_is_back(
    server: S3Server,
) -> None:
    store, asset = server.store(), an_asset(SMALL)
    server.stop()
    for attempt in (
        lambda: store.put(asset, Content.of_bytes(SMALL), sent=lambda _: None),
        lambda: store.size(asset.key),
        lambda: list(store.read(asset.key)),
        lambda: store.delete(asset.key),
    ):
        with pytest.raises(CDNUnavailable, match="cannot be reached"):
            attempt()
    server.start()
    make_bucket(server)
    store.put(asset, Content.of_bytes(SMALL), sent=lambda _: None)
    assert b"".join(store.read(asset.key)) == SMALL


@pytest.fixture
def wire(s3: S3Server) -> Iterator[Wire]:
    with wire_to(s3.port) as wire:
        yield wire


def test_a_connection_cut_in_the_middle_leaves_nothing_to_be_fetched(
    s3: S3Server, wire: Wire
) -> None:
    cut, asset = s3.store(endpoint=wire.endpoint), an_asset(LARGE)
    wire.cut_after = PART_BYTES // 2
    with pytest.raises(CDNUnavailable):
        cut.put(asset, Content.of_bytes(LARGE), sent=lambda _: None)
    assert wire.cuts
    assert s3.store().size(asset.key) is None
    wire.cut_after = None
    cut.put(asset, Content.of_bytes(LARGE), sent=lambda _: None)
    assert b"".join(s3.store().read(asset.key)) == LARGE
    assert s3.unfinished_uploads(asset) == []


def broken_off(server: S3Server, store: S3CDNStore) -> tuple[CDNAsset, Content]:
    """An upload that ends in the middle of its third part, when two have arrived."""
    asset, seen = an_asset(LARGE), 0
    pieces = [LARGE[at : at + (1 << 20)] for at in range(0, len(LARGE), 1 << 20)]
    content = replace(Content.of_bytes(LARGE), pieces=lambda: iter(pieces))

    def sent(count: int) -> None:
        nonlocal seen
        seen = count
        deadline = time.monotonic() + 60.0
        while count > 2 * PART_BYTES and time.monotonic() < deadline:
            if server.arrived_parts(asset) == 2:
                raise Enough
            time.sleep(0.02)

    with pytest.raises(Enough):
        store.put(asset, content, sent=sent)
    assert store.size(asset.key) is None
    assert len(server.unfinished_uploads(asset)) == 1
    return asset, content


def test_an_upload_that_was_broken_off_goes_on_where_it_ended(s3: S3Server, wire: Wire) -> None:
    asset, content = broken_off(s3, s3.store())
    store = s3.store(endpoint=wire.endpoint)
    store.put(asset, content, sent=lambda _: None)
    assert b"".join(s3.store().read(asset.key)) == LARGE
    assert wire.sent < PART_BYTES  # only the third part, which is a small one
    assert s3.unfinished_uploads(asset) == []


def test_what_an_upload_left_goes_when_the_asset_is_deleted(s3: S3Server) -> None:
    asset, _ = broken_off(s3, s3.store())
    s3.store().delete(asset.key)
    assert s3.unfinished_uploads(asset) == []


def test_a_part_that_was_damaged_on_the_way_is_sent_again(
    both: dict[str, S3Server],
) -> None:
    moto = both["moto"]  # it takes a part that is not what its signature says
    with wire_to(moto.port) as wire:
        wire.flip = LARGE[7:15]
        asset, content = broken_off(moto, moto.store(endpoint=wire.endpoint))
        assert wire.flipped
    moto.store().put(asset, content, sent=lambda _: None)
    assert b"".join(moto.store().read(asset.key)) == LARGE


def test_an_upload_that_the_store_has_forgotten_begins_anew(server: S3Server) -> None:
    asset, content = broken_off(server, server.store())
    server.stop()
    with pytest.raises(CDNUnavailable):
        server.store().put(asset, content, sent=lambda _: None)
    server.start()
    make_bucket(server)
    server.store().put(asset, content, sent=lambda _: None)
    assert b"".join(server.store().read(asset.key)) == LARGE


def test_a_large_upload_is_encrypted_and_trusts_whom_the_environment_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rclone_server(tmp_path, encrypted=True) as server:
        with pytest.raises(CDNUnavailable):
            put(server.store(), LARGE)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        store = server.store()
        assert b"".join(store.read(put(store, LARGE).key)) == LARGE


def test_an_upload_that_cannot_be_taken_up_again_is_given_up(s3: S3Server, wire: Wire) -> None:
    asset, content = broken_off(s3, s3.store())
    wire.cut_after = 4096  # small requests pass, and no part does
    with pytest.raises(CDNUnavailable):
        s3.store(endpoint=wire.endpoint).put(asset, content, sent=lambda _: None)
    assert s3.unfinished_uploads(asset) == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "three parts"])
def test_bytes_that_are_disturbed_on_the_way_are_never_taken_for_sound(
    s3: S3Server, wire: Wire, data: bytes
) -> None:
    asset = an_asset(data)
    wire.flip = data[7:15]
    with pytest.raises(StrettoError):
        s3.store(endpoint=wire.endpoint).put(asset, Content.of_bytes(data), sent=lambda _: None)
    assert wire.flipped
    assert s3.store().size(asset.key) is None
