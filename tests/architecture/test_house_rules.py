"""The habits of the house that a machine can check: sizes, loose ends, what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stretto

SOURCE = Path(stretto.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
DEAREST_IMPORT_S = 0.1
HEAVY = ("numpy", "av", "sqlite3", "ctranslate2", "onnxruntime", "rich", "typer", "asyncio")

MEASURE = """
import time
before = time.perf_counter()
import stretto
print(time.perf_counter() - before)
"""


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, *arguments, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return answer.stdout


def loaded_by(code: str) -> set[str]:
    return set(run(f"{code}\nimport sys\nprint(*sys.modules)").split())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_fits_into_a_head(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_a_function_fits_on_a_page() -> None:
    assert [where for where, lines in functions() if lines > LONGEST_FUNCTION] == []


def functions() -> Iterator[tuple[str, int]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # Commands declare their options in their signatures: only the body is counted.
                first = node.body[0].lineno if path.name == "main.py" else node.lineno
                where = f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}"
                yield where, (node.end_lineno or first) - first + 1


def test_nothing_is_left_to_do_in_the_source() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b")
    assert [p for p in FILES if unfinished.search(p.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_says_in_a_sentence_what_it_is_for(path: Path) -> None:
    documented = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    # The __init__ of a package that only groups others has nothing of its own to say.
    if path.name == "__init__.py" and not documented:
        assert path.read_text(encoding="utf-8").strip() == ""
        return
    first = documented.split("\n\n")[0].strip()
    assert first.endswith((".", ":", "?")), first


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert loaded_by("import stretto").isdisjoint(HEAVY)


def test_the_nouns_of_the_library_load_nothing_heavy() -> None:
    nouns = "from stretto import Language, Segment, StrettoError, Transcript, Word"
    assert loaded_by(nouns).isdisjoint(HEAVY)


def test_everything_the_front_door_promises_is_behind_it() -> None:
    for name in stretto.__all__:
        assert getattr(stretto, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = stretto.nonsense


def test_importing_the_library_is_quick() -> None:
    # The best of several: a busy machine can only make it slower.
    assert min(float(run(MEASURE)) for _ in range(5)) < DEAREST_IMPORT_S


def test_asking_for_help_loads_no_engine() -> None:
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "stretto", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "transcribe" in answer.stdout
    assert "stretto.interfaces.cli.main" in loaded
    assert loaded.isdisjoint({"numpy", "av", "ctranslate2", "onnxruntime", "sqlite3", "structlog"})
    assert not {name for name in loaded if name.startswith("stretto.contexts.monitoring")}


@pytest.mark.parametrize("context", ["caching", "monitoring"])
def test_a_recording_that_is_known_is_recalled_without_loading_what_it_does_not_need(
    tmp_path: Path, context: str
) -> None:
    build = (
        "from pathlib import Path\nfrom stretto.bootstrap import build, Settings\n"
        f"build(Settings(home=Path({str(tmp_path)!r}))).close()"
    )
    assert not {name for name in loaded_by(build) if name.startswith(f"stretto.contexts.{context}")}
