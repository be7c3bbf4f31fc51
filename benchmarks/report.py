"""Writes the measured parts of docs/benchmarks.md anew from the raw results.

The page belongs to its authors, apart from what stands between a line ``<!-- measured: NAME -->``
and the next ``<!-- end -->``. The same results always give the same page.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from importlib import util
from pathlib import Path

from benchmarks import ROOT
from benchmarks.results import Heard, Results, read
from benchmarks.sections import SECTION
from benchmarks.summary import Spread, Summary, summarise
from benchmarks.systems import PEERS, SYSTEMS

PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results" / "bench.jsonl"
NOTHING = "Not measured yet: `make bench` fills this in."
SHORT = {"faster_whisper_default": "default", "faster_whisper_batched": "batched"}
PLOTS = {
    "speed": "Speed and word error rate of each system; better is to the lower right",
    "memory": "Peak memory over the length of the recording",
}


def render(page: str, results: Results) -> str:
    """``page`` with its measured sections written anew; everything else stays as it is.

    Raises ValueError when a section is missing: its figures would silently not be shown.
    """
    missing = set(SECTIONS) - {name for _, name, _, _ in SECTION.findall(page)}
    if missing:
        raise ValueError(f"The page has no section for {', '.join(sorted(missing))}.")

    def rewritten(match: re.Match[str]) -> str:
        begin, name, _, end = match.groups()
        if name not in SECTIONS:  # of another benchmark
            return match[0]
        body = SECTIONS[name](results) if results.runs else NOTHING
        return f"{begin}\n{body}\n\n{end}"

    return SECTION.sub(rewritten, page)


def overview(results: Results) -> str:
    """The mixes of one group taken together, with the plot of all groups."""
    parts = []
    for group, corpora in groups(results).items():
        names = ", ".join(f"`{heard.name}`" for heard in corpora)
        rows = systems_table(summarise(results, [heard.name for heard in corpora]))
        parts.append(f"**{group}** ({names})\n\n{rows}")
    return "\n\n".join([*parts, image("speed")])


def corpora(results: Results) -> str:
    """Each corpus by itself, and those that were skipped with the reason."""
    parts = [
        f"**`{name}`**, {minutes(heard)} of audio, seed {heard.seed}, model {heard.model}\n\n"
        + systems_table(summarise(results, [name]))
        for name, heard in results.corpora.items()
    ]
    parts += [f"**`{skip.corpus}`** was not measured: {skip.reason}" for skip in results.skipped]
    return "\n\n".join(parts)


def memory(results: Results) -> str:
    """Peak memory of each system, one column for each length of the clean English recordings."""
    columns = lengths(results)
    peaks = {
        system: {heard.name: _peak(results, heard.name, system) for heard in columns}
        for system in present(results, columns)
    }
    rows = [
        [label(system), *(cell(of_one[heard.name], digits=0) for heard in columns)]
        for system, of_one in peaks.items()
    ]
    header = ["Peak memory in MB", *(f"{minutes(heard)} (`{heard.name}`)" for heard in columns)]
    return f"{table(header, rows)}\n\n{image('memory')}"


def conditions(results: Results) -> str:
    """What the recordings were, and on what and with which versions they were heard."""
    rows = [
        [f"`{name}`", f"{heard.audio_s:.1f}", str(heard.seed), f"`{heard.sha256[:16]}`",
         f"{heard.model} `{heard.model_sha256[:16]}`", results.sessions[name].started[:10],
         f"`{results.sessions[name].revision}`"]
        for name, heard in results.corpora.items()
    ]  # fmt: skip
    header = ["Corpus", "Seconds", "Seed", "SHA-256", "Model, SHA-256", "Measured", "Revision"]
    unique = {_where(results, name): None for name in results.corpora}
    return "\n\n".join([*unique, table(header, rows)])


def _where(results: Results, corpus: str) -> str:
    session = results.sessions[corpus]
    machine = session.machine
    versions = ", ".join(f"{name} {version}" for name, version in session.versions.items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 1e9:.0f} GB of "
        f"memory, {machine['system']}, Python {machine['python']}; {versions}."
    )


SECTIONS = {
    "overview": overview,
    "corpora": corpora,
    "memory": memory,
    "conditions": conditions,
}


def groups(results: Results) -> dict[str, list[Heard]]:
    found: dict[str, list[Heard]] = {}
    for heard in results.corpora.values():
        found.setdefault(heard.group, []).append(heard)
    return found


def lengths(results: Results) -> list[Heard]:
    """One clean English recording of each length in minutes, the shortest first."""
    found: dict[int, Heard] = {}
    for heard in results.corpora.values():
        if heard.language == "en" and heard.noise_db is None:
            found.setdefault(round(heard.audio_s / 60), heard)
    return [found[length] for length in sorted(found)]


def present(results: Results, columns: Sequence[Heard]) -> list[str]:
    names = [heard.name for heard in columns]
    return [summary.system for summary in summarise(results, names)]


def _peak(results: Results, corpus: str, system: str) -> Spread | None:
    for summary in summarise(results, [corpus]):
        if summary.system == system:
            return summary.peak_mb
    return None


def systems_table(summaries: Sequence[Summary]) -> str:
    header = ["System", "Speed (× real time)"]
    header += [f"× {SHORT[peer]}" for peer in PEERS]
    header += ["WER %", "sub / del / ins %", "Peak MB", "CPU s per hour of audio", "Runs"]
    return table(header, [_system_row(summary) for summary in summaries])


def _system_row(summary: Summary) -> list[str]:
    ratios = [
        "1" if peer == summary.system else cell(summary.ratios.get(peer), digits=2)
        for peer in PEERS
    ]
    runs = str(summary.runs)
    if summary.failures:
        runs += f"; failed: {'; '.join(summary.failures)}"
    if not summary.runs:
        return [label(summary.system), *["–"] * (len(PEERS) + 5), runs]
    kinds = (summary.substituted, summary.deleted, summary.inserted)
    return [
        label(summary.system),
        cell(summary.speed, digits=1),
        *ratios,
        f"{summary.error_rate:.2f}",
        " / ".join(f"{share:.2f}" for share in kinds),
        cell(summary.peak_mb, digits=0),
        cell(summary.cpu_per_hour_s, digits=0),
        runs,
    ]


def label(system: str) -> str:
    return SYSTEMS.get(system, system)


def minutes(heard: Heard) -> str:
    return f"{heard.audio_s / 60:.0f} min" if heard.audio_s >= 60 else f"{heard.audio_s:.0f} s"


def cell(spread: Spread | None, *, digits: int) -> str:
    """``12.3 (11.9–12.8)``; the median alone where all figures read the same."""
    if spread is None:
        return "–"
    median, low, high = (f"{v:.{digits}f}" for v in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low}–{high})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |" for line in lines)


def image(name: str) -> str:
    return f"![{PLOTS[name]}](images/{name}.svg)"


def write(results: Results, *, template: Path, page: Path) -> None:
    """Write the page and its plots; without matplotlib the plots stay as they were."""
    text = render(template.read_text(encoding="utf-8"), results)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    if util.find_spec("matplotlib") is None:
        print("No plots were drawn: pip install matplotlib.")
    elif results.runs:
        from benchmarks import plots

        plots.draw(results, page.parent / "images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    write(read(given.results), template=given.page, page=given.page)


if __name__ == "__main__":
    main()
