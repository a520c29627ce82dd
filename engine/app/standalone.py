"""Tasks without a process, and what people say about tasks: rows, changed by small transactions of their own.

A command on a task goes to the group commit first; where that knows no such task it may be a standalone one, and the
same command is carried out on its row. So callers never ask which of the two a task is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from engine.app.asks import NOBODY
from engine.app.submitting import Bundles
from engine.kernel.commands import ClaimTask, Command, CompleteTask, DelegateTask, ResolveTask, UpdateTask
from engine.kernel.errors import NOT_FOUND, Refused, invalid
from engine.kernel.rights import Rights
from engine.kernel.state import Task
from engine.kernel.values import Value

Reply = Mapping[str, Value]
TaskCommand = CompleteTask | ClaimTask | DelegateTask | ResolveTask | UpdateTask

COMMENT, EVENT = "comment", "event"
ADD_COMMENT: Final = "AddComment"
MAX_TASKS: Final = 1000
"""Tasks that one call changes at most."""
UNKNOWN_TASK: Final = "task-not-found"
"""The reason of the refusal of a command on a task that no instance has."""


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """A remark (`kind` comment) or something that somebody did with a task (`kind` event). `instance_id` may be empty.

    `action` is Flowable's word: AddComment, AddUserLink, DeleteUserLink, AddGroupLink, DeleteGroupLink. `parts` are its
    message's parts; a remark has one.
    """

    id: str
    kind: str
    action: str
    task_id: str
    instance_id: str
    author: str
    parts: tuple[str, ...]
    at: datetime


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """Which task is to be deleted, and what its history says of it; `forget`: the history goes too."""

    task_id: str
    reason: str = ""
    forget: bool = False


class StandaloneTasks(Protocol):
    """Rows of standalone tasks. Blocking; each call is one transaction.

    `request_id`: a second call with the same one gets the first reply and changes nothing. Raises Refused.
    """

    def create(self, task: Task, request_id: str = "") -> Reply:
        """Insert a task; its `id` and `created_at` are the store's to give. The reply's `task_id` names it.

        Refused with NOT_FOUND if its parent does not exist.
        """
        ...

    def apply(self, command: Command, request_id: str = "") -> Reply:
        """Carry out a command on a task, its variables or its links, as the kernel would. NOT_FOUND: no such task."""
        ...

    def apply_all(self, commands: Sequence[Command], request_id: str = "") -> Reply:
        """Carry out commands, all or none, as `apply` would."""
        ...

    def delete(self, deletion: Deletion, request_id: str = "", rights: Rights | None = None) -> Reply:
        """Delete a task and the tasks below it. NOT_FOUND: none. PERMISSION_DENIED: it belongs to an instance.

        `rights` bind whoever asks.
        """
        ...


class Comments(Protocol):
    """Rows of remarks and events. Blocking; each call is one transaction."""

    def add(self, comment: Comment, request_id: str = "") -> Comment:
        """Insert one; its `id` and `at` are the store's to give. With a known request_id: the one of the first call."""
        ...

    def of_task(self, task_id: str) -> list[Comment]:
        """Remarks and events of a task, newest first."""
        ...

    def remove(self, task_id: str, comment_id: str, request_id: str = "") -> bool:
        """Delete a remark of a task; says whether there was one."""
        ...


class TaskCommands:
    """Carries out commands on tasks, whichever kind of task it is."""

    def __init__(
        self, commands: Bundles, standalone: StandaloneTasks, on_changed: Callable[[], None] | None = None
    ) -> None:
        """`on_changed` is told when a standalone task has changed, so that the bus looks into the outbox."""
        self._commands = commands
        self._standalone = standalone
        self._changed = on_changed or (lambda: None)

    async def submit(self, command: Command, *, request_id: str = "") -> Reply:
        """Carry out a command that names a task. Raises Refused."""
        try:
            return await self._commands.submit(command, request_id=request_id)
        except Refused as refused:
            if refused.reason != UNKNOWN_TASK:
                raise
        reply = await asyncio.to_thread(self._standalone.apply, command, request_id)
        self._changed()
        return reply

    async def submit_all(
        self, commands: Sequence[TaskCommand], *, standalone: Collection[str] = (), request_id: str = ""
    ) -> None:
        """Carry out commands that name different tasks; `standalone` says which of the tasks are. Raises Refused.

        All or none, where the tasks are all of instances or all standalone. Of a mixture those of instances come first,
        and stay done should the others be refused.
        """
        if len(commands) > MAX_TASKS:
            raise invalid(
                "too-many-tasks", f"expected at most {MAX_TASKS} tasks (limit: MAX_TASKS), found {len(commands)}"
            )
        own = [command for command in commands if command.task_id in standalone]
        others = [command for command in commands if command.task_id not in standalone]
        if others:
            part = request_part(request_id, "instances") if own else request_id
            await self.submit_on_instances(others, request_id=part)
        if own:
            part = request_part(request_id, "standalone") if others else request_id
            await self.submit_standalone(own, request_id=part)

    async def submit_on_instances(self, commands: Sequence[Command], *, request_id: str = "") -> object:
        """Carry out commands that are known to concern instances, all or none. Raises Refused."""
        return await self._commands.submit_all(commands, request_id=request_id)

    async def submit_standalone(self, commands: Sequence[Command], *, request_id: str = "") -> object:
        """Carry out commands on tasks that are known to be standalone, all or none. Raises Refused."""
        reply = await asyncio.to_thread(self._standalone.apply_all, commands, request_id)
        self._changed()
        return reply

    async def was_answered(self, request_id: str) -> bool:
        """Tell whether this request was carried out before, by whichever way."""
        if not request_id:
            return False
        try:
            await self.submit(ClaimTask(task_id=NOBODY, assignee=""), request_id=request_id)
        except Refused as refused:
            if refused.status != NOT_FOUND:
                raise
            return False
        return True

    async def create(self, task: Task, *, request_id: str = "") -> str:
        """Create a standalone task and return its id. Raises Refused: NOT_FOUND for its parent."""
        reply = await asyncio.to_thread(self._standalone.create, task, request_id)
        self._changed()
        return str(reply["task_id"])

    async def delete(self, deletion: Deletion, *, request_id: str = "") -> None:
        """Delete a standalone task. Raises Refused: NOT_FOUND, PERMISSION_DENIED for a task of an instance."""
        await asyncio.to_thread(self._standalone.delete, deletion, request_id)
        self._changed()


def request_part(request_id: str, part: str) -> str:
    """Return an id for one of several steps that a request makes; the same for the same two, empty for no request."""
    if not request_id:
        return ""
    # A request id may have 128 characters already, so the part cannot simply be appended.
    return f"{part}-{hashlib.sha256(f'{part}:{request_id}'.encode()).hexdigest()}"
