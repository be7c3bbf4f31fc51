"""The benchmark harness itself: what it publishes must follow from what it measured."""

from __future__ import annotations

import gzip
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from benchmarks import (
    SCRATCH,
    Unavailable,
    caching,
    caching_edits,
    corpus,
    process,
    report,
    summary,
)
from benchmarks.accuracy import compare
from benchmarks.figures import Figure, publish
from benchmarks.results import Heard, Results, Run, Session, Skipped, append, read
from benchmarks.run import main, rotated, rounds_so_far

MEGABYTE = 1_000_000
PAGE = "\n".join(
    f"Prose before {name}.\n<!-- measured: {name} -->\nold\n<!-- end -->\nProse after."
    for name in report.SECTIONS
)


def session(started: str = "2026-01-01T00:00:00+00:00") -> Session:
    machine = {
        "cpu": "A Processor",
        "cores": 2,
        "memory_bytes": 16_000_000_000,
        "system": "Linux x86_64",
        "python": "3.11.0",
    }
    return Session(started=started, revision="abc", machine=machine, versions={"av": "18.0.0"})


def heard(name: str = "en0", *, audio_s: float = 600.0) -> Heard:
    return Heard(
        name=name,
        group="English",
        language="en",
        seed=0,
        minutes=None,
        noise_db=None,
        audio_s=audio_s,
        sha256="0" * 64,
        model="tiny.en",
        model_sha256="1" * 64,
    )


def run_of(system: str, number: int, wall_s: float, *, wrong: int = 2, error: str = "") -> Run:
    return Run(
        corpus="en0",
        system=system,
        round=number,
        order=0,
        load_before=0.0,
        error=error,
        wall_s=wall_s,
        cpu_s=2 * wall_s,
        peak_rss_bytes=400 * MEGABYTE,
        words=0 if error else 100,
        substitutions=0 if error else wrong,
    )


ROUNDS = (
    run_of("faster_whisper_default", 0, 60.0),
    run_of("stretto", 0, 20.0),
    run_of("faster_whisper_default", 1, 90.0),
    run_of("stretto", 1, 30.0, wrong=4),
    run_of("faster_whisper_default", 2, 60.0),
    run_of("stretto", 2, 10.0),
    run_of("faster_whisper_batched", 0, 0.0, error="exit code 1: it broke"),
)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    for row in (session(), heard(), *ROUNDS, Skipped(corpus="ru0", reason="No model.")):
        append(path, row)
    return path


def of_system(results: Results, system: str) -> summary.Summary:
    return next(s for s in summary.summarise(results, ["en0"]) if s.system == system)


def test_what_was_recorded_is_read_back_unchanged(recorded: Path) -> None:
    results = read(recorded)
    assert results.runs == ROUNDS
    assert results.corpora == {"en0": heard()}
    assert results.sessions == {"en0": session()}


def test_a_ratio_is_taken_within_each_round_and_only_then_the_median(recorded: Path) -> None:
    ratios = of_system(read(recorded), "stretto").ratios
    # 60/20, 90/30, 60/10; the ratio of the medians would be 60/20 as well, their spread would not.
    assert ratios["faster_whisper_default"] == summary.Spread(median=3.0, low=3.0, high=6.0)


def test_rounds_that_a_peer_failed_give_no_ratio(recorded: Path) -> None:
    assert "faster_whisper_batched" not in of_system(read(recorded), "stretto").ratios


def test_errors_are_counted_over_all_runs(recorded: Path) -> None:
    assert of_system(read(recorded), "stretto").error_rate == pytest.approx(100 * 8 / 300)


def test_a_failed_system_is_a_row_with_its_reason(recorded: Path) -> None:
    failed = of_system(read(recorded), "faster_whisper_batched")
    assert (failed.runs, failed.failures) == (0, ("exit code 1: it broke",))
    assert "0; failed: exit code 1: it broke" in report.corpora(read(recorded))


def test_a_skipped_recording_is_named_with_its_reason(recorded: Path) -> None:
    assert "**`ru0`** was not measured: No model." in report.corpora(read(recorded))


def test_later_rounds_of_the_same_revision_add_up(recorded: Path) -> None:
    before = len(read(recorded).runs)
    for row in (session("2026-02-02T00:00:00+00:00"), heard(), run_of("stretto", 9, 5.0)):
        append(recorded, row)
    assert len(read(recorded).runs) == before + 1


def test_the_last_session_that_measured_a_recording_replaces_earlier_ones(recorded: Path) -> None:
    later = replace(session("2026-02-02T00:00:00+00:00"), revision="def")
    for row in (later, heard(), run_of("stretto", 0, 5.0), Skipped(corpus="en0", reason="No.")):
        append(recorded, row)
    results = read(recorded)
    assert results.sessions["en0"] == later
    assert [run.wall_s for run in results.runs] == [5.0]
    assert "en0" not in {skip.corpus for skip in results.skipped}


def test_the_same_results_give_the_same_page_again_and_again(recorded: Path) -> None:
    once = report.render(PAGE, read(recorded))
    assert report.render(once, read(recorded)) == once
    assert "old" not in once
    assert once.count("Prose before") == once.count("Prose after.") == len(report.SECTIONS)


def test_the_page_in_docs_has_a_place_for_every_measured_section(recorded: Path) -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert "30.0 (20.0–60.0)" in report.render(page, read(recorded))


def test_a_page_without_a_section_is_refused_rather_than_left_incomplete() -> None:
    with pytest.raises(ValueError, match="memory"):
        report.render(PAGE.replace("measured: memory", "measured: other"), Results())


def test_without_results_the_page_says_so() -> None:
    assert report.render(PAGE, Results()).count(report.NOTHING) == len(report.SECTIONS)


def test_the_same_results_give_the_same_plots(recorded: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib, which only `bench` installs")
    from benchmarks import plots

    for folder in ("one", "two"):
        plots.draw(read(recorded), tmp_path / folder)
    for name in report.PLOTS:
        first, second = (tmp_path / folder / f"{name}.svg" for folder in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
        assert len(first.read_bytes()) < 150_000


def test_every_system_is_first_once_in_as_many_rounds_as_there_are_systems() -> None:
    systems = ["a", "b", "c"]
    rounds = [rotated(systems, by=number) for number in range(3)]
    assert [order[0] for order in rounds] == systems
    assert all(sorted(order) == systems for order in rounds)


def test_rounds_that_are_measured_later_are_counted_on_from_those_that_are_there() -> None:
    runs = [run_of("a", 0, 1.0), run_of("a", 1, 1.0), run_of("b", 0, 1.0)]
    results = Results(runs=tuple(runs))
    assert rounds_so_far(results, "en0") == 2
    assert rounds_so_far(results, "en1") == 0


def test_a_name_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SystemExit, match=r"no whisper9.*stretto"):
        main(["--systems", "whisper9"])


# Accuracy


def test_spelling_case_and_digits_are_no_errors_in_english() -> None:
    errors = compare("Mr. Smith's twenty-one COLOURS!", "mister smith's 21 colors", language="en")
    assert (errors.substitutions, errors.deletions, errors.insertions) == (0, 0, 0)


def test_each_kind_of_error_is_counted_as_itself() -> None:
    errors = compare("Привет, добрый мир", "привет старый мир снова", language="ru")
    assert (errors.words, errors.substitutions, errors.insertions) == (3, 1, 1)


def test_a_system_that_heard_nothing_lost_every_word() -> None:
    errors = compare("one apple a day", "", language="en")
    assert errors.deletions == errors.words == 4


# Measuring a process


def measured(program: str, *, limit_s: float = 30.0, audio_s: float = 1.0) -> process.Finished:
    return process.run([sys.executable, "-c", program], audio_s=audio_s, limit_s=limit_s)


ANSWER = """print('{"text": "hello", "audio_s": 1.0}')"""


def test_a_run_gives_its_text_its_time_and_its_memory() -> None:
    held = 100 * MEGABYTE
    finished = measured(f"block = b'x' * {held}; print('noise'); {ANSWER}")
    assert (finished.error, finished.text) == ("", "hello")
    assert finished.wall_s > 0
    assert held < finished.peak_rss_bytes < held + 60 * MEGABYTE


def test_what_this_process_holds_is_not_counted_as_the_systems() -> None:
    held = np.ones(200 * MEGABYTE, dtype=np.uint8)
    assert measured(ANSWER).peak_rss_bytes < held.nbytes / 2


def test_memory_of_several_processes_is_added_up() -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not tell which process started which")
    hold = f"block = b'x' * {80 * MEGABYTE}; print('held', flush=True); input()"
    # Both children hold their memory until their input ends; the parent ends it a little later.
    program = f"""
import subprocess, sys, threading
pipe = subprocess.PIPE
held = [subprocess.Popen([sys.executable, "-c", {hold!r}], stdin=pipe, stdout=pipe) for _ in "12"]
for child in held: child.stdout.readline()
threading.Event().wait(0.6)
for child in held: child.communicate(b'\\n')
{ANSWER}
"""
    finished = measured(program)
    assert finished.error == ""
    assert finished.largest_process_bytes < 140 * MEGABYTE
    assert finished.peak_rss_bytes > 160 * MEGABYTE


def test_a_crash_is_reported_by_its_last_line_and_without_paths() -> None:
    finished = measured("raise SystemExit('cannot open /home/somebody/model.bin: gone')")
    assert finished.error == "exit code 1: cannot open …: gone"


def test_a_run_that_takes_too_long_is_ended_with_all_its_processes() -> None:
    nap = "import threading; threading.Event().wait(60)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {nap!r}])"
    assert measured(program, limit_s=0.3).error.startswith("stopped after")


def test_a_system_that_heard_only_a_part_did_not_do_the_task() -> None:
    assert measured(ANSWER, audio_s=60.0).error == "it heard 1 s of 60 s"


@pytest.mark.parametrize("printed", ["", "print('{')", "print('[1]')", """print('{"text": ""}')"""])
def test_a_system_that_prints_no_answer_failed(printed: str) -> None:
    assert measured(printed or "pass").error == "it printed no answer"


# The corpus


def packages(folder: Path, texts: dict[str, str]) -> Path:
    """Prompts of 1.2 s each in the layout of Debian's packages."""
    sounds = folder / "en/usr/share/asterisk/sounds" / corpus.VOICES["en"]
    document = folder / "en/usr/share/doc/asterisk-core-sounds-en"
    sounds.mkdir(parents=True)
    document.mkdir(parents=True)
    for number, name in enumerate(texts):
        tone = np.sin(np.arange(19_200) * (0.05 + 0.01 * number)) * 8000
        write_g722(sounds / f"{name}.g722", tone.astype(np.int16))
    lines = ["; a comment", *(f"{name}: {text}" for name, text in texts.items()), "absent: a b c"]
    with gzip.open(document / "core-sounds-en.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return folder


def write_g722(path: Path, samples: np.ndarray) -> None:
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])


TEXTS = {f"prompt-{n}": f"this is sentence {n}" for n in range(5)}
UNUSABLE = {"beep": "[a short tone sounds]", "short": "two words"}


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return packages(tmp_path / "corpus", {**TEXTS, **UNUSABLE})


def built(folder: Path, prompts: Path, **options: object) -> tuple[bytes, bytes]:
    wav = corpus.build("en", folder / "a.wav", cache=prompts, **options)
    return wav.read_bytes(), wav.with_suffix(".json").read_bytes()


@pytest.mark.parametrize("options", [{}, {"minutes": 0.5}, {"noise_db": 10}, {"half": "odd"}])
def test_the_same_seed_gives_the_same_bytes(
    options: dict[str, object], tmp_path: Path, prompts: Path
) -> None:
    first, second, other = (
        built(tmp_path / str(turn), prompts, seed=seed, **options)
        for turn, seed in enumerate((7, 7, 8))
    )
    assert first == second
    assert first[0] != other[0]


def test_only_prompts_that_are_spoken_sentences_are_used(prompts: Path) -> None:
    assert [p.text for p in corpus.load_prompts("en", prompts)] == list(TEXTS.values())


def test_the_halves_share_no_prompt_and_together_are_all(tmp_path: Path, prompts: Path) -> None:
    even, odd = (
        {text for text in TEXTS.values() if text.encode() in built(tmp_path, prompts, half=half)[1]}
        for half in ("even", "odd")
    )
    assert not even & odd
    assert even | odd == set(TEXTS.values())


def test_without_the_debian_tools_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"no apt-get and no dpkg: build it on Debian"):
        corpus.load_prompts("en", tmp_path)


def test_the_real_prompts_give_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    downloaded = SCRATCH / "corpus"
    if not (downloaded / "en" / "usr").is_dir():
        pytest.skip("the prompts are not downloaded; `make bench` does it with apt-get and dpkg")
    spoken = corpus.load_prompts("en", downloaded)
    paths = [tmp_path / f"{turn}.wav" for turn in "12"]
    for path in paths:
        pieces = corpus.joined(spoken, seed=0, minutes=0.25, gaps_s=(0.3, 1.2))
        corpus.write(pieces, path, noise_rms=None, seed=0)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert len(spoken) > 200


def test_the_figures_of_the_cache_say_whether_they_are_what_they_are_meant_to_be(
    tmp_path: Path,
) -> None:
    sizes = caching.Sizes(
        calls=25, transcripts=1, processes=1, callers=2, invalidations=2, damages=8
    )
    figures = list(caching.measured(sizes, audio=None, parts=["levels", "damage"]))
    assert [figure.what for figure in figures][:3] == ["L1 get", "L2 get", "L3 get"]
    damages = [figure for figure in figures if figure.what.startswith("damage")]
    assert [figure.met for figure in damages] == [True, True]
    assert "NOT MET" in replace(damages[0], value=1.0).line()


def test_an_edited_recording_for_the_cache_is_the_recording_and_something_more() -> None:
    sound = np.arange(160_000, dtype=np.int16)
    versions = caching_edits.edited(sound, appended_s=1.0)
    assert np.array_equal(versions["prepended"][-len(sound) :], sound)
    assert np.array_equal(versions["appended"][: len(sound)], sound)
    assert len(versions["cut off"]) == len(sound) - round(7.3 * 16_000)


def test_what_was_not_measured_this_time_stays_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- measured: cache -->\n<!-- end -->\nAfter.\n", encoding="utf-8")
    first = Figure(what="looks", value=3, unit="µs", wanted=5)
    other = Figure(what="size", value=1, unit="GB", wanted=2)
    publish([first, other], "cache", page=page, results=tmp_path)
    publish([replace(first, value=9)], "cache", page=page, results=tmp_path)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n")
    assert text.endswith("<!-- end -->\nAfter.\n")
    assert text.index("| looks | 9 µs | ≤ 5 µs | **not met** |") < text.index("| size | 1 GB |")
    assert "| looks | 3 µs" not in text
