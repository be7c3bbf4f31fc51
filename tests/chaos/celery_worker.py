"""A Celery worker whose standard output says only ``ready``, once it hears the broker.

``python -m tests.chaos.celery_worker ARGUMENTS``, as after ``celery worker``.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from tests.chaos.clocks import shift_if_told

    shift_if_told()  # before anybody takes the clock by its name
    sys.__stdout__ = sys.stdout = sys.stderr
    from tests.chaos.celery_app import app

    app.worker_main(["worker", *sys.argv[1:]])
