"""Every relative link of the documentation leads to something, and every part of the mesh has its page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from host.services import SERVICES

ROOT: Final = Path(__file__).parents[2]
LINK: Final = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
REFERENCE: Final = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
FENCED: Final = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
HEADING: Final = re.compile(r"^#{1,6} +(.+?) *#* *$", re.MULTILINE)
ABROAD: Final = re.compile(r"[a-z][a-z0-9+.-]*:|//")
PAGES: Final = (*(name for name in SERVICES if name != "engine"), "gateway", "access", "bus", "sagas")
"""The engine's subjects have several pages, and ARCHITECTURE.md."""


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(text: str) -> Iterator[str]:
    """Targets of a page's links, without those that are shown as code."""
    told = FENCED.sub("", text)
    yield from REFERENCE.findall(told)
    # Code may stand in a link's text, so only its content goes.
    yield from LINK.findall(CODE.sub("``", told))


def anchors(text: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(name if name not in found else f"{name}-{sum(each.startswith(name) for each in found)}")
    return found


def broken(page: Path, text: str) -> Iterator[str]:
    for link in links(text):
        if ABROAD.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            yield f"{page.relative_to(ROOT)}: {link}: nothing is there"
        elif not target.resolve().is_relative_to(ROOT):
            yield f"{page.relative_to(ROOT)}: {link}: outside of the repository"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"{page.relative_to(ROOT)}: {link}: no such heading"


def test_every_link_leads_to_something() -> None:
    assert [fault for page in documents() for fault in broken(page, page.read_text())] == []


def test_links_that_lead_nowhere_are_found() -> None:
    page = ROOT / "docs" / "page.md"
    text = (
        "[a](nowhere.md) [`b`](STYLE.md#nothing) [c](../../outside) [d]: nowhere/too\n\n[e]: gone.md\n"
        "`[f](code.md)`\n```\n[g](fenced.md)\n```\n"
        "[h](https://example.org/x) [i](STYLE.md) [j](ARCHITECTURE.md#the-map)\n"
    )

    found = [fault.split(": ")[1] for fault in broken(page, text)]

    assert found == ["gone.md", "nowhere.md", "STYLE.md#nothing", "../../outside"]


def test_every_part_of_the_mesh_has_a_page_that_readme_and_map_lead_to() -> None:
    pages = {f"docs/{name}.md" for name in PAGES}
    readme = set(links((ROOT / "README.md").read_text()))
    architecture = {f"docs/{link}" for link in links((ROOT / "docs" / "ARCHITECTURE.md").read_text())}

    assert sorted(page for page in pages if not (ROOT / page).exists()) == []
    assert sorted(pages - readme) == []
    assert sorted(pages - architecture) == []


def test_every_folder_of_the_map_exists() -> None:
    map_ = (ROOT / "docs" / "ARCHITECTURE.md").read_text().partition("## The map")[2].partition("\n## ")[0]
    folders = re.findall(r"^\| `([a-z]+)/", map_, re.MULTILINE)

    assert len(folders) >= len(SERVICES)
    assert [name for name in folders if not (ROOT / name).is_dir()] == []
