"""The fleet's Celery: ``celery -A stretto.interfaces.celery worker``."""

from __future__ import annotations

from stretto.bootstrap.fleet import Wiring, celery_of
from stretto.contexts.core.errors import StrettoError
from stretto.interfaces.celery_worker import FleetProcess

try:
    wiring = Wiring.of_this_process()
    app = celery_of(wiring.settings, (__name__,))
except StrettoError as error:
    raise SystemExit(error.message) from error

FleetProcess(wiring).attach(app)
