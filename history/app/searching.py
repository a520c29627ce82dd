"""Searching: what of the stream can be found again, and the port that finds it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from history.model import happenings as told
from history.model.records import Value
from history.model.search import BUSINESS_KEY, NAME, TASK_NAME, VARIABLE, SearchEntry

MAX_SEARCH_WORDS: Final = 8
"""Words that one search may ask for."""
ENTRIES_PER_COMMAND: Final = 1 << 20
"""Room for the order of the entries within one command."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched: words that all begin words of one text. `fields` empty: everywhere; `after`: of a page before.

    A field is `name`, `businessKey`, `taskName`, `variable:` for all variables or `variable:NAME` for one.
    """

    words: tuple[str, ...]
    fields: tuple[str, ...] = ()
    tenant_id: str | None = None
    after: tuple[str, str] | None = None
    size: int = 10


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Where the words were found."""

    owner_id: str
    field: str
    instance_id: str
    root_id: str


class SearchIndex(Protocol):
    """Finds; raises Unavailable while it is away."""

    def search(self, wish: Wish) -> Awaitable[Sequence[Hit]]:
        """Up to `size` hits behind `after`, in the order of owner and field."""
        ...


class SearchWriter(Protocol):
    """An index that is written beside the database. Raises Unavailable while it is away."""

    def write(self, entries: Sequence[SearchEntry]) -> Awaitable[None]:
        """Put entries in; one whose version is older than what is there changes nothing."""
        ...

    def forget(self, root_ids: Sequence[str], tenant_id: str | None = None) -> Awaitable[None]:
        """Take out all of these roots, or of this tenant."""
        ...


def entries_of(command: told.Told) -> Iterable[SearchEntry]:
    """What a command says that can be searched, in its order."""
    for n, happening in enumerate(command.happenings):
        version = command.sequence * ENTRIES_PER_COMMAND + n
        for owner_id, field, task_id, text in _said(happening):
            yield SearchEntry(
                owner_id=owner_id,
                field=field,
                instance_id=happening.instance_id,
                task_id=task_id,
                root_id=command.root_id,
                tenant_id=command.tenant_id,
                text=text,
                version=version,
            )


def _said(e: told.Happening) -> Iterable[tuple[str, str, str, str]]:
    """Owner, field, task and text."""
    if isinstance(e, told.InstanceStarted):
        if e.name:
            yield e.instance_id, NAME, "", e.name
        if e.business_key:
            yield e.instance_id, BUSINESS_KEY, "", e.business_key
    elif isinstance(e, told.InstanceUpdated):
        if "name" in e.changes:
            yield e.instance_id, NAME, "", e.changes["name"]
        if "business_key" in e.changes:
            yield e.instance_id, BUSINESS_KEY, "", e.changes["business_key"]
    elif isinstance(e, told.TaskCreated):
        if e.name:
            yield e.task_id, TASK_NAME, e.task_id, e.name
    elif isinstance(e, told.TaskUpdated):
        if "name" in e.changes:
            yield e.task_id, TASK_NAME, e.task_id, e.changes["name"] or ""
    elif isinstance(e, told.VariableSet):
        yield e.task_id or e.execution_id, VARIABLE + e.name, e.task_id, _text_of(e.value)
    elif isinstance(e, told.VariableRemoved):
        yield e.task_id or e.execution_id, VARIABLE + e.name, e.task_id, ""


def _text_of(value: Value) -> str:
    """What of a value has words; nothing of bytes and structures."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, datetime):
        return value.date().isoformat()
    return ""
