"""Reads alert rules from files: those that come with the program, and the user's own."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.monitoring.alerts import AlertRule
from stretto.contexts.monitoring.rules import rules_from

MOST_BYTES: Final = 1_000_000


def read_rules(own: str) -> tuple[AlertRule, ...]:
    """``own`` is the path of a file, or empty. Raises InvalidOption for one that is wrong."""
    shipped = resources.files(__package__).joinpath("rules.toml").read_text(encoding="utf-8")
    documents = [("The shipped rules", tomllib.loads(shipped))]
    if own:
        documents.append((own, _read(Path(own).expanduser())))
    return rules_from(*documents)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InvalidOption(f"{path} is larger than a file of alert rules can be.")
        return tomllib.loads(data.decode())
    except OSError as cause:
        raise InvalidOption(f"The alert rules {path} cannot be read: {cause.strerror}.") from cause
    except ValueError as cause:  # no UTF-8, or no TOML
        raise InvalidOption(f"The alert rules {path} are not valid TOML: {cause}.") from cause
