"""Draws how long each question takes in a small and in a large library, beside its target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.database_figures import Measured
from benchmarks.database_report import LABELS, target_ms
from benchmarks.plots import COLOURS, MARKERS, STYLE, save


def draw(measured: Measured, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        save(figure(measured), path)


def figure(measured: Measured) -> Any:
    """One panel for each database, one row for each question, one point for each library."""
    databases, questions = measured.databases, measured.questions
    made, axes = plt.subplots(
        1,
        len(databases),
        figsize=(2.2 + 3.4 * len(databases), 1.2 + 0.32 * len(questions)),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for panel, database in zip(axes.flat, databases, strict=True):
        for size, colour, marker in zip(measured.sizes, COLOURS, MARKERS, strict=False):
            found = [measured.find(database, what, size) for what in questions]
            points = [(f.p95_ms, row) for row, f in enumerate(found) if f is not None]
            panel.plot(
                [x for x, _ in points],
                [y for _, y in points],
                linestyle="none",
                marker=marker,
                color=colour,
                label=f"{size:,} transcripts",
            )
        targets = [target_ms(what) for what in questions]
        panel.plot(
            targets,
            range(len(questions)),
            linestyle="none",
            marker="|",
            markersize=14,
            color="black",
            label="at most",
        )
        panel.set_xscale("log")
        panel.set(title=LABELS[database], xlabel="p95 (ms)")
    first = axes.flat[0]
    first.set_yticks(range(len(questions)), labels=questions)
    first.invert_yaxis()
    handles, labels = first.get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return made
