"""Rules of the house that a test can hold (docs/STYLE.md)."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine", "identity", "forms", "notify", "history", "gateway", "mesh", "host")
MAX_LINES = 520
FORBIDDEN_NAMES = frozenset(("utils", "helpers", "common", "manager", "misc"))


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_holds(package: str) -> None:
    silent = [
        shown(path)
        for path in (ROOT / package).rglob("__init__.py")
        if "versions" not in path.parts and not ast.get_docstring(ast.parse(path.read_text()))
    ]

    assert silent == []


def test_every_module_starts_with_a_docstring() -> None:
    silent = [
        shown(path)
        for path in sources()
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]

    assert silent == []


def test_no_file_holds_two_subjects() -> None:
    long = [
        f"{shown(path)}: {count}" for path in sources() if (count := len(path.read_text().splitlines())) > MAX_LINES
    ]

    assert long == []


def test_nothing_has_a_name_that_says_nothing() -> None:
    vague = [shown(path) for path in sources() if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES]

    assert vague == []


def test_the_envoy_folder_is_no_package() -> None:
    assert list((ROOT / "envoy").rglob("*.py")) == []


@pytest.mark.parametrize(("folder", "name"), [("elements", "KIND"), ("triggers", "TRIGGER")])
def test_every_element_and_trigger_has_its_file_and_its_test(folder: str, name: str) -> None:
    modules = [p for p in sorted((ROOT / "engine/kernel" / folder).glob("*.py")) if p.name != "__init__.py"]

    without_kind = [shown(p) for p in modules if f"\n{name}: Final" not in p.read_text()]
    without_test = [
        shown(p) for p in modules if not (ROOT / "tests/engine/kernel" / folder / f"test_{p.stem}.py").exists()
    ]

    assert without_kind == []
    assert without_test == []


def test_nothing_is_left_for_later() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    found = [shown(path) for path in sources() if any(mark in path.read_text() for mark in marks)]

    assert found == []


def test_no_committed_file_names_a_place_of_one_machine() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    places = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/")
    found = []
    for name in tracked.split("\0"):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".sh", ".yaml", ".proto"} and path.exists():
            text = path.read_text()
            found += [f"{name}: {place}" for place in places if place in text]

    assert found == []
