"""Regular expressions of form models, in linear time.

They come from whoever may deploy a form and run on what anybody submits. Python's own engine backtracks: one bad
pattern and one bad text would stop the whole process. RE2 cannot; it has no look-around and no back-references, and
says so when the form is deployed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

MAX_PATTERN_CHARACTERS: Final = 2000
_KEPT: Final = 512


class BadPattern(Exception):
    """A pattern that cannot be used; the text says why."""


@lru_cache(maxsize=_KEPT)
def compiled(pattern: str, memory_bytes: int) -> Any:
    """Return the pattern ready for `fullmatch`. Raises BadPattern."""
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise BadPattern(f"expected at most {MAX_PATTERN_CHARACTERS} characters, found {len(pattern)}")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory_bytes
    try:
        return re2.compile(pattern, options)
    except (re2.error, TypeError, ValueError) as error:
        found = error.args[0] if error.args else error
        said = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
        raise BadPattern(f"expected a regular expression of RE2, found: {said}") from error


def matches(pattern: str, text: str, memory_bytes: int) -> bool:
    """Tell whether the whole text matches, as Java's `matches` does."""
    return compiled(pattern, memory_bytes).fullmatch(text) is not None
