"""Prints the score card after the last test."""

from __future__ import annotations

import pytest

from tests.chaos import score


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = score.card()
    if lines:
        terminalreporter.section("score card")
        for line in lines:
            terminalreporter.write_line(line)
