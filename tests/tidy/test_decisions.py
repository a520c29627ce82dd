"""Pages of docs/decisions have numbers of their own and stand in their README, in order, under their title."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "docs" / "decisions"
NAME: Final = re.compile(r"\d{4}-[a-z0-9-]+\.md")


def pages() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path.name != "README.md")


def test_every_page_has_a_number_of_its_own() -> None:
    counted = Counter(path.name[:4] for path in pages())

    assert [path.name for path in pages() if not NAME.fullmatch(path.name)] == []
    assert [number for number, count in counted.items() if count > 1] == []


def test_every_page_is_listed_once_in_order_under_its_title() -> None:
    listed = [line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("- ")]

    wanted = [f"- [{path.read_text().splitlines()[0].removeprefix('# ')}]({path.name})" for path in pages()]
    assert listed == wanted


def test_every_title_begins_with_the_number() -> None:
    assert [path.name for path in pages() if not path.read_text().startswith(f"# {path.name[:4]} ")] == []
