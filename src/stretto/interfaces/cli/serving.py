"""``stretto serve``: the HTTP API and the page, with a worker beside them."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import closing
from importlib import util
from typing import TYPE_CHECKING, Any, Final

from stretto.contexts.core.errors import EngineUnavailable, InvalidOption
from stretto.interfaces.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from stretto.bootstrap.serving import Serving

NEEDED: Final = ("fastapi", "uvicorn", "python_multipart")
TIDY_EVERY_S: Final = 3600.0


def serve(**options: Any) -> int:
    """Until SIGTERM or Ctrl-C. Raises InvalidOption for settings that would let anybody in, and
    EngineUnavailable where packages are missing."""
    from stretto.bootstrap import load_settings
    from stretto.bootstrap.logs import set_up_logging

    missing = [name for name in NEEDED if util.find_spec(name) is None]
    if missing:
        raise EngineUnavailable(
            f'No package {missing[0]}. Install it: pip install "stretto[server]"'
        )
    from stretto.bootstrap.serving import build_serving
    from stretto.interfaces.http.hands import NoHands, WorkerProcess

    given = {name: value for name, value in options.items() if value is not None}
    settings = load_settings(overrides=given)
    set_up_logging(settings)
    serving = build_serving(settings)
    try:
        if serving.key_needed and not serving.keys.any_valid():
            raise InvalidOption(
                f"{settings.serve_host} can be reached by others, and there is no key yet. Make "
                "one: stretto keys create --owner NAME"
            )
        jobs = settings.serve_jobs
        hands = WorkerProcess(jobs, environment=_environment(given)) if jobs else NoHands()
        try:
            _listen(serving, hands)
        finally:
            hands.close()
    finally:
        serving.close()
    return ExitCode.COMPLETE


def _environment(given: dict[str, Any]) -> dict[str, str]:
    """The worker reads the same settings."""
    return {
        **os.environ,
        **{f"STRETTO_{name.upper()}": str(value) for name, value in given.items()},
    }


def _listen(serving: Serving, hands: Any) -> None:
    from stretto.interfaces.http.running import bound, run
    from stretto.interfaces.http.server import Server
    from stretto.interfaces.http.watching import Watch

    settings = serving.settings
    server = Server(serving=serving, watch=Watch(serving.queue), hands=hands)
    with closing(bound(settings.serve_host, settings.serve_port)) as listening:
        stopping = threading.Event()
        threading.Thread(target=_tidy, args=(serving, stopping), daemon=True).start()
        hands.start()
        try:
            run(server, listening)
        finally:
            stopping.set()


def _tidy(serving: Serving, stopping: threading.Event) -> None:
    while True:
        try:
            serving.keeper.tidy()
        except Exception:
            logging.getLogger(__name__).exception("Old recordings were not deleted.")
        if stopping.wait(TIDY_EVERY_S):
            return
