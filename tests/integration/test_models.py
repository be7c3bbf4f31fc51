"""Models: names become folders; installs are whole or not at all; revisions follow content."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stretto.contexts.core.errors import EngineUnavailable, StorageFull, UnknownModel
from stretto.contexts.processing.adapters.model_folders import (
    MODEL_FILES,
    Progress,
    library_folder,
    name_of_folder,
)
from stretto.contexts.processing.adapters.model_packages import (
    BLOCK_BYTES,
    ModelPackage,
    PackagedFile,
    Part,
)
from stretto.contexts.processing.adapters.models import PACKAGES, ModelLibrary, ModelSource

TINY = {"model.bin": b"weights", "config.json": b"{}", "tokenizer.json": b"{}"}
TINY["vocabulary.txt"] = b"a\nb\n"
WEIGHTS = random.Random(1).randbytes(3 * BLOCK_BYTES)


def make_model(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (TINY if files is None else files).items():
        (folder / name).write_bytes(content)
    return folder


def unheard(done: int, total: int) -> None:
    pass


class HubInMemory:
    """A hub with some repositories; counts what it was asked for."""

    def __init__(self, **repositories: dict[str, bytes]) -> None:
        self.repositories = {k.replace("__", "/"): v for k, v in repositories.items()}
        self.asked: list[str] = []

    def __call__(self, repository: str, destination: Path, *, progress: Progress) -> None:
        self.asked.append(repository)
        if repository not in self.repositories:
            raise UnknownModel(f"The hub has no {repository}.")
        make_model(destination, self.repositories[repository])
        (destination / ".cache").mkdir(exist_ok=True)
        progress(5, 5)


class BrokenHub:
    """Leaves half of a download and fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, repository: str, destination: Path, *, progress: Progress) -> None:
        (destination / "model.bin").write_bytes(b"half")
        raise self.error


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def library(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelLibrary:
    monkeypatch.chdir(tmp_path)
    return ModelLibrary(models, packages=(), hub=HubInMemory())


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages with a model in two parts, and one with a whole model; importing them fails."""
    site = tmp_path / "site"
    cut = len(WEIGHTS) // 2 + 7
    for number, part in enumerate((WEIGHTS[:cut], WEIGHTS[cut:]), 1):
        data = site / f"fake_parts_{number}" / "data"
        make_model(data, {f"model.bin.part{number}": part})
        (data.parent / "__init__.py").write_text("raise SystemExit('imported')")
    rest = {name: content for name, content in TINY.items() if name != "model.bin"}
    make_model(site / "fake_parts_2" / "data", rest)
    make_model(site / "fake_whole" / "model")
    (site / "fake_whole" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(site)
    return site


def in_parts(*, weights_sha: str = sha(WEIGHTS)) -> ModelPackage:
    files = [
        PackagedFile(
            name="model.bin",
            parts=tuple(Part(f"fake_parts_{n}", f"data/model.bin.part{n}") for n in (1, 2)),
            sha256=weights_sha,
        )
    ]
    files += [
        PackagedFile(name=name, parts=(Part("fake_parts_2", f"data/{name}"),), sha256=sha(content))
        for name, content in TINY.items()
        if name != "model.bin"
    ]
    return ModelPackage(name="base", extra="base", files=tuple(files))


WHOLE = ModelPackage(name="tiny.en", extra="tiny", folder=Part("fake_whole", "model"))


def parts_library(models: Path, **options: str) -> ModelLibrary:
    return ModelLibrary(models, packages=(WHOLE, in_parts(**options)), hub=HubInMemory())


def leftovers(models: Path) -> list[Path]:
    """Files that belong to no whole model."""
    staging = models / ".staging"
    locks = staging / "locks"
    return [p for p in staging.rglob("*") if p != locks and locks not in p.parents]


class TestFolders:
    def test_a_folder_with_a_model_is_taken_as_it_is(
        self, library: ModelLibrary, models: Path, tmp_path: Path
    ) -> None:
        folder = make_model(tmp_path / "mine")
        found = library.resolve(str(folder))
        assert (found.name, found.path, found.source) == ("mine", folder, ModelSource.FOLDER)
        assert found.size_bytes == sum(map(len, TINY.values()))
        assert not models.exists()

    @pytest.mark.parametrize("name", list(TINY))
    @pytest.mark.parametrize("how", ["absent", "empty"])
    def test_a_folder_that_lacks_a_file_is_refused_with_the_name_of_that_file(
        self, library: ModelLibrary, tmp_path: Path, name: str, how: str
    ) -> None:
        folder = make_model(tmp_path / "mine")
        (folder / name).unlink()
        if how == "empty":
            (folder / name).touch()
        with pytest.raises(UnknownModel, match=f"lacks .*{name}"):
            library.resolve(str(folder))

    def test_a_folder_that_happens_to_have_the_name_of_a_model_is_not_in_its_way(
        self, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "base").mkdir()
        monkeypatch.chdir(tmp_path)
        make_model(models / "base")
        assert ModelLibrary(models).resolve("base").source is ModelSource.LIBRARY

    @pytest.mark.parametrize(
        "name", ["/no/such/folder", "./x", "~nobody-here/x", "a/b/c", "..", "\0", "x" * 9000, "é"]
    )
    def test_whatever_is_no_folder_and_no_name_is_an_unknown_model(
        self, library: ModelLibrary, name: str
    ) -> None:
        with pytest.raises(UnknownModel) as caught:
            library.resolve(name)
        assert len(caught.value.message) < 1000


class TestNames:
    def test_a_wrong_name_lists_the_right_ones_closest_first(self, library: ModelLibrary) -> None:
        with pytest.raises(UnknownModel, match=r"'smal'.*closest first: small, small.en") as caught:
            library.resolve("smal")
        assert all(name in caught.value.message for name in ("base", "large-v3", "turbo"))

    @pytest.mark.parametrize(
        ("alias", "name"), [("large", "large-v3"), ("Systran/faster-whisper-base", "base")]
    )
    def test_two_names_of_one_model_are_one_model(
        self, library: ModelLibrary, models: Path, alias: str, name: str
    ) -> None:
        make_model(models / name)
        assert library.resolve(alias) == library.resolve(name)

    @pytest.mark.parametrize("name", ["tiny.en", "org/name", "my-model_2"])
    def test_the_folder_of_a_model_tells_its_name(self, name: str) -> None:
        folder = library_folder(name)
        assert folder is not None
        assert "/" not in folder
        assert name_of_folder(folder) == name

    @pytest.mark.parametrize("name", ["../x", ".staging", "a/../b", "/x", "", "a/.b", "a--b/c"])
    def test_no_name_leads_out_of_the_library(self, name: str) -> None:
        assert library_folder(name) is None


class TestPackages:
    @pytest.mark.usefixtures("site")
    def test_a_whole_model_in_a_package_is_used_in_place_and_never_imported(
        self, models: Path, site: Path
    ) -> None:
        found = parts_library(models).resolve("tiny.en")
        assert (found.path, found.source) == (site / "fake_whole/model", ModelSource.PACKAGE)
        assert not models.exists()

    @pytest.mark.usefixtures("site")
    def test_a_model_in_parts_is_joined_once(self, models: Path) -> None:
        heard: list[tuple[int, int]] = []
        library = parts_library(models)
        found = library.install("base", lambda done, total: heard.append((done, total)))
        assert (found.path / "model.bin").read_bytes() == WEIGHTS
        assert {path.name for path in found.path.iterdir()} == set(TINY)
        assert heard == sorted(heard)
        assert heard[-1][0] == heard[-1][1] == found.size_bytes
        before = (found.path / "model.bin").stat().st_mtime_ns
        assert library.install("base", unheard) == found
        assert (found.path / "model.bin").stat().st_mtime_ns == before
        assert leftovers(models) == []

    @pytest.mark.usefixtures("site")
    def test_a_damaged_part_is_found_out_and_nothing_stays(self, models: Path) -> None:
        library = parts_library(models, weights_sha=sha(b"something else"))
        with pytest.raises(EngineUnavailable, match=r"damaged.*fake_parts_1 and fake_parts_2"):
            library.resolve("base")
        assert not (models / "base").exists()
        assert leftovers(models) == []

    def test_one_part_without_the_other_is_not_installed(self, models: Path, site: Path) -> None:
        (site / "fake_parts_1" / "data" / "model.bin.part1").unlink()
        library = parts_library(models)
        entry = library.describe("base")
        assert not entry.installed
        assert 'pip install "stretto[base]"' in entry.hint

    @pytest.mark.usefixtures("site")
    def test_a_process_killed_half_way_leaves_no_model_and_the_next_one_succeeds(
        self, models: Path, site: Path
    ) -> None:
        kill = "lambda done, total: done > total / 2 and os.kill(os.getpid(), signal.SIGKILL)"
        with start_install(models, site, progress=kill) as killed:
            assert killed.wait(60) == -signal.SIGKILL
        assert not (models / "base").exists()
        assert leftovers(models)
        found = parts_library(models).resolve("base")
        assert (found.path / "model.bin").read_bytes() == WEIGHTS
        assert leftovers(models) == []

    @pytest.mark.usefixtures("site")
    def test_two_processes_at_once_join_it_once(self, models: Path, site: Path) -> None:
        count = "lambda done, total: done == total and print('joined')"
        running = [start_install(models, site, progress=count) for _ in range(2)]
        outputs = [process.communicate(timeout=60)[0] for process in running]
        assert [process.returncode for process in running] == [0, 0]
        assert "".join(outputs).count("joined") == 1
        assert (models / "base" / "model.bin").read_bytes() == WEIGHTS

    @pytest.mark.usefixtures("site")
    def test_a_library_that_cannot_be_written_to_is_one_clear_sentence(self, models: Path) -> None:
        models.touch()
        with pytest.raises(EngineUnavailable, match=r"cannot be put into .*STRETTO_HOME"):
            parts_library(models).resolve("base")

    def test_the_real_packages_say_what_to_install(self) -> None:
        assert {p.name: p.hint for p in PACKAGES} == {
            "tiny.en": 'pip install "stretto[tiny]"',
            "base": 'pip install "stretto[base]"',
        }


def start_install(models: Path, site: Path, *, progress: str) -> subprocess.Popen[str]:
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from tests.integration.test_models import parts_library;"
        f"parts_library(Path({str(models)!r})).install('base', {progress})"
    )
    root = Path(__file__).parents[2]
    path = os.pathsep.join((str(site), str(root)))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


class TestHub:
    def test_a_model_of_the_hub_is_downloaded_once(self, models: Path) -> None:
        hub = HubInMemory(org__name=TINY)
        library = ModelLibrary(models, packages=(), hub=hub)
        found = library.resolve("org/name")
        assert library.resolve("org/name") == found
        assert hub.asked == ["org/name"]
        assert found.path == models / "org--name"
        assert {path.name for path in found.path.iterdir()} == set(TINY)
        assert "org/name" in [entry.name for entry in library.list() if entry.installed]
        assert leftovers(models) == []

    def test_the_usual_names_are_repositories_of_the_hub(self, models: Path) -> None:
        hub = HubInMemory(**{"Systran__faster-whisper-small": TINY})
        assert ModelLibrary(models, hub=hub).resolve("small").path == models / "small"

    def test_offline_means_that_nobody_is_asked(self, models: Path) -> None:
        hub = HubInMemory(org__name=TINY)
        with pytest.raises(EngineUnavailable, match=r"forbid downloads.*stretto\[tiny\]"):
            ModelLibrary(models, offline=True, hub=hub).resolve("org/name")
        assert hub.asked == []

    def test_a_name_that_the_hub_does_not_know_leaves_nothing(
        self, library: ModelLibrary, models: Path
    ) -> None:
        with pytest.raises(UnknownModel):
            library.resolve("org/unknown")
        assert leftovers(models) == []

    @pytest.mark.parametrize("error", [EngineUnavailable("No network."), KeyboardInterrupt()])
    def test_an_interrupted_download_is_no_model_and_is_taken_up_again(
        self, models: Path, error: BaseException
    ) -> None:
        with pytest.raises(type(error)):
            ModelLibrary(models, hub=BrokenHub(error)).resolve("small")
        library = ModelLibrary(models, hub=HubInMemory(**{"Systran__faster-whisper-small": TINY}))
        assert not library.describe("small").installed
        assert [path.name for path in leftovers(models)] == ["small", "model.bin"]
        assert (library.resolve("small").path / "model.bin").read_bytes() == b"weights"
        assert leftovers(models) == []

    def test_a_full_disk_is_called_a_full_disk(self, models: Path) -> None:
        full = BrokenHub(OSError(28, "No space left on device"))
        with pytest.raises(StorageFull):
            ModelLibrary(models, hub=full).resolve("small")

    def test_a_download_without_a_needed_file_is_no_model(self, models: Path) -> None:
        hub = HubInMemory(org__name={"model.bin": b"x"})
        with pytest.raises(EngineUnavailable, match=r"without config\.json"):
            ModelLibrary(models, hub=hub).resolve("org/name")
        assert not (models / "org--name").exists()


class TestDefault:
    def test_a_model_for_all_languages_comes_before_one_for_english(
        self, models: Path, site: Path
    ) -> None:
        library = parts_library(models)
        assert library.default_name() == "base"
        (site / "fake_parts_1" / "data" / "model.bin.part1").unlink()
        assert library.default_name() == "tiny.en"
        assert library.resolve("").name == "tiny.en"

    def test_without_packages_it_is_the_smallest_of_the_library_and_at_last_a_download(
        self, library: ModelLibrary, models: Path
    ) -> None:
        assert library.default_name() == "base"
        make_model(models / "medium", TINY | {"model.bin": b"x" * 1000})
        make_model(models / "small")
        assert library.default_name() == "small"


class TestListing:
    @pytest.mark.usefixtures("site")
    def test_installed_models_come_first_and_each_says_how_to_get_it(self, models: Path) -> None:
        make_model(models / "my-own")
        entries = parts_library(models).list()
        installed = [entry.name for entry in entries if entry.installed]
        assert sorted(installed) == ["base", "my-own", "tiny.en"]
        assert [e.installed for e in entries] == sorted(
            (e.installed for e in entries), reverse=True
        )
        assert len({entry.name for entry in entries}) == len(entries)
        assert all(entry.size_bytes for entry in entries)
        assert all(entry.hint for entry in entries if not entry.installed)

    def test_a_model_that_is_not_whole_is_not_listed_and_says_how_to_mend_it(
        self, library: ModelLibrary, models: Path
    ) -> None:
        make_model(models / "small", {"model.bin": b"x"})
        assert "small" not in [entry.name for entry in library.list()]
        with pytest.raises(UnknownModel, match=r"not whole.*stretto models install small"):
            library.resolve("small")

    def test_looking_creates_nothing(self, library: ModelLibrary, models: Path) -> None:
        library.list()
        library.describe("small")
        assert not models.exists()


class TestRevision:
    def revision(self, models: Path, folder: Path) -> str:
        library = ModelLibrary(models, packages=())
        return library.revision(library.resolve(str(folder)))

    def test_it_follows_the_content_and_not_the_place(self, models: Path, tmp_path: Path) -> None:
        one, other = make_model(tmp_path / "one"), make_model(tmp_path / "other")
        (other / "README.md").write_text("not a part of the model")
        assert self.revision(models, one) == self.revision(models, other)

    @pytest.mark.parametrize("name", list(TINY))
    def test_each_file_counts(self, models: Path, tmp_path: Path, name: str) -> None:
        folder = make_model(tmp_path / "one")
        before = self.revision(models, folder)
        (folder / name).write_bytes(b"changed!")
        assert self.revision(models, folder) != before

    def test_content_that_moves_from_one_file_to_another_counts(
        self, models: Path, tmp_path: Path
    ) -> None:
        one = make_model(tmp_path / "1", TINY | {"config.json": b"a", "tokenizer.json": b"bc"})
        two = make_model(tmp_path / "2", TINY | {"config.json": b"ab", "tokenizer.json": b"c"})
        assert self.revision(models, one) != self.revision(models, two)

    def test_a_model_of_the_same_size_and_time_is_still_told_apart(
        self, models: Path, tmp_path: Path
    ) -> None:
        folder = make_model(tmp_path / "one")
        before, times = self.revision(models, folder), (folder / "model.bin").stat()
        (folder / "model.bin").write_bytes(b"WEIGHTS")
        os.utime(folder / "model.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
        assert self.revision(models, folder) != before

    def test_a_second_start_does_not_hash_again(self, models: Path, tmp_path: Path) -> None:
        folder = make_model(tmp_path / "one")
        self.revision(models, folder)
        memo = models / "revisions.json"
        content = json.loads(memo.read_text())
        (entry,) = content["folders"].values()
        entry["revision"] = "0" * 64  # who hashes would not find this
        memo.write_text(json.dumps(content))
        assert self.revision(models, folder) == "0" * 64

    @pytest.mark.parametrize(
        "memo",
        [
            "",
            "{",
            "[]",
            '{"format": 1, "folders": []}',
            '{"format": 0}',
            "[" * 100_000,
            '{"format": 1, "folders": {"FOLDER": {"files": [], "revision": 5}}}',
        ],
        ids=lambda memo: memo[:12] or "empty",
    )
    def test_a_damaged_memo_costs_time_only(self, models: Path, tmp_path: Path, memo: str) -> None:
        folder = make_model(tmp_path / "one")
        right = self.revision(models, folder)
        (models / "revisions.json").write_text(memo.replace("FOLDER", str(folder)))
        assert self.revision(models, folder) == right
        assert json.loads((models / "revisions.json").read_text())["format"] == 1

    def test_where_nothing_can_be_remembered_it_is_computed(
        self, models: Path, tmp_path: Path
    ) -> None:
        folder = make_model(tmp_path / "one")
        models.touch()
        assert self.revision(models, folder) == self.revision(tmp_path / "elsewhere", folder)

    def test_folders_that_are_gone_are_forgotten(self, models: Path, tmp_path: Path) -> None:
        one, two = make_model(tmp_path / "one"), make_model(tmp_path / "two")
        self.revision(models, one)
        one.rename(tmp_path / "elsewhere")
        self.revision(models, two)
        assert list(json.loads((models / "revisions.json").read_text())["folders"]) == [str(two)]


def test_importing_the_library_imports_no_engine_and_no_hub() -> None:
    code = (
        "import sys, stretto.contexts.processing.adapters.models;"
        "sys.exit(bool({'ctranslate2', 'huggingface_hub', 'numpy', 'httpx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_model_files_are_those_that_the_engine_reads() -> None:
    assert set(TINY) < set(MODEL_FILES)
