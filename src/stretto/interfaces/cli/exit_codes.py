"""The exit codes of the command line; docs/reference/cli.md explains them."""

from __future__ import annotations

from enum import IntEnum

from stretto.contexts.core.errors import Cancelled, InvalidRequest, StrettoError


class ExitCode(IntEnum):
    COMPLETE = 0
    FAILED = 1
    WRONG_USAGE = 2
    PARTIAL = 3
    INTERRUPTED = 130


def exit_code_of(error: StrettoError) -> ExitCode:
    if isinstance(error, Cancelled):
        return ExitCode.INTERRUPTED
    return ExitCode.WRONG_USAGE if isinstance(error, InvalidRequest) else ExitCode.FAILED
