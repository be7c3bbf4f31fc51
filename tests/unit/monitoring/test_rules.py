"""Alert rules in TOML: the shipped ones are right, and wrong ones are refused with their place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.monitoring.adapters.rule_files import MOST_BYTES, read_rules
from stretto.contexts.monitoring.rules import rules_from

GOOD = """
[[rule]]
name = "r"
metric = "queue.depth"
measure = "last"
where = { priority = "high" }
above = 10
summary = "Many wait."
action = "Start workers."
"""


def read(text: str) -> None:
    rules_from(("here", tomllib.loads(text)))


def test_the_shipped_rules_cover_what_goes_wrong() -> None:
    assert {rule.name for rule in read_rules("")} >= {
        *("processing-slow", "cache-misses", "errors", "dead-letters", "queue-waits"),
        *("service-down", "disk-nearly-full", "worker-lost", "cache-level-down"),
    }


def test_every_shipped_rule_says_what_to_do() -> None:
    assert all(rule.summary and rule.action and rule.group for rule in read_rules(""))


def test_a_rule_of_ones_own_is_added_replaces_and_switches_off(tmp_path: Path) -> None:
    own = tmp_path / "rules.toml"
    text = GOOD + GOOD.replace('"r"', '"errors"') + '[[rule]]\nname = "pool-full"\noff = true\n'
    own.write_text(text)
    rules = {rule.name: rule for rule in read_rules(str(own))}
    assert rules["r"].figure.where == {"priority": ("high",)}
    assert rules["errors"].figure.metric == "queue.depth"
    assert "pool-full" not in rules
    assert len(rules) == len(read_rules(""))  # one more, one less


WRONG = {
    "a metric that does not exist": GOOD.replace("queue.depth", "queue.dept"),
    "a measure that it does not have": GOOD.replace('"last"', '"p95"'),
    "a measure that nobody knows": GOOD.replace('"last"', '"median"'),
    "a label that it does not have": GOOD.replace("priority", "level"),
    "a label value that it does not have": GOOD.replace('"high"', '"hihg"'),
    "a label value that is no word": GOOD.replace('"high"', "1"),
    "no threshold": GOOD.replace("above = 10\n", ""),
    "a threshold that is a word": GOOD.replace("10", '"10"'),
    "a threshold that is a truth": GOOD.replace("10", "true"),
    "an unknown key": GOOD + "abvoe = 3\n",
    "a name with a blank": GOOD.replace('"r"', '"a b"'),
    "no name": GOOD.replace('name = "r"', ""),
    "no words": GOOD.replace('action = "Start workers."', ""),
    "a window of a second": GOOD + "window_s = 1\n",
    "a severity that nobody knows": GOOD + 'severity = "fatal"\n',
    "the same name twice": GOOD + GOOD,
    "something else": "[other]\nx = 1\n",
    "a table that is no list": "[rule]\nname = 'r'\n",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_wrong_rule_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"^here"):
        read(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(InvalidOption, match=r"missing\.toml cannot be read"):
        read_rules(str(missing))


@pytest.mark.parametrize("data", [b"= 1", b"\xff\xfe", b"#" * (MOST_BYTES + 1)])
def test_a_file_that_is_no_toml_or_too_large_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(data)
    with pytest.raises(InvalidOption, match=r"rules\.toml"):
        read_rules(str(path))
