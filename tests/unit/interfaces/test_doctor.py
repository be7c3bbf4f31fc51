"""`stretto doctor` and `stretto models`: what they find and say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stretto.contexts.core.errors import EngineUnavailable, UnknownModel
from stretto.interfaces.cli import doctor_engine, doctor_machine
from stretto.interfaces.cli.doctor import is_ready, run_doctor
from stretto.interfaces.cli.doctor_checks import Check, CheckState, guarded
from stretto.interfaces.cli.models import Progress, install_model, list_models, megabytes


@dataclass(frozen=True, kw_only=True)
class Settings:
    home: Path
    engine: str = "whisper"
    model: str = ""
    device: str = "auto"
    compute_type: str = "auto"
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    name: str
    source: str = "library"
    installed: bool = True
    size_bytes: int = 78_000_000
    path: Path | None = Path("/models/tiny.en")
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Folder:
    name: str
    path: Path
    size_bytes: int


TINY = Entry(name="tiny.en")
SMALL = Entry(
    name="small", source="hub", installed=False, path=None, hint="stretto models install small"
)


class Library:
    """Models in memory; the first one is the default."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = entries

    def list(self) -> Sequence[Entry]:
        return self.entries

    def default_name(self) -> str:
        return self.entries[0].name

    def describe(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == (name or self.default_name()):
                return entry
        raise UnknownModel(f"There is no model {name!r}.")

    def install(self, name: str, progress: Progress) -> Folder:
        entry = self.describe(name)
        if not entry.size_bytes:
            raise EngineUnavailable("No network.")
        for done in range(0, 101, 5):
            progress(done, 100)
        return Folder(name=name, path=Path("/models") / name, size_bytes=entry.size_bytes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def report(
    settings: Settings, library: Library, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, dict[str, object]]]:
    code = run_doctor(settings, library, database=lambda: "here", cache={}, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["ready"] == (code == 0)
    return code, {check["name"]: check for check in found["checks"]}


class TestDoctor:
    def test_it_says_what_works_and_keeps_nothing(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("ctranslate2", reason="the extra local is not installed")
        code, checks = report(settings, Library(TINY, SMALL), capsys)
        assert code == 0
        assert checks["model"]["found"] == "tiny.en (78 MB) in /models/tiny.en"
        assert checks["codecs"]["state"] == "ok"
        assert not settings.home.exists()

    def test_a_model_that_has_to_be_downloaded_first_is_missing_and_says_how_to_get_it(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, checks = report(settings, Library(SMALL), capsys)
        assert code == 1
        assert checks["model"]["state"] == "missing"
        assert "stretto models install small" in str(checks["model"]["advice"])

    def test_a_model_that_does_not_exist_is_broken(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, checks = report(replace(settings, model="tny"), Library(TINY), capsys)
        assert code == 1
        assert checks["model"]["state"] == "broken"

    def test_an_engine_that_is_not_installed_lists_those_that_are(self, settings: Settings) -> None:
        check = doctor_engine.check_engine(replace(settings, engine="parrot"))
        assert check.state is CheckState.MISSING
        assert "whisper" in check.advice

    def test_no_graphics_card_is_no_trouble_unless_one_was_asked_for(
        self, settings: Settings
    ) -> None:
        pytest.importorskip("ctranslate2", reason="the extra local is not installed")
        assert is_ready([doctor_engine.check_cuda(settings)])
        asked = doctor_engine.check_cuda(replace(settings, device="cuda"))
        assert asked.needed

    def test_a_data_folder_that_cannot_be_written_to_is_broken(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings.home.parent.joinpath("file").touch()
        home = settings.home.parent / "file" / "home"
        code, checks = report(replace(settings, home=home), Library(TINY), capsys)
        assert code == 1
        assert checks["data folder"]["state"] == "broken"
        assert "STRETTO_HOME" in str(checks["data folder"]["advice"])

    @pytest.mark.parametrize(
        ("version", "journal"),
        [
            ((3, 51, 3), "write-ahead log"),
            ((3, 50, 7), "write-ahead log"),
            ((3, 44, 6), "write-ahead log"),
            ((3, 51, 2), "rollback journal"),
            ((3, 46, 0), "rollback journal"),
        ],
    )
    def test_it_says_which_journal_the_database_uses(
        self, version: tuple[int, int, int], journal: str
    ) -> None:
        check = doctor_machine.check_sqlite(version)
        assert check.state is CheckState.OK
        assert check.found.endswith(journal)
        assert ("can corrupt data" in check.advice) == (journal == "rollback journal")

    def test_an_old_python_is_broken(self) -> None:
        assert doctor_machine.check_python((3, 10, 9)).state is CheckState.BROKEN

    def test_a_check_that_fails_is_a_finding_and_not_a_traceback(self) -> None:
        def fails() -> Check:
            raise OSError("illegal\ninstruction")

        check = guarded("engine", fails)
        assert (check.state, check.found) == (CheckState.BROKEN, "OSError: illegal")

    def test_whatever_is_not_ok_says_what_to_do(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, checks = report(replace(settings, engine="parrot"), Library(SMALL), capsys)
        assert all(check["advice"] for check in checks.values() if check["state"] != "ok")

    def test_without_a_terminal_each_check_is_one_line_and_a_verdict_follows(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert (
            run_doctor(settings, Library(SMALL), database=lambda: "here", cache={}, as_json=False)
            == 1
        )
        *lines, verdict = capsys.readouterr().out.splitlines()
        assert all(line.split("\t")[0] in {"ok", "missing", "broken"} for line in lines)
        assert verdict.startswith("Recordings cannot be transcribed yet; see: model")


class TestModels:
    def test_each_model_is_a_line_with_tabs(self, capsys: pytest.CaptureFixture[str]) -> None:
        list_models(Library(TINY, SMALL), as_json=False)
        assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [
            ["tiny.en (default)", "installed", "library", "78 MB", "/models/tiny.en"],
            ["small", "available", "hub", "78 MB", "stretto models install small"],
        ]

    def test_programs_get_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        list_models(Library(TINY, SMALL), as_json=True)
        tiny, small = json.loads(capsys.readouterr().out)
        assert (tiny["installed"], tiny["default"], tiny["install"]) == (True, True, None)
        assert (small["installed"], small["default"], small["path"]) == (False, False, None)

    def test_installing_shows_progress_on_standard_error_and_the_folder_on_standard_output(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        install_model(Library(TINY), "tiny.en")
        shown = capsys.readouterr()
        assert shown.out == "tiny.en (78 MB) is installed in /models/tiny.en\n"
        assert len(shown.err.splitlines()) == 10

    def test_trouble_while_installing_is_left_to_the_command_line(self) -> None:
        with pytest.raises(EngineUnavailable):
            install_model(Library(replace(TINY, size_bytes=0)), "tiny.en")

    @pytest.mark.parametrize(
        ("size_bytes", "text"),
        [(0, "?"), (1, "1 MB"), (78_090_594, "78 MB"), (3_090_000_000, "3.1 GB")],
    )
    def test_sizes_are_written_for_people(self, size_bytes: int, text: str) -> None:
        assert megabytes(size_bytes) == text
