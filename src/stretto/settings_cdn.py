"""The settings of the CDN: where published things go, and what is made for listeners."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Final

from stretto.settings_values import ENGINE_NAME, ONE_WORD, about, is_one_word, number, text

AUDIO: Final = ("opus", "webm", "mp3", "none")
BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9._-]{1,62}(/[A-Za-z0-9._=-]+)*/?\Z")
ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~%/-]*)?\Z")


def _is_cdn(url: str) -> bool:
    """A bucket of S3 by its rules for names, or a path."""
    if url.startswith("s3://"):
        return bool(BUCKET.match(url))
    return "://" not in url and "\0" not in url


def _is_address(url: str) -> bool:
    return not url or bool(ADDRESS.match(url))


CDN_URL: Final = text(
    "Where listeners fetch what is published; empty means the folder cdn in the home folder. "
    "See [The CDN](../howto/cdn.md).",
    allowed="empty, a folder, or s3://bucket/prefix",
    check=_is_cdn,
)
CDN_ENDPOINT: Final = text(
    "The address of the S3 server; empty means that of AWS.",
    allowed="empty or https://host:port (http:// is not encrypted)",
    check=_is_address,
)
CDN_REGION: Final = text(
    "The region of the bucket; empty means us-east-1.",
    allowed="empty or letters, digits and hyphens, such as eu-central-1 or auto",
    check=lambda name: not name or bool(ENGINE_NAME.match(name)),
)
CDN_PUBLIC_URL: Final = text(
    "The address under which everybody can fetch what lies at cdn_url; empty means signed links.",
    allowed="empty or https://host/path (also http://)",
    check=_is_address,
)
CDN_ACCESS_KEY: Final = text(
    "The access key of the S3 store.", allowed=ONE_WORD, check=is_one_word, secret=True
)
CDN_SECRET_KEY: Final = text(
    "The secret key of the S3 store.", allowed=ONE_WORD, check=is_one_word, secret=True
)
CDN_CREDENTIALS_FILE: Final = text(
    "A file with the keys, as AWS writes it; counts when the two keys are empty.",
    allowed="empty or the path of a file",
    check=lambda path: "\0" not in path,
)
CDN_AUDIO: Final = field(
    default="opus",
    metadata=about(
        "What is made for listeners: Opus in Ogg or in WebM, MP3, or nothing.",
        allowed="opus, webm, mp3 or none",
        check=lambda form: form in AUDIO,
    ),
)
CDN_AUDIO_KBPS: Final = number(
    32, "The size of a second of it.", 8, 160, unit="kilobits per second"
)
CDN_ORIGINAL: Final = field(
    default=False,
    metadata=about(
        "True publishes the recording itself too.",
        allowed="true or false",
        check=lambda _: True,
    ),
)
CDN_LINK_S: Final = number(3600, "How long a signed link is good.", 1, 604_800, unit="seconds")
