"""Searching: what of the stream can be found again, and the port that finds it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from history.app.queries import Scope
from history.model import happenings as told
from history.model.records import ProcessInstance, Task, Value
from history.model.search import BUSINESS_KEY, NAME, TASK_NAME, VARIABLE, SearchEntry, words_of
from mesh.paging import refuse

MAX_SEARCH_WORDS: Final = 8
"""Words that one search may ask for."""
MAX_SEARCH_SIZE: Final = 1_000
"""Hits of one page."""
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

    def forget(self, ids: Sequence[str]) -> Awaitable[None]:
        """Take out all that belongs to these instances and tasks."""
        ...

    def forget_texts(self, keys: Sequence[tuple[str, str]]) -> Awaitable[None]:
        """Take out texts by their owner and field."""
        ...

    def forget_tenant(self, tenant_id: str) -> Awaitable[None]:
        """Take out all that belongs to a tenant."""
        ...


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A hit with what is known of it."""

    hit: Hit
    instance: ProcessInstance | None
    task: Task | None


class Owners(Protocol):
    """Looks up what hits are of. Raises Unavailable."""

    def instances_by_id(self, ids: Sequence[str], scope: Scope) -> Awaitable[Mapping[str, ProcessInstance]]:
        """Those that are there and seen."""
        ...

    def tasks_by_id(self, ids: Sequence[str], scope: Scope) -> Awaitable[Mapping[str, Task]]:
        """Those that are there and seen."""
        ...


class Searching:
    """Searches an index, and shows only what the caller sees and the database still has."""

    def __init__(self, index: SearchIndex, owners: Owners) -> None:
        self._index = index
        self._owners = owners

    async def search(self, text: str, wish: Wish, scope: Scope) -> tuple[Sequence[Found], tuple[str, str] | None]:
        """A page of hits, and behind what the next one begins (None: this is the last).

        Raises InvalidArgument for a text without words or with more than `MAX_SEARCH_WORDS`, a field or a size that is
        none; Unavailable.
        """
        words = words_of(text)
        if not 1 <= len(words) <= MAX_SEARCH_WORDS:
            raise refuse(
                "text", f"expected 1 to {MAX_SEARCH_WORDS} words (limit: MAX_SEARCH_WORDS), found {len(words)}"
            )
        for field in wish.fields:
            if field not in (NAME, BUSINESS_KEY, TASK_NAME) and not field.startswith(VARIABLE):
                raise refuse("fields", f"expected name, businessKey, taskName or variable:NAME, found '{field[:40]}'")
        if not 1 <= wish.size <= MAX_SEARCH_SIZE:
            raise refuse("size", f"expected a size from 1 to {MAX_SEARCH_SIZE} (limit: MAX_SEARCH_SIZE)")
        tenant_id = scope if scope is not None else wish.tenant_id
        asked = msgspec.structs.replace(wish, words=tuple(words), tenant_id=tenant_id, size=wish.size + 1)
        hits = await self._index.search(asked)
        shown = hits[: wish.size]
        instances = await self._owners.instances_by_id([hit.instance_id for hit in shown if hit.instance_id], scope)
        tasks = await self._owners.tasks_by_id([hit.owner_id for hit in shown], scope)
        found = [Found(hit=hit, instance=instances.get(hit.instance_id), task=tasks.get(hit.owner_id)) for hit in shown]
        last = (shown[-1].owner_id, shown[-1].field) if len(hits) > wish.size else None
        # An index of its own may know for a moment what the database has let go.
        return [one for one in found if one.instance is not None or one.task is not None], last


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
