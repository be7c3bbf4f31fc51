"""The documentation and the program say the same: links, options, events and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from stretto.contexts.core import events
from stretto.interfaces.cli.exit_codes import ExitCode
from stretto.interfaces.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS_PAGE = DOCS / "reference" / "cli.md"

LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])(--?[a-z][a-z-]*)")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL_LINE = re.compile(r"^\$ (?:\w+=\S+ )*(stretto .*)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands() -> dict[str, Any]:
    """Every command by what is typed for it, as ``stretto models list``."""

    def below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        yield name, command
        for child in getattr(command, "commands", {}).values():
            yield from below(child, f"{name} {child.name}")

    return dict(below(get_command(app), "stretto"))


def declared_options(command: Any) -> set[str]:
    named = {name for parameter in command.params for name in parameter.opts}
    return {name for name in named if name.startswith("-")} - {"--help"}


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level, by the heading."""
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented_options(section: str) -> set[str]:
    first_cells = re.findall(r"^\| (`-[^|]*)\|", section, flags=re.MULTILINE)
    return {option for cell in first_cells for option in re.findall(r"`(-[^`]+)`", cell)}


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading_that_are_there(document: Path) -> None:
    prose = FENCED.sub("", document.read_text(encoding="utf-8"))
    broken = []
    for link in LINK.findall(prose):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, to_read = set(), [DOCS / "README.md"]
    while to_read:
        page = to_read.pop().resolve()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        links = LINK.findall(page.read_text(encoding="utf-8"))
        to_read += [page.parent / link.partition("#")[0] for link in links if ".md" in link]
    assert {name_of(page) for page in DOCS.rglob("*.md") if page.resolve() not in reached} == set()


def test_the_reference_names_exactly_the_options_that_each_command_has() -> None:
    documented = sections(COMMANDS_PAGE)
    for name, command in commands().items():
        options = declared_options(command)
        if name in documented or options:
            assert documented_options(documented[name]) == options, name


def test_the_reference_has_no_command_that_does_not_exist() -> None:
    headings = {heading for heading in sections(COMMANDS_PAGE) if heading.startswith("stretto")}
    known = commands()
    assert headings <= set(known)
    assert headings >= {name for name in known if not hasattr(known[name], "commands")}


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_command_line_in_the_pages_uses_options_that_exist(document: Path) -> None:
    known = commands()
    for line in SHELL_LINE.findall(document.read_text(encoding="utf-8")):
        typed = re.split(r"\s[|>#]\s*", line)[0]
        name = max((n for n in known if f"{typed} ".startswith(f"{n} ")), key=len)
        unquoted = re.sub(r'"[^"]*"', "", typed)
        assert set(OPTION.findall(unquoted)) <= declared_options(known[name]) | {"--help"}, line


def test_every_exit_code_is_explained() -> None:
    section = sections(COMMANDS_PAGE)["Exit codes"]
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)}
    assert explained == {int(code) for code in ExitCode}


def test_every_event_and_each_of_its_fields_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "events.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` (\|.*)$", page, flags=re.MULTILINE))
    kinds = {kind.__name__: kind for kind in events.DomainEvent.__subclasses__()}
    assert rows.keys() == kinds.keys()
    for name, kind in kinds.items():
        fields = set(kind.__dataclass_fields__) - {"at"}
        assert {field for field in fields if f"`{field}`" not in rows[name]} == set(), name


@pytest.mark.parametrize("name", ["use-as-a-library", "add-an-engine"])
def test_the_python_examples_compile(name: str) -> None:
    page = DOCS / "howto" / f"{name}.md"
    blocks = PYTHON.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for number, block in enumerate(blocks):
        compile(block, f"{page.name}[{number}]", "exec")
