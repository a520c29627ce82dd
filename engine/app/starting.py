"""Starting an instance: find the definition, start, and say what became of it, which may be its end already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from engine.app.definitions import StartTarget
from engine.app.queries import ProcessInstanceView, RuntimeQueries
from engine.app.repository import Commands
from engine.app.standalone import request_part
from engine.kernel import commands as cmd
from engine.kernel.definition import Definition
from engine.kernel.state import ACTIVE, COMPLETED, SUSPENDED
from engine.kernel.values import Value, Variable, parse_datetime
from mesh.clock import Clock
from mesh.errors import NotFound


class StartingDefinitions(Protocol):
    """What a start needs to know of definitions (`engine.app.definitions.DefinitionCache`)."""

    async def resolve_start(
        self,
        *,
        definition_id: str = "",
        key: str = "",
        message: str = "",
        version: int | None = None,
        tenant_id: str = "",
        default_tenant: str | None = None,
    ) -> StartTarget:
        """Return the definition and start event that exactly one of id, key and message names. Raises Refused."""
        ...

    def by_id(self, definition_id: str) -> Definition:
        """Return the compiled definition. Raises Refused (NOT_FOUND)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAsk:
    """A start; exactly one of `definition_id`, `key` and `message` is given. Texts that are not given are empty."""

    definition_id: str = ""
    key: str = ""
    message: str = ""
    version: int | None = None
    tenant_id: str = ""
    name: str = ""
    business_key: str = ""
    business_status: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)
    transient_variables: dict[str, Variable] = field(default_factory=dict)
    user_id: str = ""
    return_variables: bool = False
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The instance as it is after its start; `view.state` is also completed, terminated or failed if it has ended."""

    view: ProcessInstanceView

    @property
    def ended(self) -> bool:
        """Tell whether it is over already."""
        return self.view.state not in (ACTIVE, SUSPENDED)


class Starting:
    """Starts instances."""

    def __init__(
        self, commands: Commands, definitions: StartingDefinitions, queries: RuntimeQueries, clock: Clock
    ) -> None:
        self._commands = commands
        self._definitions = definitions
        self._queries = queries
        self._clock = clock

    async def start(self, ask: StartAsk) -> Started:
        """Start an instance. Raises Refused, as `resolve_start` and the kernel say."""
        target = await self._definitions.resolve_start(
            definition_id=ask.definition_id,
            key=ask.key,
            message=ask.message,
            version=ask.version,
            tenant_id=ask.tenant_id,
        )
        command = cmd.StartProcess(
            definition_id=target.definition_id,
            start_element_id=target.element_id,
            name=ask.name,
            business_key=ask.business_key,
            variables=ask.variables,
            transient_variables=ask.transient_variables,
            user_id=ask.user_id,
        )
        reply = await self._commands.submit(command, request_id=ask.request_id)
        instance_id = str(reply["process_instance_id"])
        if "state" in reply and not ask.return_variables:
            view = self._view(ask, reply)
        else:
            view = await self._look(ask, reply)
        if ask.business_status and view.state in (ACTIVE, SUSPENDED):
            await self._commands.submit(
                cmd.UpdateInstance(instance_id=instance_id, business_status=ask.business_status, user_id=ask.user_id),
                request_id=request_part(ask.request_id, "business-status"),
            )
            view = msgspec.structs.replace(view, business_status=ask.business_status)
        return Started(view=view)

    async def _look(self, ask: StartAsk, reply: Mapping[str, Value]) -> ProcessInstanceView:
        """Ask the read side; what it does not find any more has ended, and its variables are the history's."""
        try:
            return await self._queries.get_process_instance(
                reply["process_instance_id"], include_process_variables=ask.return_variables
            )
        except NotFound:
            return self._view(ask, {"state": COMPLETED, **reply})

    def _view(self, ask: StartAsk, reply: Mapping[str, Value]) -> ProcessInstanceView:
        """Put the answer together from the request, the reply and the definition, without asking the database."""
        definition = self._definitions.by_id(reply["process_definition_id"])
        started = reply.get("started_at")
        return ProcessInstanceView(
            id=reply["process_instance_id"],
            name=ask.name,
            business_key=ask.business_key,
            business_status="",
            process_definition_id=definition.id,
            process_definition_key=definition.key,
            process_definition_version=definition.version,
            process_definition_name=definition.name,
            process_definition_description=definition.documentation,
            activity_id=reply.get("activity_id", ""),
            start_user_id=ask.user_id,
            start_time=parse_datetime(started) if isinstance(started, str) else started or self._clock.now(),
            super_process_instance_id="",
            root_process_instance_id=reply["process_instance_id"],
            tenant_id=definition.tenant_id,
            state=reply["state"],
        )
