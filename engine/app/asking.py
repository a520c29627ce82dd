"""Handing on commands in the name of whoever is being served: with what binds them, wherever the command is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from engine.app.standalone import Deletion, StandaloneTasks
from engine.app.submitting import Bundles
from engine.kernel.commands import Command
from engine.kernel.rights import Rights
from engine.kernel.state import Task
from engine.kernel.values import Value

Reply: TypeAlias = Mapping[str, Value]

RightsOfCaller: TypeAlias = Callable[[], Rights | None]
"""Tells, in the task that serves a call, what binds the caller; None: nothing does, or nobody is being served."""


def nobody_asks() -> Rights | None:
    """Return that nothing binds whoever asks: the engine itself."""
    return None


class UserGroups(Protocol):
    """Knows the groups of users: identity."""

    async def groups_of(self, user_id: str) -> tuple[str, ...]:
        """Return the ids of a user's groups, none for an unknown user. Raises Unavailable."""
        ...


class NoGroups:
    """Knows no groups: where there is no identity."""

    async def groups_of(self, user_id: str) -> tuple[str, ...]:  # noqa: ARG002 - a UserGroups
        """Return none."""
        return ()


class AskedCommands:
    """Commands for the group commit."""

    def __init__(self, commands: Bundles, rights: RightsOfCaller) -> None:
        self._commands = commands
        self._rights = rights

    async def submit(self, command: Command, *, request_id: str = "") -> Reply:
        """Carry out a command. Raises Refused, Unavailable."""
        return await self._commands.submit(asked(command, self._rights()), request_id=request_id)

    async def submit_all(self, commands: Sequence[Command], *, request_id: str = "") -> Reply:
        """Carry out commands, all or none. Raises Refused, Unavailable."""
        rights = self._rights()
        return await self._commands.submit_all([asked(each, rights) for each in commands], request_id=request_id)


class AskedStandaloneTasks:
    """Commands for the rows of standalone tasks. Blocking, in a thread that has the caller's context."""

    def __init__(self, tasks: StandaloneTasks, rights: RightsOfCaller) -> None:
        self._tasks = tasks
        self._rights = rights

    def create(self, task: Task, request_id: str = "") -> Reply:
        """Insert a task."""
        return self._tasks.create(task, request_id)

    def apply(self, command: Command, request_id: str = "") -> Reply:
        """Carry out a command on a task."""
        return self._tasks.apply(asked(command, self._rights()), request_id)

    def apply_all(self, commands: Sequence[Command], request_id: str = "") -> Reply:
        """Carry out commands, all or none."""
        rights = self._rights()
        return self._tasks.apply_all([asked(each, rights) for each in commands], request_id)

    def delete(self, deletion: Deletion, request_id: str = "", rights: Rights | None = None) -> Reply:
        """Delete a task and the tasks below it."""
        return self._tasks.delete(deletion, request_id, rights or self._rights())


def asked(command: Command, rights: Rights | None) -> Command:
    """Return a command with the rights of whoever asks."""
    return command if rights is None else msgspec.structs.replace(command, rights=rights)
