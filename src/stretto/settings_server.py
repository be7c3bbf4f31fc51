"""The settings of `stretto serve`: where it listens, who may come in, how much they may bring."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Final

from stretto.settings_values import about, number, text

KEYS: Final = ("auto", "always")
_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]{1,255}\Z")
_HOSTS: Final = re.compile(r"([A-Za-z0-9.-]{1,253}(,|\Z))*\Z")

SERVE_HOST: Final[str] = field(
    default="127.0.0.1",
    metadata=about(
        "The address that stretto serve listens at. See [Serve](../howto/serve.md).",
        allowed="an address or the name of one",
        check=lambda host: bool(_HOST.match(host)),
    ),
)
SERVE_PORT: Final = number(8765, "The port there; 0 means any that is free.", 0, 65_535)
SERVE_KEYS: Final[str] = field(
    default="auto",
    metadata=about(
        "Who needs a key (stretto keys create); auto means everybody but the users of this machine "
        "while only they can reach it: on the loopback interface, without a name and a proxy.",
        allowed="auto or always",
        check=lambda word: word in KEYS,
    ),
)
SERVE_NAMES: Final[str] = text(
    "Names under which the server is reached besides its address, with commas between them; others "
    "are refused.",
    allowed="empty or names such as stretto.example.org,stretto.local",
    check=lambda names: bool(_HOSTS.match(names)),
)
SERVE_JOBS: Final = number(
    2, "Jobs that stretto serve works on at once by itself; 0 leaves them to stretto worker.", 0, 64
)
SERVE_UPLOAD_MB: Final = number(
    10_000, "The largest recording that is taken.", 1, 1_000_000, unit="MB"
)
SERVE_STREAMS: Final = number(
    10, "Streams of events that one owner may have open at once; 0 means any number.", 0, 100_000
)
SERVE_REQUESTS_PER_MINUTE: Final = number(
    1200, "Requests that one key may make in any minute; 0 means any number.", 0, 1_000_000
)
