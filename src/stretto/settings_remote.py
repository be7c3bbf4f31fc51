"""The settings of services over the network: where they are, what lets us in, what they allow."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Final

from stretto.settings_values import ENGINE_NAME, ONE_WORD, about, is_one_word, number, text

ANSWERS: Final = ("verbose_json", "json", "text")
ENCODINGS: Final = ("flac", "wav")


def _is_address(url: str) -> bool:
    """A first look; whoever connects looks again, and says more."""
    return url.startswith(("https://", "http://")) and url.isascii() and " " not in url


def _is_proxy(url: str) -> bool:
    return url.startswith("http://") and url.isascii() and url.isprintable() and " " not in url


def _url(default: str, doc: str) -> Any:
    allowed = "an address that begins with https:// (http:// for this machine only)"
    return field(default=default, metadata=about(doc, allowed=allowed, check=_is_address))


def _key(doc: str) -> Any:
    return text(doc, allowed=ONE_WORD, check=is_one_word, secret=True)


def _file(doc: str) -> Any:
    return text(doc, allowed="empty or a file", check=lambda path: "\0" not in path)


def _flag(doc: str) -> Any:
    """A setting that is true or false, and false unless somebody sets it."""
    return field(default=False, metadata=about(doc, allowed="true or false", check=lambda _: True))


def _one_of(names: tuple[str, ...], doc: str) -> Any:
    allowed = f"{', '.join(names[:-1])} or {names[-1]}"
    check = lambda name: name in names  # noqa: E731
    return field(default=names[0], metadata=about(doc, allowed=allowed, check=check))


CLOUDRU_URL: Final = _url(
    "https://foundation-models.api.cloud.ru/v1",
    "Where the engine cloudru asks. See [Cloud.ru](../howto/cloudru.md).",
)
CLOUDRU_API_KEY: Final = _key("The key of the engine cloudru.")
CLOUDRU_API_KEY_FILE: Final = _file("A file that holds the key of the engine cloudru.")
OPENAI_URL: Final = _url(
    "https://api.openai.com/v1",
    "Where the engine openai asks: any server with that interface.",
)
OPENAI_API_KEY: Final = _key("The key of the engine openai, if its server wants one.")
OPENAI_API_KEY_FILE: Final = _file("A file that holds the key of the engine openai.")
OPENAI_ANSWERS: Final = _one_of(
    ANSWERS,
    "The form in which the engine openai wants answers; only verbose_json has times of its own.",
)
REMOTE_CA_FILE: Final = _file(
    "Certificates (PEM) to trust instead of the system's, for a server with its own authority."
)
REMOTE_PROXY: Final = text(
    "The proxy on the way to a service; empty means that of HTTPS_PROXY and NO_PROXY, if there is "
    "one.",
    allowed="empty, none, or http://host:port",
    check=lambda url: url in {"", "none"} or _is_proxy(url),
    secret=True,
)
REMOTE_ENCODING: Final = _one_of(
    ENCODINGS, "How audio is packed for a service: flac has half the bytes of wav."
)
ALIGN: Final = _flag(
    "True gives the words of a service's text the times at which the local model heard them."
)
ALIGN_MODEL: Final = text(
    "The local model that hears the times; empty means the usual one.",
    allowed="a model name or a folder",
    check=lambda name: "\0" not in name,
)
HEDGE: Final = text(
    "An engine that gets a chunk as well when the first takes unusually long; empty means none.",
    allowed="empty or the name of an engine",
    check=lambda name: not name or bool(ENGINE_NAME.match(name)),
)
HEDGE_MODEL: Final = text(
    "The model of that engine; empty means its usual one.",
    allowed="a model name or a folder",
    check=lambda name: "\0" not in name,
)
REMOTE_BODY_BYTES: Final = number(
    26_214_400, "What a service takes in one call at most.", 2_000_000, 1_000_000_000, unit="bytes"
)
REMOTE_CALL_S: Final = number(
    0,
    "What a service takes in one call at most; 0 means any length.",
    *(0, 86_400),
    unit="seconds of audio",
)
REMOTE_CONCURRENCY: Final = number(
    4, "How many calls a service gets at the same time at most.", 1, 64
)
REMOTE_REQUESTS_PER_MINUTE: Final = number(
    0, "How many calls a service gets in any minute at most; 0 means any number.", 0, 100_000
)
REMOTE_AUDIO_S_PER_MINUTE: Final = number(
    0,
    "How much audio a service gets in any minute at most; 0 means any amount.",
    *(0, 10_000_000),
    unit="seconds",
)
REMOTE_ANSWER_S: Final = number(
    300, "How long a service may take to answer one call.", 1, 86_400, unit="seconds"
)
REMOTE_DEADLINE_S: Final = number(
    900,
    "How long one chunk may take with all attempts and pauses.",
    *(1, 86_400),
    unit="seconds",
)
