"""Settings: where they come from, which one wins, and what is said about wrong ones."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidOption
from stretto.settings import Settings, load_settings, variable_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def environment(home: Path, **variables: str) -> dict[str, str]:
    return {"STRETTO_HOME": str(home)} | {variable_of(k): v for k, v in variables.items()}


def write_file(home: Path, text: str) -> Path:
    home.mkdir(exist_ok=True)
    path = home / "stretto.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_anything_set_the_defaults_hold(home: Path) -> None:
    assert load_settings(environment(home)) == Settings(home=home)
    assert load_settings(environment(home)).concurrency == 4


def test_the_environment_wins_over_the_file_and_an_override_over_both(home: Path) -> None:
    write_file(home, 'model = "from-file"\nconcurrency = 2\nworkers = 3')
    settings = load_settings(
        environment(home, model="from-environment", concurrency="5"), overrides={"concurrency": 6}
    )
    assert (settings.model, settings.concurrency, settings.workers) == ("from-environment", 6, 3)


def test_an_empty_variable_counts_as_not_set(home: Path) -> None:
    write_file(home, 'device = "cpu"')
    assert load_settings(environment(home, device="", concurrency="  ")).device == "cpu"


def test_everything_that_is_kept_lies_in_the_home_folder(home: Path) -> None:
    settings = load_settings(environment(home))
    assert settings.database_path == home / "stretto.sqlite3"
    assert settings.models_path == home / "models"


def test_loading_creates_nothing(home: Path) -> None:
    load_settings(environment(home))
    assert not home.exists()


def test_a_relative_home_does_not_move_with_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings({"STRETTO_HOME": "here"}).home == tmp_path / "here"


@pytest.mark.parametrize("text", ["1", "true", "YES", "On"])
def test_truth_is_written_in_several_ways(home: Path, text: str) -> None:
    assert load_settings(environment(home, offline=text)).offline is True


@pytest.mark.parametrize("text", ["0", "false", "No", "OFF"])
def test_and_so_is_its_opposite(home: Path, text: str) -> None:
    assert load_settings(environment(home, offline=text)).offline is False


@pytest.mark.parametrize("text", ["English", "en", "EN-us"])
def test_a_language_becomes_its_code(home: Path, text: str) -> None:
    assert load_settings(environment(home, language=text)).language == "en"


def test_a_log_level_may_be_written_small(home: Path) -> None:
    assert load_settings(environment(home, log_level="debug")).log_level == "DEBUG"


WRONG = [
    ("concurrency", "0"),
    ("concurrency", "65"),
    ("concurrency", "four"),
    ("concurrency", "4.0"),
    ("concurrency", "9" * 5000),
    ("workers", "-1"),
    ("device", "tpu"),
    ("compute_type", "int4"),
    ("language", "klingon"),
    ("log_level", "LOUD"),
    ("offline", "maybe"),
    ("engine", "../engine"),
    ("home", "~there-is-no-such-user/x"),
]


@pytest.mark.parametrize(("name", "text"), WRONG, ids=lambda value: value[:20])
def test_a_wrong_value_is_refused_with_the_variable_and_what_is_allowed(
    home: Path, name: str, text: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        load_settings(environment(home) | {variable_of(name): text})
    allowed = next(one for one in fields(Settings) if one.name == name).metadata["allowed"]
    assert caught.value.message.startswith(f"{variable_of(name)} must be {allowed}, not ")
    assert len(caught.value.message) < 300


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidOption, match="STRETTO_HOME must be a folder"):
        load_settings({"STRETTO_HOME": str(file)})


@pytest.mark.parametrize(
    "line",
    ['concurrency = "4"', "concurrency = true", "concurrency = 0", "model = 5", 'offline = "no"'],
)
def test_a_wrong_value_in_the_file_names_the_key_and_the_file(home: Path, line: str) -> None:
    path = write_file(home, line)
    with pytest.raises(InvalidOption) as caught:
        load_settings(environment(home))
    assert caught.value.message.startswith(f"{line.split()[0]} in {path} must be ")


def test_an_unknown_key_in_the_file_lists_the_right_ones(home: Path) -> None:
    write_file(home, 'modle = "base"')
    with pytest.raises(InvalidOption, match=r"'modle'.*model, device") as caught:
        load_settings(environment(home))
    assert "home" not in caught.value.message.split("right ones are:")[1]


def test_an_unknown_override_lists_the_right_ones(home: Path) -> None:
    with pytest.raises(InvalidOption, match=r"'modle'.*engine, model"):
        load_settings(environment(home), overrides={"modle": "base"})


@pytest.mark.parametrize("override", [{"concurrency": "4"}, {"concurrency": True}, {"model": None}])
def test_an_override_of_the_wrong_type_is_refused(home: Path, override: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        load_settings(environment(home), overrides=override)


def test_a_folder_may_be_given_as_a_path(home: Path, tmp_path: Path) -> None:
    settings = load_settings({}, overrides={"home": str(home), "model": tmp_path / "m"})
    assert (settings.home, settings.model) == (home, str(tmp_path / "m"))


def test_the_file_cannot_move_the_folder_in_which_it_lies(home: Path) -> None:
    write_file(home, 'home = "/elsewhere"')
    with pytest.raises(InvalidOption, match="set STRETTO_HOME instead"):
        load_settings(environment(home))


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_damaged_file_is_one_clear_sentence(home: Path, content: bytes) -> None:
    write_file(home, "").write_bytes(content)
    with pytest.raises(InvalidOption, match=r"settings file .*stretto\.toml"):
        load_settings(environment(home))


def test_a_file_that_was_asked_for_has_to_be_there(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="There is no settings file"):
        load_settings(environment(home), file=tmp_path / "other.toml")


def test_a_file_from_an_editor_that_writes_a_byte_order_mark_is_read(home: Path) -> None:
    write_file(home, "").write_bytes(b"\xef\xbb\xbfconcurrency = 3")
    assert load_settings(environment(home)).concurrency == 3


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
def test_whatever_stands_in_a_variable_is_accepted_or_refused(text: str) -> None:
    for one in fields(Settings):
        with suppress(InvalidOption):
            load_settings({"STRETTO_HOME": "/nowhere", variable_of(one.name): text})


def test_settings_are_frozen_and_checked_when_they_are_made(home: Path) -> None:
    with pytest.raises(InvalidOption):
        Settings(home=home, concurrency=0)
    with pytest.raises(FrozenInstanceError):
        Settings(home=home).concurrency = 5  # type: ignore[misc]


def test_loading_settings_imports_nothing_heavy(home: Path) -> None:
    code = (
        "import sys; from stretto.settings import load_settings;"
        f"load_settings({{'STRETTO_HOME': {str(home)!r}}});"
        "sys.exit(bool({'pydantic', 'numpy', 'av', 'rich', 'typer'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def reference_row(one: Field[Any]) -> str:
    default = one.metadata["shown"] or f"`{_toml(one.default)}`"
    cells = (f"`{one.name}`", f"`{variable_of(one.name)}`", default)
    return f"| {' | '.join((*cells, one.metadata['allowed'], one.metadata['doc']))} |"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    assert value is not MISSING
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_the_reference_page_says_what_the_fields_say() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if "| `STRETTO_" in line]
    assert rows == [reference_row(one) for one in fields(Settings)]
