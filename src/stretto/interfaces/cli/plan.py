"""Renders the plan of a file for people and for programs."""

from __future__ import annotations

import json

from stretto.contexts.processing.model import MEGABYTE, PlannedChunk, PlanReport
from stretto.interfaces.cli.printing import printable
from stretto.interfaces.cli.progress import clock


def plan_text(report: PlanReport) -> str:
    known = sum(report.cached)
    lines = [
        f"{printable(report.file.path.name)}: {clock(report.duration_s)}, {report.file.codec} in "
        f"{report.file.container}, {report.file.size_bytes / MEGABYTE:.1f} MB",
        f"chunks of about {report.strategy.size.reason}",
        f"up to {report.strategy.concurrency.value} at once, "
        f"{report.strategy.retries_per_chunk} retries per chunk",
        "submitted, its chunks are shared by all workers"
        if report.strategy.shared
        else "submitted, it is one job of one worker",
    ]
    for chunk, cached in zip(report.chunks, report.cached, strict=True):
        lines.append(
            f"  {chunk.index:>4}  {clock(chunk.span.start_s):>8} - {clock(chunk.span.end_s):>8}  "
            f"{_cut(chunk, last=chunk is report.chunks[-1])}"
            f"{'  forced' if chunk.forced else ''}{'  cached' if cached else ''}"
        )
    lines.append(f"{known} of {len(report.chunks)} chunks are cached; {_estimate(report)}")
    return "\n".join(lines)


def _cut(chunk: PlannedChunk, *, last: bool) -> str:
    return "end of the recording" if last else f"cut at {chunk.loudness_dbfs:.1f} dB"


def _estimate(report: PlanReport) -> str:
    if report.estimated_s is None:
        return "no estimate of the time yet: this machine has not been measured"
    return f"about {clock(report.estimated_s)} to do"


def plan_document(report: PlanReport) -> str:
    size = report.strategy.size
    return json.dumps(
        {
            "schema": 1,
            "file": report.file.path.name,
            "duration": round(report.duration_s, 3),
            "chunk_bytes": size.target.bytes,
            "reason": size.reason,
            "concurrency": report.strategy.concurrency.value,
            "shared": report.strategy.shared,
            "estimated_s": report.estimated_s,
            "chunks": [
                {
                    "start": round(chunk.span.start_s, 3),
                    "end": round(chunk.span.end_s, 3),
                    "loudness_dbfs": round(chunk.loudness_dbfs, 1),
                    "forced": chunk.forced,
                    "cached": cached,
                }
                for chunk, cached in zip(report.chunks, report.cached, strict=True)
            ],
        },
        ensure_ascii=False,
    )
