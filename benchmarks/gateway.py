"""Measures the gateway: ``python -m benchmarks.gateway``. ``--quick`` checks the harness.

Chunks are sent to a service of our own over TLS, on this machine: one after the other, all at once,
and by the openai SDK in a plain loop; then the service gets into every kind of trouble. A call
takes as long as is said here from the head of its request on, so the upload is part of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from benchmarks import (
    gateway_answers,
    gateway_limits,
    gateway_speed,
    gateway_trouble,
)
from benchmarks.figures import Figure, publish
from benchmarks.gateway_figures import FULL, QUICK, Sizes

PARTS: Final[dict[str, Callable[[Sizes], Iterator[Figure]]]] = {
    "speed": gateway_speed.measured,
    "trouble": gateway_trouble.measured,
    "limits": gateway_limits.measured,
    "answers": gateway_answers.measured,
}


def main(arguments: Sequence[str] | None = None) -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    made.add_argument("--quick", action="store_true", help="small sizes: checks the harness")
    made.add_argument("--parts", default=",".join(PARTS), help="some of them")
    given = made.parse_args(arguments)
    figures = []
    for part in given.parts.split(","):
        for figure in PARTS[part](QUICK if given.quick else FULL):
            print(figure.line(), flush=True)
            figures.append(figure)
    if not given.quick:
        publish(figures, "gateway")


if __name__ == "__main__":
    main()
