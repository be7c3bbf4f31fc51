"""Holds a bill of materials against a file of advisories (OSV's format): what is known to be wrong
with one of the components. Exit code 1 when something is that nobody has accepted with a reason.

    python scripts/sbom.py > sbom.json && python scripts/audit.py sbom.json

No network is needed. The advisories are a file of the project, requirements/advisories.json, so
that a build of today says tomorrow what it says today; another file can be named instead, such as
an export of osv.dev. Native libraries have the ecosystem "Native", and names as in the bill.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ADVISORIES = Path(__file__).parents[1] / "requirements" / "advisories.json"


@dataclass(frozen=True)
class Finding:
    """A component that an advisory is about; ``accepted`` is why that does no harm here."""

    advisory: str
    name: str
    version: str
    summary: str
    accepted: str = ""

    def __str__(self) -> str:
        said = f"{self.name} {self.version}: {self.advisory} {self.summary}"
        return f"{said} Accepted: {self.accepted}" if self.accepted else said


def findings(bill: dict[str, Any], advisories: list[dict[str, Any]]) -> Iterator[Finding]:
    """All of them, those that were accepted too."""
    for component in bill["components"]:
        for advisory in advisories:
            if any(_strikes(affected, component) for affected in advisory["affected"]):
                accepted = advisory.get("database_specific", {}).get("accepted", "")
                yield Finding(
                    advisory=advisory["id"],
                    name=component["name"],
                    version=component["version"],
                    summary=advisory["summary"],
                    accepted=accepted,
                )


def _strikes(affected: dict[str, Any], component: dict[str, Any]) -> bool:
    ecosystem = "PyPI" if component.get("purl", "").startswith("pkg:pypi/") else "Native"
    package = affected["package"]
    if package["ecosystem"] != ecosystem or _plain(package["name"]) != _plain(component["name"]):
        return False
    try:
        version = Version(component["version"].split()[0])
    except InvalidVersion:
        return True  # of which nobody can say that it is a later one
    if component["version"] in affected.get("versions", ()):
        return True
    return any(_within(version, one["events"]) for one in affected.get("ranges", ()))


def _within(version: Version, events: list[dict[str, str]]) -> bool:
    """Events are in order: what was introduced stays until it is fixed."""
    inside = False
    for event in events:
        if "introduced" in event and version >= Version(event["introduced"]):
            inside = True
        elif "fixed" in event and version >= Version(event["fixed"]):
            inside = False
    return inside


def _plain(name: str) -> str:
    return canonicalize_name(name)


def main(bill: str, advisories: str = str(ADVISORIES)) -> int:
    components = json.loads(Path(bill).read_text(encoding="utf-8"))
    known = json.loads(Path(advisories).read_text(encoding="utf-8"))
    found = list(findings(components, known))
    for one in found:
        sys.stdout.write(f"{one}\n")
    wrong = [one for one in found if not one.accepted]
    count = len(components["components"])
    sys.stdout.write(f"{count} components, {len(known)} advisories, {len(wrong)} to be mended\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
