"""Draws what a second of audio costs over the length of its recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.plots import COLOURS, STYLE, save


def draw(result: dict[str, Any], path: Path) -> None:
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
        minutes = [row["audio_s"] / 60 for row in result["lengths"]]
        for name, label, colour in (
            ("cpu_ms", "of the processor, all cores", COLOURS[5]),
            ("wall_ms", "by the clock", COLOURS[1]),
        ):
            costs = [row[name] for row in result["lengths"]]
            axes.plot(minutes, costs, "o-", color=colour, label=label)
        axes.set_xscale("log")
        axes.set_xticks(minutes, [f"{m:.0f}" for m in minutes])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("minutes of audio")
        axes.set_ylabel("ms for a second")
        axes.legend(frameon=False)
        save(figure, path)
