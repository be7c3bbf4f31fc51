"""Alerts in the log."""

from __future__ import annotations

import logging
from typing import Final

from stretto.contexts.core.events import AlertsChanged

LOGGER: Final = logging.getLogger("stretto.alerts")


class LogNotifier:
    """One line for each alert: a warning or an error when it begins, information when it ends."""

    def notify(self, notice: AlertsChanged, *, notice_id: str) -> None:
        for alert in notice.alerts:
            if not alert.firing:
                LOGGER.info("%s is over: %s", alert.rule, alert.summary)
                continue
            level = logging.ERROR if alert.severity == "critical" else logging.WARNING
            LOGGER.log(level, "%s: %s %s", alert.rule, alert.summary, alert.action)
