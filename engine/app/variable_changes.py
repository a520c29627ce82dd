"""Variables set and removed from outside, on tasks, executions and instances: which scope is meant, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.app.asking import RightsOfCaller, nobody_asks
from engine.app.queries import GLOBAL, LOCAL, RuntimeQueries, TaskQueries
from engine.app.standalone import TaskCommands
from engine.app.submitting import Bundles, first_answer
from engine.kernel import commands as cmd
from engine.kernel.commands import Command
from engine.kernel.errors import invalid
from engine.kernel.rights import not_yours
from engine.kernel.values import Variable
from mesh.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableChange:
    """Variables to set, by scope. `create_only`: none of them may exist; `update_only`: all of them must."""

    globals: dict[str, Variable] = field(default_factory=dict)
    locals: dict[str, Variable] = field(default_factory=dict)
    create_only: bool = False
    update_only: bool = False
    user_id: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableRemoval:
    """Variables to remove from one scope; no names: all of it. A name that is not there is refused."""

    names: tuple[str, ...] = ()
    scope: str = LOCAL
    user_id: str = ""
    request_id: str = ""


class _Submit(Protocol):
    async def __call__(self, commands: Sequence[Command], *, request_id: str = "") -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where variables go: the ids of the local and the global scope (empty: there is none), and by which way."""

    local_id: str
    global_id: str
    submit: _Submit


class TaskVariables:
    """Changes variables as a task sees them: its own, or those of its process instance."""

    def __init__(self, commands: TaskCommands, queries: TaskQueries, rights: RightsOfCaller = nobody_asks) -> None:
        """`rights` bind whoever asks: the variables of a task are for those who work on it."""
        self._commands = commands
        self._queries = queries
        self._rights = rights

    async def set(self, task_id: str, change: VariableChange) -> None:
        """Set variables. Raises NotFound; Refused also for a global one of a task without process instance."""
        place = await self._place(task_id, change.request_id)
        if place is not None:
            await _set(place, change)

    async def remove(self, task_id: str, removal: VariableRemoval) -> None:
        """Remove variables. Raises as `set`."""
        place = await self._place(task_id, removal.request_id)
        if place is not None:
            await _remove(place, removal)

    async def _place(self, task_id: str, request_id: str) -> _Place | None:
        """Where the task's variables are; None if the request was answered before the task ended."""
        try:
            task = await self._queries.get_task(task_id)
        except NotFound:
            if await self._commands.was_answered(request_id):
                return None
            raise
        rights = self._rights()
        if rights is not None and rights.own_tasks and rights.user_id not in (task.assignee, task.owner):
            raise not_yours(task_id)
        if not task.process_instance_id:
            return _Place(local_id=task.id, global_id="", submit=self._commands.submit_standalone)
        return _Place(
            local_id=task.execution_id, global_id=task.process_instance_id, submit=self._commands.submit_on_instances
        )


class ExecutionVariables:
    """Changes variables of executions and of process instances.

    A repeated request whose execution has ended meanwhile gets its first answer.
    """

    def __init__(self, commands: Bundles, queries: RuntimeQueries) -> None:
        self._commands = commands
        self._queries = queries

    async def set(self, execution_id: str, change: VariableChange) -> None:
        """Set variables. Raises NotFound; Refused: the kernel's."""
        place = await self._of_execution(execution_id, change.request_id)
        if place is not None:
            await _set(place, change)

    async def remove(self, execution_id: str, removal: VariableRemoval) -> None:
        """Remove variables. Raises as `set`."""
        place = await self._of_execution(execution_id, removal.request_id)
        if place is not None:
            await _remove(place, removal)

    async def set_of_instance(self, instance_id: str, change: VariableChange) -> None:
        """Set variables of a process instance, whatever scope they say. Raises as `set`."""
        place = await self._of_instance(instance_id, change.request_id)
        if place is not None:
            await _set(place, change)

    async def remove_of_instance(self, instance_id: str, removal: VariableRemoval) -> None:
        """Remove variables of a process instance. Raises as `set`."""
        place = await self._of_instance(instance_id, removal.request_id)
        if place is not None:
            await _remove(place, removal)

    async def _of_execution(self, execution_id: str, request_id: str) -> _Place | None:
        try:
            found = await self._queries.get_execution(execution_id)
        except NotFound:
            if await first_answer(self._commands, request_id) is not None:
                return None
            raise
        return _Place(local_id=found.id, global_id=found.process_instance_id, submit=self._commands.submit_all)

    async def _of_instance(self, instance_id: str, request_id: str) -> _Place | None:
        try:
            found = await self._queries.get_process_instance(instance_id)
        except NotFound:
            if await first_answer(self._commands, request_id) is not None:
                return None
            raise
        return _Place(local_id=found.id, global_id=found.id, submit=self._commands.submit_all)


async def _set(place: _Place, change: VariableChange) -> None:
    if change.globals and not place.global_id:
        raise invalid("no-global-scope", "expected local variables of a standalone task, found a global one")
    parts = ((place.local_id, change.locals), (place.global_id, change.globals))
    commands = [
        cmd.SetVariables(
            user_id=change.user_id,
            execution_id=scope_id,
            variables=variables,
            local=True,
            create_only=change.create_only,
            update_only=change.update_only,
        )
        for scope_id, variables in parts
        if variables
    ]
    if commands:
        await place.submit(commands, request_id=change.request_id)


async def _remove(place: _Place, removal: VariableRemoval) -> None:
    scope_id = place.global_id if removal.scope == GLOBAL else place.local_id
    if not scope_id:
        raise invalid("no-global-scope", "expected the local scope of a standalone task, found the global one")
    command = cmd.RemoveVariables(
        user_id=removal.user_id, execution_id=scope_id, names=list(removal.names), strict=bool(removal.names)
    )
    await place.submit([command], request_id=removal.request_id)
