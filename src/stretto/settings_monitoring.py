"""The settings of monitoring: what is measured, who may ask, which alerts there are and whom they
reach."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Final

from stretto.settings_values import ONE_WORD, about, is_one_word, number, text

LOG_FORMATS: Final = ("plain", "json")
_HOST: Final = re.compile(r"[A-Za-z0-9.:-]{1,253}\Z")

METRICS: Final = field(
    default=True,
    metadata=about(
        "False measures nothing, and tells nobody. See [Monitoring](../howto/monitoring.md).",
        allowed="true or false",
        check=lambda _: True,
    ),
)
METRICS_PORT: Final = number(
    0,
    "Where a worker answers Prometheus (path /metrics); 0 means nowhere. The next free one of the "
    "ten ports from there on is taken, so that several workers of a machine may have the same.",
    *(0, 65_525),
)
METRICS_HOST: Final = field(
    default="127.0.0.1",
    metadata=about(
        "The address at which it answers; whoever reaches it may read all figures.",
        allowed="an address of this machine, such as 127.0.0.1 or 0.0.0.0",
        check=lambda host: bool(_HOST.match(host)),
    ),
)
LOG_FORMAT: Final = field(
    default="plain",
    metadata=about(
        "How log lines are written: for people, or as JSON with the ids of job, file, chunk and "
        "request.",
        allowed="plain or json",
        check=lambda name: name in LOG_FORMATS,
    ),
)
ALERT_RULES: Final = text(
    "A TOML file with alert rules, besides those that come with Stretto.",
    allowed="empty or the path of a file",
    check=lambda path: "\0" not in path,
)
ALERT_WEBHOOK_URL: Final = text(
    "Where alerts are posted as JSON.",
    allowed="empty or an address that begins with https:// (http:// is not encrypted)",
    check=lambda url: not url or (url.startswith(("https://", "http://")) and is_one_word(url)),
    secret=True,
)
ALERT_WEBHOOK_SECRET: Final = text(
    "With this the posted alerts are signed (HMAC-SHA-256).",
    allowed=ONE_WORD,
    check=is_one_word,
    secret=True,
)
ALERT_SMTP_URL: Final = text(
    "Where alerts are sent as mail: "
    "smtp://user:password@host:587/?from=stretto@example.org&to=me@example.org; smtps:// is "
    "encrypted from the first byte, smtp:// as soon as the server can.",
    allowed="empty or smtp://host:port/?from=…&to=… (also smtps://)",
    check=lambda url: not url or (url.startswith(("smtp://", "smtps://")) and is_one_word(url)),
    secret=True,
)
ALERT_APPRISE_URLS: Final = text(
    "Addresses that Apprise knows, with spaces between them; needs stretto[notify].",
    allowed="empty or printable characters",
    check=lambda urls: urls.isprintable(),
    secret=True,
)
