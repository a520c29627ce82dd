"""Changes of instances that take more than one step: deleting many, migrating, waking an execution."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from engine.app.asking import RightsOfCaller, nobody_asks
from engine.app.definitions import unknown_definition
from engine.app.queries import ExecutionView, ProcessInstanceView, RuntimeQueries
from engine.app.starting import StartingDefinitions
from engine.app.submitting import Bundles
from engine.kernel import commands as cmd
from engine.kernel.commands import Command
from engine.kernel.errors import invalid
from engine.kernel.values import Variable
from mesh.errors import NotFound

MAX_DELETED: Final = 1000
"""Process instances that one call deletes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationTarget:
    """The definition to go on by: its id, or its key with version (None: the latest) and tenant."""

    definition_id: str = ""
    key: str = ""
    version: int | None = None
    tenant_id: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Woken:
    """An execution as it is after an action, or as it last was if the action ended it."""

    view: ExecutionView
    ended: bool


class InstanceChanges:
    """Changes instances."""

    def __init__(
        self,
        commands: Bundles,
        definitions: StartingDefinitions,
        queries: RuntimeQueries,
        rights: RightsOfCaller = nobody_asks,
    ) -> None:
        """`rights` bind whoever asks: a definition of a tenant that they do not see is none to migrate to."""
        self._rights = rights
        self._commands = commands
        self._definitions = definitions
        self._queries = queries

    async def submit(self, command: Command, *, request_id: str = "") -> None:
        """Carry out one command. Raises Refused."""
        await self._commands.submit(command, request_id=request_id)

    async def update(self, instance_id: str, command: Command, *, request_id: str = "") -> ProcessInstanceView:
        """Carry out a command and return the instance after it. Raises Refused, NotFound."""
        await self._commands.submit(command, request_id=request_id)
        return await self._queries.get_process_instance(instance_id)

    async def delete_all(self, commands: Sequence[cmd.DeleteInstance], *, request_id: str = "") -> None:
        """Delete instances, all or none: an unknown one keeps all. Raises Refused: NOT_FOUND; INVALID_ARGUMENT."""
        if len(commands) > MAX_DELETED:
            raise invalid(
                "too-many-instances",
                f"expected at most {MAX_DELETED} process instances (limit: MAX_DELETED), found {len(commands)}",
            )
        await self._commands.submit_all(commands, request_id=request_id)

    async def migrate(
        self, command: cmd.MigrateInstance, target: MigrationTarget, *, request_id: str = ""
    ) -> Sequence[str]:
        """Migrate an instance, or only validate if the command says so; return what keeps it from working.

        `command.definition_id` is filled in from the target. Raises Refused: NOT_FOUND for instance or definition,
        INVALID_ARGUMENT without a target, FAILED_PRECONDITION where the migration cannot work.
        """
        ready = msgspec.structs.replace(
            command, definition_id=await self._definition_of(target), variables=target.variables
        )
        reply = await self._commands.submit(ready, request_id=request_id)
        return list(reply.get("messages", ()))

    async def _definition_of(self, target: MigrationTarget) -> str:
        if not target.definition_id and not target.key:
            raise invalid("no-migration-target", "expected a process definition to migrate to, found none")
        if target.definition_id:
            await self._check_seen(target.definition_id)
            return target.definition_id
        found = await self._definitions.resolve_start(
            key=target.key, version=target.version, tenant_id=target.tenant_id
        )
        return found.definition_id

    async def _check_seen(self, definition_id: str) -> None:
        rights = self._rights()
        if rights is None or rights.tenant_id is None:
            return
        record = await asyncio.to_thread(self._definitions.record, definition_id)
        if not rights.sees(record.tenant_id):
            raise unknown_definition(definition_id)

    async def wake(self, execution_id: str, command: Command, *, request_id: str = "") -> Woken:
        """Carry out an action on an execution and return what became of it. Raises Refused."""
        before = await self._look(execution_id)
        await self._commands.submit(command, request_id=request_id)
        after = await self._look(execution_id)
        return Woken(view=after or before or _gone(execution_id), ended=after is None)

    async def _look(self, execution_id: str) -> ExecutionView | None:
        try:
            return await self._queries.get_execution(execution_id)
        except NotFound:
            return None


def _gone(execution_id: str) -> ExecutionView:
    """An execution of which only its id is known: a repeated request asks for what its first call has ended."""
    return ExecutionView(
        id=execution_id,
        parent_id="",
        super_execution_id="",
        process_instance_id="",
        root_process_instance_id="",
        process_definition_id="",
        suspended=False,
        activity_id="",
        activity_type="",
        waiting=False,
        tenant_id="",
    )
