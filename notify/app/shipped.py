"""The templates that come with notify: one file a language, all events, for every channel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

import yaml

from notify.model.names import EVENTS
from notify.model.records import Template

LANGUAGES: Final = ("en", "de", "zh")
PREFIX: Final = "shipped."
"""Of their ids: `shipped.<language>.<event>`."""


@cache
def shipped() -> Mapping[str, Template]:
    """All of them, by id. Raises ValueError for a file that lacks an event."""
    found: dict[str, Template] = {}
    for language in LANGUAGES:
        text = files("notify.app").joinpath("defaults", f"{language}.yaml").read_text(encoding="utf-8")
        texts = yaml.safe_load(text)
        if set(texts) != set(EVENTS):
            raise ValueError(f"expected the templates of all events in {language}, found {', '.join(sorted(texts))}")
        for event in EVENTS:
            key = f"{PREFIX}{language}.{event}"
            found[key] = Template(id=key, event=event, language=language, shipped=True, **texts[event])
    return MappingProxyType(found)
