"""Wires the CDN of the settings: the origin in the home folder, and a bucket or a folder."""

from __future__ import annotations

import configparser
import logging
import random
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stretto.bootstrap.clock import now
from stretto.bootstrap.later import LaterReader
from stretto.contexts.core.bus import Publish
from stretto.contexts.core.errors import InvalidOption, StrettoError
from stretto.contexts.core.identifiers import TranscriptId
from stretto.contexts.external.adapters.cdn_folder import FolderStore, content_of
from stretto.contexts.external.adapters.cdn_records import SqlAssets
from stretto.contexts.external.cdn import CDNUploader, tried_out
from stretto.contexts.external.cdn_delivery import CDNDelivery, DeliveryThread
from stretto.contexts.external.cdn_publishing import CDNPublishing
from stretto.contexts.processing.adapters.library import SqlTranscriptLibrary
from stretto.settings import Settings

if TYPE_CHECKING:
    from stretto.bootstrap.database import Database
    from stretto.contexts.external.adapters.rendition import Samples
    from stretto.contexts.external.cdn_ports import Encoder, Shop

S3: Final = "s3://"

logger = logging.getLogger(__name__)


def build_uploader(
    settings: Settings, database: Database, *, publish: Publish = lambda _: None
) -> CDNUploader:
    """Opens nothing. Raises InvalidOption for keys that cannot be read or a missing package."""
    assets = SqlAssets(database)
    edge = build_edge(settings)
    public = settings.cdn_public_url if edge is None else ""
    origin = FolderStore(settings.cdn_path, public_url=public)

    def exists(transcript_id: TranscriptId) -> bool:
        from stretto.contexts.database.adapters.outbox import OutboxWriter

        library = SqlTranscriptLibrary(database, outbox=OutboxWriter(), clock=now)
        return library.summary(transcript_id) is not None

    delivery = CDNDelivery(
        origin=origin,
        edge=edge,
        records=assets,
        work=assets,
        exists=exists,
        clock=now,
        chance=random.random,
        publish_event=publish,
    )
    return CDNUploader(
        origin=origin,
        edge=edge,
        records=assets,
        listed=assets,
        work=assets,
        delivery=delivery,
        exists=exists,
        clock=now,
    )


def build_publishing(
    settings: Settings,
    database: Database,
    *,
    stream: int | None = None,
    publish: Publish = lambda _: None,
) -> CDNPublishing:
    """As ``build_uploader``, with what makes audio for listeners; ``stream`` counts from 0."""
    reader = LaterReader(settings.decoder)

    def decode(path: Path) -> Iterator[Samples]:
        return reader.open(reader.probe(reader.identify(path), stream=stream)).blocks()

    return CDNPublishing(
        uploader=build_uploader(settings, database, publish=publish),
        encoder=_encoder(settings, decode),
        probe=lambda path: reader.probe(reader.identify(path), stream=stream),
        content_of=content_of,
        scratch=FolderStore(settings.cdn_path).scratch,
        original=settings.cdn_original,
    )


def build_edge(settings: Settings) -> Shop | None:
    """None when listeners fetch from the folder in the home folder itself."""
    if not settings.cdn_url:
        return None
    if not settings.cdn_url.startswith(S3):
        folder = _path("STRETTO_CDN_URL", settings.cdn_url)
        if folder == settings.cdn_path:
            return None
        return FolderStore(folder, public_url=settings.cdn_public_url)
    if util.find_spec("obstore") is None:
        raise InvalidOption(
            "STRETTO_CDN_URL is a bucket, but a package that it needs is not installed. "
            "Install it with: pip install 'stretto[cdn]'"
        )
    from stretto.contexts.external.adapters.cdn_s3 import S3CDNStore
    from stretto.contexts.external.adapters.s3_bucket import Bucket

    name, _, prefix = settings.cdn_url.removeprefix(S3).strip("/").partition("/")
    access_key, secret_key, token = credentials_of(settings)
    return S3CDNStore(
        Bucket(
            name=name,
            prefix=prefix,
            endpoint=settings.cdn_endpoint.rstrip("/"),
            region=settings.cdn_region,
            public_url=settings.cdn_public_url,
            access_key=access_key,
            secret_key=secret_key,
            session_token=token,
        )
    )


def look_at_cdn(settings: Settings) -> Callable[[], str] | None:
    """How to find out whether listeners can be given what is published; None when they fetch it
    from the home folder. It raises a StrettoError that says what is wrong."""
    if not settings.cdn_url:
        return None

    def look() -> str:
        store = build_edge(settings)
        if store is None:
            return str(settings.cdn_path)
        tried_out(store, at=now())
        return f"{store.name}: something was put there, read back and deleted"

    return look


def credentials_of(settings: Settings) -> tuple[str, str, str]:
    """Access key, secret key, session token: of the settings, else of the file, else empty.

    Raises InvalidOption, which never shows what is in the file.
    """
    if bool(settings.cdn_access_key) != bool(settings.cdn_secret_key):
        raise InvalidOption(
            "Of STRETTO_CDN_ACCESS_KEY and STRETTO_CDN_SECRET_KEY only one is set. Set both."
        )
    if settings.cdn_access_key or not settings.cdn_credentials_file:
        return settings.cdn_access_key, settings.cdn_secret_key, ""
    path = _path("STRETTO_CDN_CREDENTIALS_FILE", settings.cdn_credentials_file)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as cause:
        raise InvalidOption(
            f"STRETTO_CDN_CREDENTIALS_FILE {str(path)!r} cannot be read: {cause.strerror}."
        ) from cause
    keys = _keys_in(text)
    if keys is None:  # raised here and not there: the error of the parser shows lines of the file
        raise InvalidOption(
            f"STRETTO_CDN_CREDENTIALS_FILE {str(path)!r} has no [default] section with "
            "aws_access_key_id and aws_secret_access_key."
        )
    return keys


def _path(name: str, text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as cause:  # "~somebody" without such a user
        raise InvalidOption(f"{name} must be a path, not {text[:80]!r}: {cause}") from cause


def _keys_in(text: str) -> tuple[str, str, str] | None:
    parser = configparser.RawConfigParser(default_section="")
    try:
        parser.read_string(text)
        section = parser["default"]
        keys = section["aws_access_key_id"].strip(), section["aws_secret_access_key"].strip()
    except (configparser.Error, KeyError, ValueError):
        return None
    return *keys, section.get("aws_session_token", "").strip()


def purge_published(settings: Settings, database: Database, transcript_id: TranscriptId) -> None:
    """What was published of it is struck, which survives everything, and deleted if that can be
    done now. Raises StorageFull and StorageUnavailable when it could not even be struck."""
    if not SqlAssets(database).strike(transcript_id):
        return
    try:
        build_uploader(settings, database).deliver(early=True, transcript_id=transcript_id)
    except StrettoError as error:
        logger.warning("What was published of %s is deleted later. %s", transcript_id, error)


def deliver_in_background(
    settings: Settings, database: Database, publish: Publish
) -> Callable[[], None]:
    """While the program runs, what waits is sent. Returns what ends that."""
    uploader = build_uploader(settings, database, publish=publish)
    thread = DeliveryThread(delivery=uploader.delivery)
    thread.start()
    return thread.close


def _encoder(settings: Settings, decode: Callable[[Path], Iterator[Samples]]) -> Encoder | None:
    if settings.cdn_audio == "none":
        return None
    from stretto.contexts.external.adapters.rendition import RENDITIONS, RenditionEncoder

    rendition = RENDITIONS[settings.cdn_audio]
    return RenditionEncoder(rendition, kbps=settings.cdn_audio_kbps, decode=decode)
