"""Who may import whom: the contracts hold, and each of them would notice a violation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

HOUSE = Path(__file__).parents[2]
LINT = "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint())"

PLANTED = [
    ("C1-house", "application.py", "import stretto.bootstrap"),
    ("C1-house", "application.py", "from stretto import open as front_door"),
    ("C1-house", "contexts/core/job.py", "from stretto.interfaces import formats"),
    ("C1-house", "bootstrap/database.py", "from stretto.interfaces.cli import main"),
    ("C1-house", "settings.py", "import stretto.application"),
    ("C1-contexts", "contexts/processing/model.py", "import stretto.contexts.caching.model"),
    ("C1-contexts", "contexts/database/model.py", "import stretto.contexts.processing.ports"),
    ("C1-contexts", "contexts/core/events.py", "import stretto.contexts.processing.model"),
    ("C2-processing", "contexts/processing/adapters/energy.py", "from .. import service"),
    ("C2-processing", "contexts/processing/model.py", "from . import ports"),
    ("C2-processing", "contexts/processing/pauses.py", "from . import planning"),
    ("C2-caching", "contexts/caching/ports.py", "from . import multilevel"),
    ("C2-database", "contexts/database/model.py", "from .adapters import sqlite"),
    ("C2-database", "contexts/database/adapters/catalog_sqlite.py", "from .. import indexes"),
    ("C2-database", "contexts/database/indexes.py", "from . import optimizer"),
    ("C2-monitoring", "contexts/monitoring/sketch.py", "from . import collector"),
    ("C2-monitoring", "contexts/monitoring/keeping.py", "from . import evaluating"),
    ("C3", "contexts/processing/service.py", "from .adapters import pyav"),
    ("C3", "interfaces/files.py", "import stretto.contexts.caching.adapters.codec"),
    ("C3", "application.py", "from stretto.settings import Settings"),
    ("C4", "contexts/processing/service.py", "import av"),
    ("C4", "application.py", "import sqlite3"),
    ("C4", "contexts/database/optimizer.py", "import sqlalchemy.orm"),
    ("C4", "contexts/caching/multilevel.py", "import redis.client"),
    ("C4-core", "contexts/core/audio.py", "import numpy"),
    ("C5", "contexts/processing/model.py", "import stretto.contexts.processing.service"),
    ("C5", "interfaces/formats/layout.py", "from stretto.interfaces.formats import registry"),
]


def lint(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-logo", "--no-cache", *arguments],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    house = tmp_path_factory.mktemp("house")
    shutil.copytree(HOUSE / "src", house / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HOUSE / "pyproject.toml", house)
    return house


def test_all_contracts_hold() -> None:
    answer = lint(HOUSE)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED)
def test_a_planted_violation_is_found(copy: Path, contract: str, file: str, line: str) -> None:
    target = copy / "src" / "stretto" / file
    clean = target.read_text()
    target.write_text(f"{clean}\nif False:\n    {line}\n")
    try:
        answer = lint(copy, "--contract", contract)
    finally:
        target.write_text(clean)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "0 kept, 1 broken" in answer.stdout
    assert f".{Path(file).stem} " in answer.stdout.replace("\n", " ")


def test_a_new_file_needs_a_place_in_its_context(copy: Path) -> None:
    stranger = copy / "src" / "stretto" / "contexts" / "processing" / "stranger.py"
    stranger.write_text('"""Stands nowhere."""\n')
    try:
        answer = lint(copy, "--contract", "C2-processing")
    finally:
        stranger.unlink()
    assert answer.returncode == 1
    assert "stranger" in answer.stdout


def test_the_core_imports_itself_and_the_standard_library_alone() -> None:
    graph = grimp.build_graph("stretto", include_external_packages=True, cache_dir=None)
    core = "stretto.contexts.core"
    imported = {
        name.partition(".")[0]
        for module in {core, *graph.find_descendants(core)}
        for name in graph.find_modules_directly_imported_by(module)
        if name != core and not name.startswith(f"{core}.")
    }
    assert "dataclasses" in imported
    assert imported <= sys.stdlib_module_names
