"""Alerts as mail."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from stretto.contexts.core.errors import InvalidOption, Unavailable
from stretto.contexts.core.events import AlertsChanged
from stretto.contexts.monitoring.notices import subject_of, text_of

TIMEOUT_S: Final = 5.0


class SmtpNotifier:
    """``url`` is smtp://user:password@host:port/?from=…&to=…; several ``to`` are several people.
    A password is sent encrypted only. Raises InvalidOption."""

    def __init__(self, url: str) -> None:
        try:
            self._url = urlsplit(url)
            self._port = self._url.port
        except ValueError as cause:
            raise InvalidOption("STRETTO_ALERT_SMTP_URL has no well-formed host.") from cause
        query = parse_qs(self._url.query)
        self._sender, self._receivers = query.get("from", [""])[0], query.get("to", [])
        addresses = (self._sender, *self._receivers)
        if not self._url.hostname or not self._receivers or not all(map(_is_address, addresses)):
            raise InvalidOption("STRETTO_ALERT_SMTP_URL needs a host, ?from=… and &to=….")

    def notify(self, notice: AlertsChanged, *, notice_id: str) -> None:
        message = EmailMessage()
        message["From"], message["To"] = self._sender, ", ".join(self._receivers)
        message["Subject"] = " ".join(subject_of(notice).split())
        message["Date"] = formatdate(notice.at.unix_s, usegmt=True)
        message["Message-ID"] = f"<{notice_id}@stretto>"  # mail programs show it once
        message.set_content(text_of(notice))
        host = self._url.hostname or ""
        try:
            with self._connected(host) as server:
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as cause:
            raise Unavailable(
                f"The mail server {host} did not take an alert ({type(cause).__name__}). "
                "It is tried again; see the setting alert_smtp_url."
            ) from cause

    def _connected(self, host: str) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._url.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, self._port or 465, timeout=TIMEOUT_S, context=context
            )
            encrypted = True
        else:
            server = smtplib.SMTP(host, self._port or 587, timeout=TIMEOUT_S)
            server.ehlo()
            encrypted = server.has_extn("starttls")
            if encrypted:
                server.starttls(context=context)
        if self._url.username:
            if not encrypted:
                server.close()
                raise smtplib.SMTPException("no encryption for the password")
            server.login(unquote(self._url.username), unquote(self._url.password or ""))
        return server


def _is_address(text: str) -> bool:
    name, _, host = text.rpartition("@")
    return bool(name and host) and text.isprintable() and not set(text) & set(" ,<>")
