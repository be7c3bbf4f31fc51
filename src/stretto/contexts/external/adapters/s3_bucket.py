"""Where an S3 store is, who we are there, and what its refusals mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from stretto.contexts.core.errors import (
    AssetMissing,
    CDNRefused,
    CDNUnavailable,
    StorageFull,
    StrettoError,
)
from stretto.contexts.external.cdn_model import AssetKey

_USUAL_REGION: Final = "us-east-1"
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where the store is and who we are there. Empty credentials leave it to obstore to find some:
    the variables of AWS, or the role of the machine."""

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    public_url: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Example: ``s3://bucket/prefix at https://s3.example.org``."""
        path = "/".join(part for part in (self.name, self.prefix) if part)
        return f"s3://{path}" + (f" at {self.endpoint}" if self.endpoint else "")

    @property
    def usual_region(self) -> str:
        return self.region or _USUAL_REGION

    @property
    def address(self) -> str:
        """Example: ``https://s3.eu-central-1.amazonaws.com/bucket``."""
        server = self.endpoint or f"https://s3.{self.usual_region}.amazonaws.com"
        return f"{server.rstrip('/')}/{self.name}"

    def object_name(self, key: AssetKey) -> str:
        """What the store calls it."""
        return "/".join(part for part in (self.prefix.strip("/"), key.value) if part)


def explanation(text: str, key: AssetKey, bucket: Bucket) -> StrettoError:
    """Of what obstore says. Only the status and the code of the store are taken from its words."""
    code = next(iter(_CODE.findall(text)), "")
    status = next(iter(_STATUS.findall(text)), "")
    if not bucket.access_key and _METADATA in text:
        return CDNRefused(f"{_NO_KEYS.format(store=bucket)}.")
    return refusal(status, code, key, bucket)


def refusal(status: str, code: str, key: AssetKey, bucket: Bucket) -> StrettoError:
    """What a store means that answers with ``status`` and the code of its error; without both it
    did not answer."""
    kind, sentence = (
        _SENTENCES.get(code) or _BY_STATUS.get(status) or (CDNUnavailable, _UNREACHABLE)
    )
    told = sentence.format(bucket=bucket.name, store=bucket, key=key)
    answer = f" (it answered {' '.join(filter(None, (status, code)))})" if status else ""
    return kind(f"{told}{answer}.")


_UNREACHABLE: Final = (
    "{store} cannot be reached just now. What was to be done there waits and is done later"
)
_METADATA: Final = "/latest/api/token"
"""Where obstore asks for the role of the machine when there are no keys."""

_NO_KEYS: Final = (
    "There are no keys for {store}. Set STRETTO_CDN_ACCESS_KEY and STRETTO_CDN_SECRET_KEY, or "
    "STRETTO_CDN_CREDENTIALS_FILE"
)
_KEYS: Final = "Correct STRETTO_CDN_ACCESS_KEY and STRETTO_CDN_SECRET_KEY"
_REGION: Final = "Set STRETTO_CDN_REGION to the region of the bucket, and STRETTO_CDN_ENDPOINT"
_MISSING: Final = "{key} is not in {store}. Publish it again: stretto cdn publish"
_SENTENCES: Final[dict[str, tuple[type[StrettoError], str]]] = {
    "NoSuchBucket": (
        CDNRefused,
        "There is no bucket {bucket!r}: {store}. Create it, or correct STRETTO_CDN_URL",
    ),
    "NoSuchKey": (AssetMissing, _MISSING),
    "NoSuchUpload": (
        CDNUnavailable,
        "What {store} had of {key} is gone. It is sent again from its beginning later",
    ),
    "InvalidAccessKeyId": (CDNRefused, f"{{store}} does not know the access key. {_KEYS}"),
    "SignatureDoesNotMatch": (CDNRefused, f"The secret key of {{store}} is wrong. {_KEYS}"),
    "ExpiredToken": (CDNRefused, f"The session token for {{store}} has expired. {_KEYS}"),
    "RequestTimeTooSkewed": (
        CDNRefused,
        "{store} says that the clock of this machine is wrong. Set the clock",
    ),
    "AuthorizationHeaderMalformed": (CDNRefused, f"{{store}} is in another region. {_REGION}"),
    "PermanentRedirect": (CDNRefused, f"{{store}} is elsewhere. {_REGION}"),
    "QuotaExceeded": (StorageFull, "The quota of {store} is used up. Raise it or delete something"),
    "XMinioStorageFull": (StorageFull, "The disks of {store} are full. Make room there"),
}
_BY_STATUS: Final[dict[str, tuple[type[StrettoError], str]]] = {
    "301": (CDNRefused, f"{{store}} is elsewhere. {_REGION}"),
    "401": (CDNRefused, f"{{store}} does not take the keys. {_KEYS}"),
    "403": (
        CDNRefused,
        "{store} does not allow it: the keys need the right to put, get and delete objects below "
        "the prefix",
    ),
    "404": (AssetMissing, _MISSING),
    "507": (StorageFull, "{store} is full. Make room there"),
}
