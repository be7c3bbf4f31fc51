"""Where the time goes, and what would be left at the machine's own speed: ``python -m
benchmarks.floor``.

One worker on one core goes through a recording as the program does, each stage by itself, and the
processor time of each is taken. Beside it stands what its multiplications alone would take at the
rates that this machine reaches on matrices of the same kind, measured just before: bytes for the
products, 32-bit floats for attention and convolutions.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks import SCRATCH, catalog, machine
from benchmarks.catalog import CORPORA
from benchmarks.report import PAGE, RESULTS, table
from benchmarks.sections import rendered
from benchmarks.weights import model_folder
from stretto.contexts.core.audio import SAMPLE_RATE_HZ, Span
from stretto.contexts.core.identifiers import AudioHash
from stretto.contexts.processing.adapters.onnx_graph import BYTE, Graph
from stretto.contexts.processing.adapters.onnx_session import opened
from stretto.contexts.processing.adapters.pyav import PyAvReader
from stretto.contexts.processing.adapters.silero import SileroDetector
from stretto.contexts.processing.adapters.whisper.eight_bits import (
    Rounded,
    placed,
    product,
    seven_bits,
)
from stretto.contexts.processing.adapters.whisper.encoder import LAYERS_THAT_HEAR_EACH_STEP
from stretto.contexts.processing.adapters.whisper.engine import LONGEST_WINDOW
from stretto.contexts.processing.adapters.whisper.features import FULL_FRAMES, log_mel
from stretto.contexts.processing.adapters.whisper.native import WINDOWS_AT_ONCE, NativeRuntime
from stretto.contexts.processing.adapters.whisper.weights import Array, Weights
from stretto.contexts.processing.adapters.whisper.window import Window, window_of
from stretto.contexts.processing.model import (
    AudioChunk,
    CancelToken,
    PlannedChunk,
    Samples,
)
from stretto.contexts.processing.pauses import PauseFinder
from stretto.contexts.processing.windows import lay_windows

SECTION_NAME: Final = "floor"
STAGES: Final = ("decoding the file", "pauses", "speech", "spectrogram", "encoder", "decoder")
STEPS: Final = FULL_FRAMES // 2
REPEATS: Final = 9


@dataclass(slots=True)
class Costs:
    """Of a whole recording: processor seconds by stage, and what was worked on."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    audio_s: float = 0.0
    windows: int = 0
    rows: int = 0

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.seconds[stage] += time.process_time() - began


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Multiplications, in millions: products of bytes, and of floats."""

    bytes: float = 0.0
    floats: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of a model: width, layers of encoder and decoder, words of the vocabulary, bands."""

    width: int
    encoder: int
    decoder: int
    vocabulary: int
    bands: int


def encoder_work(sizes: Sizes) -> Work:
    """For one window of 30 s. Each layer has four products for attention and two that are four
    times as wide; keys and values are of half the steps in the layers that hear pairs."""
    steps, width = STEPS, sizes.width
    convolutions = 3 * sizes.bands * width * FULL_FRAMES + 3 * width * width * steps
    in_bytes, in_floats = 0.0, float(convolutions)
    for layer in range(sizes.encoder):
        heard = steps if layer < LAYERS_THAT_HEAR_EACH_STEP else steps // 2
        in_bytes += (2 * steps + 2 * heard) * width**2 + 8 * steps * width**2
        in_floats += 2 * steps * heard * width
    return Work(bytes=in_bytes / 1e6, floats=in_floats / 1e6)


def decoder_work(sizes: Sizes, *, windows: int, rows: int) -> Work:
    """Keys and values of what is heard, once for each window; then, for each row, six products for
    two attentions and two wide ones in each layer, the vocabulary, and the attention to what is
    heard. Attention to what was said is left out: it is short."""
    width, heard = sizes.width, STEPS // 2
    once = 2 * heard * width**2 * sizes.decoder
    each = 14 * width**2 * sizes.decoder + width * sizes.vocabulary
    attention = 2 * heard * width * sizes.decoder
    return Work(bytes=(windows * once + rows * each) / 1e6, floats=rows * attention / 1e6)


def rates() -> tuple[float, float]:
    """Millions of multiplications a second on one core: bytes, floats."""
    dice = np.random.default_rng(1)
    x = dice.standard_normal((STEPS, 384), np.float32)
    weight = dice.standard_normal((1536, 384), np.float32)
    bytes_s = _seconds(lambda graph: _product_of_bytes(graph, weight), x)
    floats_s = _seconds(lambda graph: graph.node("MatMul", "x", graph.constant(weight.T)), x)
    size = STEPS * 384 * 1536 / 1e6
    return size / bytes_s, size / floats_s


def _product_of_bytes(graph: Graph, weight: Array) -> str:
    values = graph.node("Cast", "x", to=BYTE)
    scale = graph.constant(np.ones((1, 1), np.float32))
    return product(graph, Rounded(values, scale), placed(graph, seven_bits([weight])))


def _seconds(write: Callable[[Graph], str], x: np.ndarray) -> float:
    graph = Graph()
    session = opened(graph.model(inputs={"x": ["rows", x.shape[1]]}, outputs=[write(graph)]))
    took = []
    for _ in range(REPEATS):
        began = time.process_time()
        session.run(None, {"x": x})
        took.append(time.process_time() - began)
    return min(took)


def measured(recording: Path, folder: Path) -> tuple[Costs, Sizes]:
    """Through the whole recording on one worker, one window batch after the other."""
    costs, runtime = Costs(), NativeRuntime(folder)
    _count_rows(runtime, costs)
    samples = _decoded(recording, costs)
    costs.audio_s = len(samples) / SAMPLE_RATE_HZ
    windows = _windows(samples, costs)
    costs.windows = len(windows)
    cancel = CancelToken()
    prompt = runtime.vocabulary.prompt([runtime.vocabulary.start_token], "", timestamps=False)
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = [window.samples for window in windows[first : first + WINDOWS_AT_ONCE]]
        with costs.timed("spectrogram"):
            for part in batch:
                log_mel(part, FULL_FRAMES, bands=_sizes(folder).bands)
        with costs.timed("encoder"):  # with the spectrogram once more, which is taken off again
            heard = runtime.encode(batch, FULL_FRAMES, cancel)
        with costs.timed("decoder"):
            heard.generate([prompt] * len(batch), cancel)
    costs.seconds["encoder"] -= costs.seconds["spectrogram"]
    return costs, _sizes(folder)


def _count_rows(runtime: NativeRuntime, costs: Costs) -> None:
    step = runtime.decoder.step

    def counted(rows: Any, tokens: Any, listening: Any, **others: Any) -> Any:
        costs.rows += len(tokens)
        return step(rows, tokens, listening, **others)

    runtime.decoder.step = counted  # type: ignore[method-assign, assignment]


def _decoded(recording: Path, costs: Costs) -> Samples:
    reader = PyAvReader()
    with costs.timed("decoding the file"):
        return np.concatenate(list(reader.open(reader.probe(reader.identify(recording))).blocks()))


def _windows(samples: Samples, costs: Costs) -> list[Window]:
    with costs.timed("pauses"):
        finder, pauses = PauseFinder(), []
        for start in range(0, len(samples), 6 * SAMPLE_RATE_HZ):
            pauses += finder.feed(samples[start : start + 6 * SAMPLE_RATE_HZ])
        pauses += finder.finish()
    with costs.timed("speech"):
        speech = SileroDetector().find(samples)
    planned = PlannedChunk(
        index=0,
        span=Span(0, len(samples)),
        pauses=tuple(pauses),
        loudness_dbfs=0.0,
        forced=False,
    )
    chunk = AudioChunk(planned=planned, audio=AudioHash("0" * 64), samples=samples, speech=speech)
    spans = lay_windows(chunk, LONGEST_WINDOW)
    found = [window for span in spans if (window := window_of(samples, span, speech))]
    return sorted(found, key=lambda window: -window.frames)


def _sizes(folder: Path) -> Sizes:
    weights = Weights(folder / "model.bin")
    width, bands, _ = weights["encoder/conv1/weight"].shape
    words = weights["decoder/embeddings/weight"].shape[0]
    encoder, decoder = weights.layers("encoder"), weights.layers("decoder")
    return Sizes(
        width=int(width), encoder=encoder, decoder=decoder, vocabulary=int(words), bands=int(bands)
    )


def rows_of(costs: Costs, sizes: Sizes, rate: tuple[float, float]) -> list[dict[str, Any]]:
    """One for each stage: milliseconds for a second of audio, reached and at the least."""
    one = encoder_work(sizes)
    work = {
        "encoder": Work(bytes=costs.windows * one.bytes, floats=costs.windows * one.floats),
        "decoder": decoder_work(sizes, windows=costs.windows, rows=costs.rows),
    }
    found = []
    for stage in STAGES:
        done = work.get(stage, Work())
        least_s = done.bytes / rate[0] + done.floats / rate[1]
        found.append(
            {
                "stage": stage,
                "bytes": round(done.bytes / costs.audio_s, 1),
                "floats": round(done.floats / costs.audio_s, 1),
                "least_ms": round(1000 * least_s / costs.audio_s, 2),
                "reached_ms": round(1000 * costs.seconds[stage] / costs.audio_s, 2),
            }
        )
    return found


def section(result: dict[str, Any]) -> str:
    rows = [
        [
            row["stage"],
            *(f"{row[name]:.0f}" if row[name] else "–" for name in ("bytes", "floats")),
            f"{row['least_ms']:.1f}" if row["least_ms"] else "–",
            f"{row['reached_ms']:.1f}",
        ]
        for row in result["rows"]
    ]
    least, reached = (
        sum(row[name] for row in result["rows"]) for name in ("least_ms", "reached_ms")
    )
    rows.append(["together", "", "", f"{least:.1f}", f"{reached:.1f}"])
    header = ["Stage", "M products of bytes", "of floats", "at least, ms", "reached, ms"]
    given = result["machine"]
    return "\n\n".join(
        [
            table(header, rows),
            "![Processor time of each stage, and what its multiplications alone would take]"
            "(images/floor.svg)",
            f"For a second of `{result['corpus']}` on one core, first pass. It multiplies "
            f"{result['rates'][0] / 1000:.0f} thousand million bytes a second, and "
            f"{result['rates'][1] / 1000:.0f} thousand million floats. {given['cpu']}, "
            f"{result['started'][:10]}, revision `{result['revision']}`.",
        ]
    )


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    made.add_argument("--corpus", default="en0", help=f"one of {', '.join(CORPORA)}")
    made.add_argument("--print", action="store_true", help="print only; leave the page as it is")
    given = made.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    wanted = CORPORA[given.corpus]
    folder, recording = model_folder(wanted.model, SCRATCH), catalog.prepare(wanted, SCRATCH)
    rate = median_rates()
    costs, sizes = measured(recording.path, folder)
    result = {
        "corpus": given.corpus,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": machine.revision(),
        "machine": machine.describe(),
        "rates": rate,
        "rows": rows_of(costs, sizes, rate),
        "counted": {"windows": costs.windows, "rows": costs.rows, "audio_s": costs.audio_s},
        "model": asdict(sizes),
    }
    print(section(result))
    if not given.print:
        RESULTS.with_name("floor.json").write_text(json.dumps(result, indent=1) + "\n")
        PAGE.write_text(rendered(PAGE.read_text("utf-8"), SECTION_NAME, section(result)), "utf-8")
        from benchmarks import floor_plot

        floor_plot.draw(result, PAGE.parent / "images" / "floor.svg")


def median_rates() -> tuple[float, float]:
    """Of five measurements each: the machine's speed changes from second to second."""
    found = [rates() for _ in range(5)]
    return median(one for one, _ in found), median(one for _, one in found)


if __name__ == "__main__":
    main()
