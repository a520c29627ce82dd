"""A user's open tasks, cached: the pages of the list by assignee, which is what an inbox asks for again and again.

Pages are kept under a token of their assignee. Whatever happens to a task of somebody gives them another token, at the
moment of the commit, so no page has to be looked for to be forgotten. Where it cannot be told whose a task was (an
event took it away together with its activity), everybody gets another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from engine.app.queries.filters import TaskFilter
from engine.app.queries.paging import Listed, Page
from engine.app.queries.views import TaskView
from engine.app.unit_of_work import Committed, EventTypes
from engine.kernel import events as ev
from engine.kernel.rights import Rights

EVERYBODY: Final = "*"
"""Whose token changes with what concerns nobody in particular; no user has this id as a token's key."""
MAX_CACHED_ROWS: Final = 200
"""Longer pages are not kept: they are exports, not inboxes."""

_CHANGES_OF_ALL: Final[tuple[type[ev.Event], ...]] = (
    ev.ProcessInstanceSuspended,
    ev.ProcessInstanceActivated,
    ev.ProcessInstanceMigrated,
)

TaskPage: TypeAlias = Listed[TaskView]


class Tokens(Protocol):
    """Tokens by user (`mesh.cache`)."""

    async def get(self, key: str, load: Callable[[], Awaitable[str]]) -> str:
        """Return a token, a new one if there is none."""
        ...

    def invalidate_soon(self, *keys: str) -> None:
        """Let there be none."""
        ...


class Pages(Protocol):
    """Pages by token and question (`mesh.cache`)."""

    async def get(self, key: str, load: Callable[[], Awaitable[TaskPage]]) -> TaskPage:
        """Return a page, loaded if nobody has it."""
        ...


class TaskLists(Protocol):
    """Where the lists come from."""

    async def list_tasks(self, wanted: TaskFilter, page: Page) -> TaskPage:
        """Return a page."""
        ...


class OpenTasks:
    """Answers lists by assignee from the cache, all others from the database. `committed` must hear what it `HEARS`."""

    HEARS: Final[EventTypes] = frozenset((ev.TaskCreated, ev.TaskUpdated, ev.TaskEnded, *_CHANGES_OF_ALL))

    def __init__(
        self,
        lists: TaskLists,
        tokens: Tokens,
        pages: Pages,
        *,
        rights: Callable[[], Rights | None],
        new_id: Callable[[], str],
    ) -> None:
        """`rights` tells in the caller's task who asks: what they see is kept for them alone."""
        self._new_id = new_id
        self._lists = lists
        self._tokens = tokens
        self._pages = pages
        self._rights = rights

    async def list_tasks(self, wanted: TaskFilter, page: Page) -> TaskPage:
        """Return a page. Raises as the queries do."""
        if not _is_inbox(wanted) or (page.size or 0) > MAX_CACHED_ROWS:
            return await self._lists.list_tasks(wanted, page)
        assert wanted.assignee is not None, "an inbox is somebody's"
        rights = self._rights()
        if rights is not None and rights.own_tasks and rights.user_id != wanted.assignee:
            # What they see of another's inbox hangs on links, whose changes do not change the token.
            return await self._lists.list_tasks(wanted, page)
        # Before the list is read: what is committed afterwards changes the token, and the page is not found again.
        mine = await self._tokens.get(_key(wanted.assignee), self._new_token)
        all_ = await self._tokens.get(EVERYBODY, self._new_token)
        question = msgspec.json.encode((wanted.assignee, page, rights))
        key = f"{mine}.{all_}.{hashlib.sha256(question).hexdigest()[:32]}"

        async def load() -> TaskPage:
            return await self._lists.list_tasks(wanted, page)

        return await self._pages.get(key, load)

    async def _new_token(self) -> str:
        # Never the same again: a token that was counted could come back when both caches have forgotten it.
        return self._new_id()

    def committed(self, commits: Sequence[Committed]) -> None:
        """Forget the pages of those whose tasks changed; for `GroupCommit.listen`."""
        self.changed(event for commit in commits for event in commit.events)

    def changed_somehow(self) -> None:
        """Forget the pages of everybody."""
        self._tokens.invalidate_soon(EVERYBODY)

    def changed(self, events: Iterable[ev.Event]) -> None:
        """Forget the pages of those whose tasks these events changed."""
        people: set[str] = set()
        for event in events:
            # By class rather than by isinstance: this is for every event there is, and none has subclasses.
            if event.__class__ not in self.HEARS:
                continue
            if isinstance(event, ev.TaskCreated):
                people.add(_key(event.assignee))
            elif isinstance(event, ev.TaskUpdated):
                people.add(_former(event.assignee))
                after = event.changes.get("assignee")
                if isinstance(after, str):
                    people.add(_key(after))
            elif isinstance(event, ev.TaskEnded):
                people.add(_former(event.assignee))
            else:
                people.add(EVERYBODY)
        people.discard(_key(""))
        if people:
            self._tokens.invalidate_soon(*people)


def _key(user_id: str) -> str:
    return f"u{user_id}"


def _former(assignee: str | None) -> str:
    return EVERYBODY if assignee is None else _key(assignee)


def _is_inbox(wanted: TaskFilter) -> bool:
    return bool(wanted.assignee) and wanted == TaskFilter(assignee=wanted.assignee)
