"""Alerts to an address of the operator's, as JSON, signed as standardwebhooks.com says."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import asdict
from typing import Final
from urllib.parse import urlsplit

from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.events import AlertsChanged
from stretto.contexts.core.identifiers import Timestamp
from stretto.contexts.core.signing import signature
from stretto.contexts.monitoring.notices import subject_of, text_of

TIMEOUT_S: Final = 5.0


class WebhookNotifier:
    """No redirect is followed: what is signed goes where the operator said, or nowhere."""

    def __init__(self, url: str, *, secret: str, clock: Callable[[], Timestamp]) -> None:
        self._url, self._secret, self._clock = urlsplit(url), secret, clock

    def notify(self, notice: AlertsChanged, *, notice_id: str) -> None:
        body = json.dumps(
            {
                "type": "alerts.changed",
                "at": notice.at.unix_s,
                "group": notice.group,
                "text": f"{subject_of(notice)}\n{text_of(notice)}",
                "alerts": [asdict(alert) for alert in notice.alerts],
            }
        ).encode()
        at_s = int(self._clock().unix_s)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": notice_id,
            "webhook-timestamp": str(at_s),
        }
        if self._secret:
            headers["webhook-signature"] = signature(self._secret.encode(), notice_id, at_s, body)
        self._post(body, headers)

    def _post(self, body: bytes, headers: dict[str, str]) -> None:
        host, place = self._url.hostname or "", self._url.hostname
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        try:
            connection = (
                http.client.HTTPSConnection(
                    host, self._url.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
                )
                if self._url.scheme == "https"
                else http.client.HTTPConnection(host, self._url.port, timeout=TIMEOUT_S)
            )
            try:
                connection.request("POST", path, body, headers)
                status = connection.getresponse().status
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as cause:
            raise Unavailable(
                f"The webhook at {place} was not reached ({type(cause).__name__}). "
                "It is tried again; see the setting alert_webhook_url."
            ) from cause
        if not 200 <= status < 300:
            raise Unavailable(f"The webhook at {place} answered {status}. It is tried again.")
