"""The clock of the program; tests have another one."""

from __future__ import annotations

import time

from stretto.contexts.core.identifiers import Timestamp


def now() -> Timestamp:
    return Timestamp(time.time())
