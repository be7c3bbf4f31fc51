"""The command `stretto doctor`: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from stretto.contexts.caching.model import LevelStatus
from stretto.contexts.core.errors import StrettoError
from stretto.interfaces.cli import doctor_engine, doctor_machine
from stretto.interfaces.cli.doctor_checks import Check, CheckState, Configuration, guarded
from stretto.interfaces.cli.models import Library

__all__ = ["Check", "CheckState", "examine", "run_doctor"]

_STYLES: Final = {CheckState.OK: "green", CheckState.MISSING: "yellow", CheckState.BROKEN: "red"}


def run_doctor(
    settings: Configuration,
    library: Library,
    *,
    database: Callable[[], str],
    cache: Mapping[str, Callable[[], LevelStatus]],
    as_json: bool,
    service: Callable[[], str] | None = None,
    broker: Callable[[], str] | None = None,
    cdn: Callable[[], str] | None = None,
) -> int:
    """Print what works. Returns the exit code: 0 when recordings can be transcribed, else 1."""
    checks = (
        *examine(settings, library),
        *([guarded("service", lambda: check_service(service))] if service else ()),
        guarded("database", lambda: check_database(database)),
        *([guarded("broker", lambda: check_broker(broker))] if broker else ()),
        *([guarded("CDN", lambda: check_cdn(cdn))] if cdn else ()),
        *(
            guarded(f"cache {name}", partial(check_level, name, look))
            for name, look in cache.items()
        ),
    )
    ready = is_ready(checks)
    if as_json:
        found = [_as_json(check) for check in checks]
        print(json.dumps({"ready": ready, "checks": found}, indent=2))
    elif sys.stdout.isatty():
        _print_table(checks)
    else:
        for check in checks:
            print("\t".join((check.state, check.name, check.found, check.advice)).rstrip())
    if not as_json:
        print(_verdict(checks))
    return 0 if ready else 1


def examine(settings: Configuration, library: Library) -> tuple[Check, ...]:
    """Every check, in the order of the report. None of them raises, downloads or keeps anything."""
    return (
        guarded("Python", doctor_machine.check_python),
        guarded("processor", doctor_machine.check_processor),
        guarded("memory", doctor_machine.check_memory),
        guarded("engine", lambda: doctor_engine.check_engine(settings)),
        guarded("CUDA", lambda: doctor_engine.check_cuda(settings)),
        guarded("voice detection", doctor_engine.check_voice_detection),
        guarded("model", lambda: doctor_engine.check_model(settings, library)),
        guarded("codecs", doctor_machine.check_codecs),
        guarded("data folder", lambda: doctor_machine.check_data_folder(settings)),
        guarded("SQLite", doctor_machine.check_sqlite),
        guarded("models", lambda: doctor_engine.check_installed_models(library)),
        *doctor_engine.check_extras(settings),
    )


def check_service(look: Callable[[], str]) -> Check:
    """``look`` asks the service for what costs nothing, or raises an error of ours."""
    try:
        return Check(name="service", state=CheckState.OK, found=look())
    except StrettoError as error:
        advice = "See docs/howto/cloudru.md: the key, the address, the certificate."
        return Check(name="service", state=CheckState.BROKEN, found=error.message, advice=advice)


def check_database(look: Callable[[], str]) -> Check:
    """``look`` says what is there, or raises an error of ours that says what to do."""
    try:
        return Check(name="database", state=CheckState.OK, found=look())
    except StrettoError as error:
        return Check(name="database", state=CheckState.BROKEN, found=error.message)


def check_broker(look: Callable[[], str]) -> Check:
    """``look`` asks the broker of a fleet; jobs are accepted without it."""
    try:
        return Check(name="broker", state=CheckState.OK, found=look(), needed=False)
    except StrettoError as error:
        advice = "Jobs are accepted; workers are called for them when it is back."
        return Check(
            name="broker",
            state=CheckState.BROKEN,
            found=error.message,
            advice=advice,
            needed=False,
        )


def check_cdn(look: Callable[[], str]) -> Check:
    """``look`` tries the store out where listeners fetch from; what cannot go there waits."""
    try:
        return Check(name="CDN", state=CheckState.OK, found=look(), needed=False)
    except StrettoError as error:
        advice = "What is published waits until it can be sent. See docs/howto/cdn.md."
        return Check(
            name="CDN", state=CheckState.BROKEN, found=error.message, advice=advice, needed=False
        )


def check_level(name: str, look: Callable[[], LevelStatus]) -> Check:
    """A level of the cache; without it everything is slower and just as right."""
    status = look()
    if status.working:
        filled = "" if status.entries is None else f", {status.entries} entries"
        found = f"{status.place}{filled}"
        return Check(name=f"cache {name}", state=CheckState.OK, found=found, needed=False)
    advice = "Recordings are transcribed without it; it is used again when it is well."
    found = f"{status.place}: {status.trouble}"
    return Check(
        name=f"cache {name}", state=CheckState.BROKEN, found=found, advice=advice, needed=False
    )


def is_ready(checks: Sequence[Check]) -> bool:
    return all(check.state is CheckState.OK or not check.needed for check in checks)


def _verdict(checks: Sequence[Check]) -> str:
    if is_ready(checks):
        return "Recordings can be transcribed on this machine."
    blocking = [c.name for c in checks if c.needed and c.state is not CheckState.OK]
    return f"Recordings cannot be transcribed yet; see: {', '.join(blocking)}."


def _as_json(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "state": str(check.state),
        "needed": check.needed,
        "found": check.found,
        "advice": check.advice,
    }


def _print_table(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", box=None)
    table.add_column("found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for check in checks:
        cells = (Text(check.name), Text(check.found), Text(check.advice))
        table.add_row(Text(check.state, style=_STYLES[check.state]), *cells)
    Console().print(table)
