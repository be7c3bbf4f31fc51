"""What Stretto is made of is known, down to the libraries inside wheels, and nothing of it is known
to be broken."""

from __future__ import annotations

import importlib.util
import json
import re
import sqlite3
import ssl
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HOUSE = Path(__file__).parents[2]
REQUIREMENTS = HOUSE / "requirements"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HOUSE / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


sbom, audit = script("sbom"), script("audit")


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    made: dict[str, Any] = sbom.document(REQUIREMENTS / "test.txt")
    return made


def advisories() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(audit.ADVISORIES.read_text())
    return found


def versions(bill: dict[str, Any], name: str) -> set[str]:
    return {one["version"] for one in bill["components"] if one["name"] == name}


def test_the_bill_names_the_libraries_inside_wheels_as_they_report_themselves(
    bill: dict[str, Any],
) -> None:
    import av

    assert versions(bill, "FFmpeg") == {av.ffmpeg_version_info}
    assert sqlite3.sqlite_version in versions(bill, "SQLite")
    assert ssl.OPENSSL_VERSION.split()[1] in versions(bill, "OpenSSL")
    inside = {
        one["properties"][0]["value"] for one in bill["components"] if one["name"] == "OpenSSL"
    }
    assert "psycopg-binary" in inside
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    references = [one["bom-ref"] for one in bill["components"]]
    assert len(references) == len(set(references))


def test_every_package_that_is_locked_is_the_one_that_is_installed(bill: dict[str, Any]) -> None:
    packages = [one for one in bill["components"] if "purl" in one]
    assert len(packages) > 100
    for one in packages:
        assert metadata.version(one["name"]) == one["version"]


@pytest.mark.parametrize("lock", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.name)
def test_every_package_is_locked_with_its_hashes(lock: Path) -> None:
    for line in lock.read_text().replace("\\\n", " ").splitlines():
        if line and not line.startswith(("-r ", "#")):
            assert "==" in line, line
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line[:60]


def test_nothing_is_known_to_be_broken_unless_somebody_said_why_that_does_no_harm(
    bill: dict[str, Any],
) -> None:
    found = list(audit.findings(bill, advisories()))
    assert [str(one) for one in found if not one.accepted] == []


def test_an_advisory_strikes_what_it_is_about_and_nothing_else() -> None:
    def names(*versions: str, name: str = "h11", purl: str = "pkg:pypi/x") -> list[str]:
        made = [{"name": name, "version": version, "purl": purl} for version in versions]
        bill = {"components": made}
        return [one.version for one in audit.findings(bill, advisories())]

    assert names("0.14.0", "0.16.0") == ["0.14.0"]
    assert names("0.38.6", "0.49.0", "0.49.1", name="Starlette") == ["0.38.6"] * 2 + ["0.49.0"]
    assert names("3.44.5", "3.44.6", "3.45.0", "3.51.3", name="sqlite", purl="") == [
        *("3.44.5", "3.44.5", "3.44.6", "3.45.0", "3.45.0"),
    ]
    assert names("no version", name="sqlite", purl="") == ["no version"] * 2


def test_each_advisory_is_in_the_form_of_osv_and_what_was_accepted_has_a_reason() -> None:
    for one in advisories():
        assert one["id"]
        assert one["summary"].endswith(".")
        for affected in one["affected"]:
            assert affected["package"]["ecosystem"] in {"PyPI", "Native"}
            assert affected["ranges"][0]["events"][0].keys() == {"introduced"}
        accepted = one.get("database_specific", {}).get("accepted")
        assert accepted is None or accepted.endswith(".")


def test_no_package_runs_code_whenever_an_interpreter_starts() -> None:
    """But for our own path, and setuptools, which is there for packages of the tests alone."""
    allowed = {"_editable_impl_stretto.pth", "distutils-precedence.pth"}
    found = {
        file.name
        for distribution in metadata.distributions()
        for file in distribution.files or ()
        if file.suffix == ".pth"
    }
    assert found <= allowed
