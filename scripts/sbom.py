"""Says what an installation is made of, as a software bill of materials (CycloneDX 1.6, JSON): the
packages of a lock file with their hashes, and the native libraries inside their wheels, with the
versions that these report themselves.

    python scripts/sbom.py requirements/serve.txt > sbom.json
"""

import ctypes
import json
import platform
import re
import sqlite3
import ssl
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = re.compile(r"^[A-Za-z0-9]")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
VERSION_OF_FILE = re.compile(r"^(lib[A-Za-z0-9_+.-]+?)(?:-[0-9a-f]{8,})?\.so(?:\.([0-9.]+))?$")

REPORTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "libcrypto": ("OpenSSL", lambda lib: _text(lib.OpenSSL_version, 0).split()[1]),
    "libgnutls": ("GnuTLS", lambda lib: _text(lib.gnutls_check_version, None)),
    "libsqlite3": ("SQLite", lambda lib: _text(lib.sqlite3_libversion)),
    "libopus": ("Opus", lambda lib: _text(lib.opus_get_version_string).removeprefix("libopus ")),
    "libmp3lame": ("LAME", lambda lib: _text(lib.get_lame_version)),
    "libdav1d": ("dav1d", lambda lib: _text(lib.dav1d_version)),
    "libvpx": ("libvpx", lambda lib: _text(lib.vpx_codec_version_str).removeprefix("v")),
    "libpq": ("libpq", lambda lib: _postgres(lib.PQlibVersion())),
}
"""By the name of the file: what people call it, and how it is asked for its version."""


@dataclass(frozen=True)
class Locked:
    """A package of a lock file that belongs on this machine."""

    name: str
    version: str
    hashes: tuple[str, ...]


def locked(path: Path) -> Iterator[Locked]:
    """What a lock file, and those it begins with, install here."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("-r "):
            yield from locked(path.with_name(line[3:].strip()))
        elif PACKAGE.match(line):
            requirement = Requirement(line.partition("--hash")[0].strip())
            if requirement.marker is None or requirement.marker.evaluate():
                version = str(requirement.specifier).removeprefix("==")
                hashes = tuple(HASH.findall(line))
                yield Locked(canonicalize_name(requirement.name), version, hashes)


def natives(packages: Collection[str]) -> Iterator[dict[str, Any]]:
    """The libraries that no package manager of Python knows of: the interpreter's, and those inside
    these packages."""
    yield _library("SQLite", sqlite3.sqlite_version, "the interpreter's sqlite3")
    yield _library("OpenSSL", ssl.OPENSSL_VERSION.split()[1], "the interpreter's ssl")
    av = _imported("av")
    if av is not None:
        yield _library("FFmpeg", str(getattr(av, "ffmpeg_version_info", "unknown")), "av")
        for name, version in sorted(av.library_versions.items()):
            yield _library(name, ".".join(map(str, version)), "av")
    zstandard = _imported("zstandard")
    if zstandard is not None:
        yield _library("Zstandard", ".".join(map(str, zstandard.ZSTD_VERSION)), "zstandard")
    for name in sorted(packages):
        for file in metadata.files(name) or ():
            if file.parts[0].endswith(".libs"):
                found = _bundled(Path(str(file.locate())), name)
                if found is not None:
                    yield found


def document(lock: Path) -> dict[str, Any]:
    """The whole bill. Raises PackageNotFoundError when the lock file is not what is installed."""
    packages = list({one.name: one for one in locked(lock)}.values())
    for one in packages:
        installed = metadata.version(one.name)
        if installed != one.version:
            raise metadata.PackageNotFoundError(f"{one.name} {one.version}; here is {installed}")
    ours = metadata.metadata("stretto")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "stretto", "version": ours["Version"]},
            "properties": [
                {"name": "python", "value": platform.python_version()},
                {"name": "platform", "value": platform.platform()},
                {"name": "lock", "value": lock.name},
            ],
        },
        "components": [*map(_package, packages), *natives({one.name for one in packages})],
    }


def _package(one: Locked) -> dict[str, Any]:
    reference = f"pkg:pypi/{one.name}@{one.version}"
    return {
        "type": "library",
        "bom-ref": reference,
        "purl": reference,
        "name": one.name,
        "version": one.version,
        # one for each file that there is of it: which was installed depends on the machine
        "properties": [{"name": "locked:sha256", "value": value} for value in one.hashes],
    }


def _library(name: str, version: str, inside: str, file: str = "") -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": f"native:{inside}/{file or name}".replace(" ", "-"),
        "name": name,
        "version": version,
        "properties": [{"name": "inside", "value": inside}],
    }


def _bundled(path: Path, inside: str) -> dict[str, Any] | None:
    """A file of a wheel; asked for its version where it can tell, else by its name."""
    found = VERSION_OF_FILE.match(path.name)
    if found is None:
        return None
    name, version = found[1], found[2] or "unknown"
    if inside == "av" and name.startswith(("libav", "libsw")):
        return None  # FFmpeg's own have told their versions already
    if name in REPORTS:
        called, report = REPORTS[name]
        try:
            return _library(called, report(ctypes.CDLL(str(path))), inside, path.name)
        except (OSError, AttributeError):  # it does not load here, or has lost that function
            return _library(called, f"{version} (by its file)", inside, path.name)
    return _library(name, f"{version} (by its file)", inside, path.name)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def _text(function: Any, *given: Any) -> str:
    function.restype = ctypes.c_char_p
    return str(function(*given).decode())


def _postgres(number: int) -> str:
    return f"{number // 10_000}.{number % 10_000}"


if __name__ == "__main__":
    chosen = Path(sys.argv[1] if len(sys.argv) > 1 else "requirements/serve.txt")
    json.dump(document(chosen), sys.stdout, indent=2)
    sys.stdout.write("\n")
