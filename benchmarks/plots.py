"""Draws the plots of docs/benchmarks.md: speed × word error rate, and memory over length."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

from benchmarks.report import groups, label, lengths, present
from benchmarks.results import Results
from benchmarks.summary import Spread, Summary, summarise
from benchmarks.systems import SYSTEMS

# Okabe and Ito 2008: told apart with any colour vision; the shapes tell them apart without colour.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vP"
STYLE = {
    # Text stays text, and nothing is drawn from chance: equal results give equal files.
    "svg.fonttype": "none",
    "svg.hashsalt": "stretto",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "figure.facecolor": "white",
}
COLUMNS = 2


def draw(results: Results, folder: Path) -> None:
    """Write ``speed.svg`` and ``memory.svg`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        save(speed(results), folder / "speed.svg")
        save(memory(results), folder / "memory.svg")


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def speed(results: Results) -> Any:
    """One panel for each group of corpora, one point for each corpus and system."""
    panels = groups(results)
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (1.5 + 3.9 * columns, 0.8 + 3.0 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for spare in axes.flat[len(panels) :]:
        spare.set_visible(False)
    for panel, (group, corpora) in zip(axes.flat, panels.items(), strict=False):
        for heard in corpora:
            for summary in summarise(results, [heard.name]):
                _point(panel, summary)
        _from_zero(panel, title=group, x="speed (× real time)", y="word error rate (%)")
    _legend(figure, axes.flat)
    return figure


def _point(panel: Any, summary: Summary) -> None:
    if summary.speed is None:
        return
    panel.errorbar(
        summary.speed.median,
        summary.error_rate,
        xerr=_bars([summary.speed]),
        linestyle="none",
        **look(summary.system),
    )


def memory(results: Results) -> Any:
    figure, panel = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    recordings = lengths(results)
    for system in present(results, recordings):
        points = [
            (heard.audio_s / 60, summary.peak_mb)
            for heard in recordings
            for summary in summarise(results, [heard.name])
            if summary.system == system and summary.peak_mb is not None
        ]
        if points:
            spreads = [spread for _, spread in points]
            panel.errorbar(
                [length for length, _ in points],
                [spread.median for spread in spreads],
                yerr=_bars(spreads),
                **look(system),
            )
    if len(recordings) > 1:
        # Lengths differ by powers: 24 minutes, 2 hours, 10 hours.
        panel.set_xscale("log")
        ticks = [heard.audio_s / 60 for heard in recordings]
        panel.set_xticks(ticks, labels=[f"{tick:.0f}" for tick in ticks])
        panel.minorticks_off()
    _from_zero(panel, title="", x="length of the recording (minutes)", y="peak memory (MB)")
    _legend(figure, [panel])
    return figure


def _bars(spreads: list[Spread]) -> list[list[float]]:
    """From each median down to the smallest and up to the largest, as matplotlib wants it."""
    return [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]


def look(system: str) -> dict[str, Any]:
    """Colour and shape of a system: the same in every plot, whatever else was measured."""
    known = list(SYSTEMS)
    place = known.index(system) if system in known else len(known)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 7,
        "capsize": 3,
        "label": label(system),
    }


def _from_zero(panel: Any, *, title: str, x: str, y: str) -> None:
    """Axes that start at zero, so that distances show ratios as they are."""
    panel.set(title=title, xlabel=x, ylabel=y)
    panel.set_ylim(bottom=0, top=max(panel.get_ylim()[1], 0.1) * 1.15)
    if panel.get_xscale() == "linear":
        panel.set_xlim(left=0, right=max(panel.get_xlim()[1], 1) * 1.05)


def _legend(figure: Any, panels: Any) -> None:
    """One legend for the whole figure, each system once."""
    found: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        for handle, text in zip(handles, labels, strict=True):
            found.setdefault(text, handle)
    if found:
        figure.legend(
            list(found.values()), list(found), loc="outside lower center", ncols=3, frameon=False
        )
