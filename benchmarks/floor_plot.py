"""Draws where the time goes: one bar for each stage, and in it what could not be less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.plots import COLOURS, STYLE, save


def draw(result: dict[str, Any], path: Path) -> None:
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
        rows = result["rows"][::-1]
        names = [row["stage"] for row in rows]
        axes.barh(names, [row["reached_ms"] for row in rows], color=COLOURS[5], label="reached")
        axes.barh(
            names,
            [row["least_ms"] for row in rows],
            color=COLOURS[1],
            height=0.4,
            label="its multiplications at the machine's rate",
        )
        axes.set_xlabel("milliseconds of one core for a second of audio")
        axes.grid(visible=False, axis="y")
        axes.legend(frameon=False, loc="lower right")
        save(figure, path)
