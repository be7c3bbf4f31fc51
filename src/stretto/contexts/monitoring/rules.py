"""Alert rules as people write them, in TOML: read strictly, so that a wrong word is not a rule that
never fires."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.monitoring.aggregation import Figure, Measure
from stretto.contexts.monitoring.alerts import AlertRule, Severity, Threshold

LONGEST_WINDOW_S: Final = 3600
MOST_RULES: Final = 200

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "name": (str,),
    "metric": (str,),
    "measure": (str,),
    "where": (dict,),
    "among": (dict,),
    "above": (int, float),
    "below": (int, float),
    "clear": (int, float),
    "of_usual": (bool,),
    "window_s": (int,),
    "for_s": (int,),
    "least": (int, float),
    "severity": (str,),
    "group": (str,),
    "summary": (str,),
    "action": (str,),
    "off": (bool,),
}
_NEEDED: Final = ("metric", "measure", "summary", "action")


def rules_from(*documents: tuple[str, Mapping[str, Any]]) -> tuple[AlertRule, ...]:
    """The rules of several documents, each with the name of where it was read.

    A rule of a later document replaces that of the same name as a whole; with ``off = true`` there
    is none. Raises InvalidOption that names the place, the rule, and what is wrong.
    """
    rules: dict[str, AlertRule | None] = {}
    for place, document in documents:
        tables = document.get("rule", [])
        if set(document) - {"rule"} or not isinstance(tables, list) or len(tables) > MOST_RULES:
            raise InvalidOption(f"{place} is to hold tables [[rule]], {MOST_RULES} at most.")
        here = [_rule(place, table) for table in tables]
        doubled = _doubled(name for name, _ in here)
        if doubled:
            raise InvalidOption(f"{place} has the rule {doubled!r} twice.")
        rules.update(here)
    return tuple(rule for rule in rules.values() if rule is not None)


def _rule(place: str, table: object) -> tuple[str, AlertRule | None]:
    if not isinstance(table, Mapping):
        raise InvalidOption(f"{place}: a rule is a table, [[rule]].")
    name = table.get("name", "")
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidOption(f"{place}: a rule's name is small letters, digits and hyphens.")
    try:
        _check(table)
        return name, None if table.get("off") else _made(name, table)
    except InvalidOption as trouble:
        raise InvalidOption(f"{place}, rule {name}: {trouble.message}") from trouble


def _check(table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        kinds = _TYPES.get(key)
        if kinds is None:
            raise InvalidOption(f"There is no key {key[:32]!r}; there are {', '.join(_TYPES)}.")
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise InvalidOption(f"{key} is not of the right type.")
    missing = [key for key in _NEEDED if key not in table]
    if missing and not table.get("off"):
        raise InvalidOption(f"{missing[0]} is missing.")


def _made(name: str, table: Mapping[str, Any]) -> AlertRule:
    window_s, for_s = table.get("window_s", 60), table.get("for_s", 0)
    if not 10 <= window_s <= LONGEST_WINDOW_S or not 0 <= for_s <= LONGEST_WINDOW_S:
        raise InvalidOption("window_s is from 10 to 3600, for_s from 0 to 3600.")
    if table["measure"] not in set(Measure):
        raise InvalidOption(f"measure is one of {', '.join(Measure)}.")
    if table.get("severity", "warning") not in set(Severity):
        raise InvalidOption(f"severity is one of {', '.join(Severity)}.")
    return AlertRule(
        name=name,
        figure=Figure(
            metric=table["metric"],
            measure=Measure(table["measure"]),
            where=_words(table.get("where", {})),
            among=_words(table.get("among", {})),
        ),
        threshold=Threshold(
            above=table.get("above"),
            below=table.get("below"),
            clear=table.get("clear"),
            of_usual=table.get("of_usual", False),
        ),
        summary=table["summary"],
        action=table["action"],
        severity=Severity(table.get("severity", "warning")),
        group=table.get("group", ""),
        window_s=window_s,
        for_s=for_s,
        least=float(table.get("least", 0)),
    )


def _words(table: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    words = {}
    for label, values in table.items():
        listed = values if isinstance(values, list) else [values]
        if not all(isinstance(value, str) for value in listed):
            raise InvalidOption(f"The values of {label[:32]} are words.")
        words[label] = tuple(listed)
    return words


def _doubled(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""
