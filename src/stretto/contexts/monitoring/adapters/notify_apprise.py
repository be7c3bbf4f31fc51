"""Alerts to any of the services that Apprise knows."""

from __future__ import annotations

from importlib import util

from stretto.contexts.core.errors import InvalidOption, Unavailable
from stretto.contexts.core.events import AlertsChanged
from stretto.contexts.monitoring.notices import subject_of, text_of


class AppriseNotifier:
    """``urls`` are as Apprise writes them. Raises InvalidOption without its package, and for an
    address that it does not know; none of them is repeated, they hold passwords."""

    def __init__(self, urls: str) -> None:
        if util.find_spec("apprise") is None:
            raise InvalidOption(
                "STRETTO_ALERT_APPRISE_URLS is set, but a package that it needs is not installed. "
                "Install it with: pip install 'stretto[notify]'"
            )
        import apprise

        self._apprise = apprise.Apprise()
        for number, url in enumerate(urls.split(), start=1):
            if not self._apprise.add(url):
                raise InvalidOption(
                    f"Apprise does not know the address {number} of STRETTO_ALERT_APPRISE_URLS."
                )

    def notify(self, notice: AlertsChanged, *, notice_id: str) -> None:
        if not self._apprise.notify(title=subject_of(notice), body=text_of(notice)):
            raise Unavailable("Apprise did not get an alert through. It is tried again.")
