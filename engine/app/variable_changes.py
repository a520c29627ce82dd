"""Variables set and removed from outside, on tasks, executions and instances: which scope is meant, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from engine.app.queries import GLOBAL, LOCAL, RuntimeQueries, TaskQueries
from engine.app.repository import Commands
from engine.app.standalone import TaskCommands, request_part
from engine.kernel import commands as cmd
from engine.kernel.commands import Command
from engine.kernel.errors import ALREADY_EXISTS, Refused, invalid
from engine.kernel.values import Variable


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
    async def __call__(self, command: Command, *, request_id: str = "") -> object: ...


class _Names(Protocol):
    async def __call__(self, scope: str) -> set[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where variables go: the ids of the local and the global scope (empty: there is none), and by which way."""

    local_id: str
    global_id: str
    submit: _Submit
    names: _Names


class TaskVariables:
    """Changes variables as a task sees them: its own, or those of its process instance."""

    def __init__(self, commands: TaskCommands, queries: TaskQueries) -> None:
        self._commands = commands
        self._queries = queries

    async def set(self, task_id: str, change: VariableChange) -> None:
        """Set variables. Raises NotFound; Refused also for a global one of a task without process instance."""
        await _set(await self._place(task_id), change)

    async def remove(self, task_id: str, removal: VariableRemoval) -> None:
        """Remove variables. Raises as `set`."""
        await _remove(await self._place(task_id), removal)

    async def _place(self, task_id: str) -> _Place:
        task = await self._queries.get_task(task_id)

        async def names(scope: str) -> set[str]:
            return {found.name for found in await self._queries.list_task_variables(task_id, scope)}

        if not task.process_instance_id:
            return _Place(local_id=task.id, global_id="", submit=self._commands.submit_standalone, names=names)
        return _Place(
            local_id=task.execution_id, global_id=task.process_instance_id, submit=self._commands.submit, names=names
        )


class ExecutionVariables:
    """Changes variables of executions and of process instances."""

    def __init__(self, commands: Commands, queries: RuntimeQueries) -> None:
        self._commands = commands
        self._queries = queries

    async def set(self, execution_id: str, change: VariableChange) -> None:
        """Set variables. Raises NotFound; Refused: the kernel's."""
        await _set(await self._place(execution_id), change)

    async def remove(self, execution_id: str, removal: VariableRemoval) -> None:
        """Remove variables. Raises as `set`."""
        await _remove(await self._place(execution_id), removal)

    async def set_of_instance(self, instance_id: str, change: VariableChange) -> None:
        """Set variables of a process instance, whatever scope they say. Raises as `set`."""
        await _set(await self._instance(instance_id), change)

    async def remove_of_instance(self, instance_id: str, removal: VariableRemoval) -> None:
        """Remove variables of a process instance. Raises as `set`."""
        await _remove(await self._instance(instance_id), removal)

    async def _place(self, execution_id: str) -> _Place:
        found = await self._queries.get_execution(execution_id)
        return self._scopes(found.id, found.process_instance_id)

    async def _instance(self, instance_id: str) -> _Place:
        found = await self._queries.get_process_instance(instance_id)
        return self._scopes(found.id, found.id)

    def _scopes(self, local_id: str, global_id: str) -> _Place:
        async def names(scope: str) -> set[str]:
            return {found.name for found in await self._queries.list_execution_variables(local_id, scope)}

        return _Place(local_id=local_id, global_id=global_id, submit=self._commands.submit, names=names)


async def _set(place: _Place, change: VariableChange) -> None:
    parts = [(LOCAL, place.local_id, change.locals), (GLOBAL, place.global_id, change.globals)]
    wanted = [part for part in parts if part[2]]
    if change.globals and not place.global_id:
        raise invalid("no-global-scope", "expected local variables of a standalone task, found a global one")
    if len(wanted) > 1 and change.create_only:
        await _require_free(place, change)
    for scope, scope_id, variables in wanted:
        command = cmd.SetVariables(
            user_id=change.user_id,
            execution_id=scope_id,
            variables=variables,
            local=True,
            create_only=change.create_only,
            update_only=change.update_only,
        )
        # Of two scopes each is a command of its own, and each has its own first answer.
        request_id = change.request_id if len(wanted) == 1 else request_part(change.request_id, scope)
        await place.submit(command, request_id=request_id)


async def _require_free(place: _Place, change: VariableChange) -> None:
    for scope, variables in ((LOCAL, change.locals), (GLOBAL, change.globals)):
        taken = sorted(variables.keys() & await place.names(scope))
        if taken:
            raise Refused(
                ALREADY_EXISTS,
                "variable-exists",
                f"expected no {scope} variable '{taken[0]}', found one",
                name=taken[0],
            )


async def _remove(place: _Place, removal: VariableRemoval) -> None:
    scope_id = place.global_id if removal.scope == GLOBAL else place.local_id
    if not scope_id:
        raise invalid("no-global-scope", "expected the local scope of a standalone task, found the global one")
    command = cmd.RemoveVariables(
        user_id=removal.user_id, execution_id=scope_id, names=list(removal.names), strict=bool(removal.names)
    )
    await place.submit(command, request_id=removal.request_id)
