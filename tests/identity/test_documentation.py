"""The page of identity tells every setting as the code has it."""

from pathlib import Path

from identity.settings import IdentitySettings
from mesh.settings import describe

PAGE = Path(__file__).parents[2] / "docs" / "identity.md"


def test_every_setting_stands_on_the_page_with_its_default() -> None:
    told = PAGE.read_text().splitlines()

    missing = [
        row
        for each in describe(IdentitySettings)
        if (row := f"| `{each.key}` | {each.default or '–'} | {each.doc} |") not in told
    ]

    assert missing == []
