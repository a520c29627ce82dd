"""What can be searched: the texts of names, business keys and variables, and the words in them."""

from __future__ import annotations

import re
from typing import Final

import msgspec

NAME: Final = "name"
BUSINESS_KEY: Final = "businessKey"
TASK_NAME: Final = "taskName"
VARIABLE: Final = "variable:"
"""Before a variable's name."""

MAX_WORDS: Final = 64
"""Words of one text that are kept."""
MAX_WORD_CHARACTERS: Final = 64
"""Of a longer word only so much counts."""
MAX_TEXT_CHARACTERS: Final = 4_000
"""Of a longer text only so much is looked at."""

_WORD: Final = re.compile(r"\w+")


class SearchEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One searchable text. `owner_id`: the instance, execution or task; an empty `text` says that it is gone.

    `version` grows: of two entries of the same owner and field the one of the higher version holds.
    """

    owner_id: str
    field: str
    instance_id: str
    task_id: str
    root_id: str
    tenant_id: str
    text: str
    version: int


def words_of(text: str) -> list[str]:
    """The words of a text, folded so that case does not count, each once, in their order."""
    found = _WORD.findall(text[:MAX_TEXT_CHARACTERS].casefold())
    return list(dict.fromkeys(word[:MAX_WORD_CHARACTERS] for word in found))[:MAX_WORDS]
