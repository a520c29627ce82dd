"""Starting an instance: find the definition, start, and say what became of it, which may be its end already.

The answer is put together from the events of the start, heard of at its commit, so that no query follows a start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from engine.app.asking import RightsOfCaller, nobody_asks
from engine.app.definitions import StartTarget, unknown_definition
from engine.app.queries import LOCAL, NamedVariable, ProcessInstanceView, RuntimeQueries
from engine.app.repository import Commands, DefinitionRecord
from engine.app.unit_of_work import Committed, EventTypes
from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel.definition import Definition
from engine.kernel.errors import MissingDefinition, invalid
from engine.kernel.state import ACTIVE, COMPLETED, SUSPENDED
from engine.kernel.values import Variable
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
        """Return the compiled definition if it is at hand. Raises MissingDefinition."""
        ...

    def compiled(self, definition_id: str) -> Definition:
        """Return the compiled definition, loaded if need be; blocking. Raises Refused (NOT_FOUND)."""
        ...

    def record(self, definition_id: str) -> DefinitionRecord:
        """Return what is stored of a definition, from the database if need be; blocking. Raises Refused (NOT_FOUND)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAsk:
    """A start; exactly one of `definition_id`, `key` and `message` is given. Texts that are not given are empty.

    `tenant_id` is where the definition is looked for; `override_tenant_id` becomes the instance's own tenant.
    """

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
    override_tenant_id: str = ""
    return_variables: bool = False
    callback_id: str = ""
    callback_type: str = ""
    reference_id: str = ""
    reference_type: str = ""
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
    """Starts instances. `committed` must hear of starts (`GroupCommit.listen`)."""

    HEARS: Final[EventTypes] = frozenset((ev.ProcessInstanceStarted,))

    def __init__(
        self,
        commands: Commands,
        definitions: StartingDefinitions,
        queries: RuntimeQueries,
        new_id: Callable[[], str],
        rights: RightsOfCaller = nobody_asks,
    ) -> None:
        """`new_id` mints the ids of new trees; `rights` bind whoever asks."""
        self._rights = rights
        self._commands = commands
        self._definitions = definitions
        self._queries = queries
        self._new_id = new_id
        self._awaited: dict[str, Sequence[ev.Event]] = {}

    def committed(self, commits: Sequence[Committed]) -> None:
        """Keep the events of the starts that are under way here; called before they are answered."""
        awaited = self._awaited
        for commit in commits:
            if commit.root_id in awaited and type(commit.events[0]) is ev.ProcessInstanceStarted:
                awaited[commit.root_id] = commit.events

    async def start(self, ask: StartAsk) -> Started:
        """Start an instance. Raises Refused, as `resolve_start` and the kernel say."""
        rights = self._rights()
        if ask.definition_id and rights is not None and rights.tenant_id is not None:
            # Before anything is said of a definition, such as that it is suspended.
            record = await asyncio.to_thread(self._definitions.record, ask.definition_id)
            if not rights.sees(record.tenant_id):
                raise unknown_definition(ask.definition_id)
        target = await self._definitions.resolve_start(
            definition_id=ask.definition_id,
            key=ask.key,
            message=ask.message,
            version=ask.version,
            tenant_id=ask.tenant_id,
        )
        if ask.definition_id and ask.tenant_id:
            self._check_tenant(ask)
        instance_id = self._new_id()
        command = cmd.StartProcess(
            definition_id=target.definition_id,
            instance_id=instance_id,
            start_element_id=target.element_id,
            name=ask.name,
            business_key=ask.business_key,
            business_status=ask.business_status,
            tenant_id=ask.override_tenant_id,
            variables=ask.variables,
            transient_variables=ask.transient_variables,
            user_id=ask.user_id,
            callback_id=ask.callback_id,
            callback_type=ask.callback_type,
            reference_id=ask.reference_id,
            reference_type=ask.reference_type,
        )
        self._awaited[instance_id] = ()
        try:
            reply = await self._commands.submit(command, request_id=ask.request_id)
        finally:
            events = self._awaited.pop(instance_id)
        started_id = str(reply["process_instance_id"])
        if events and started_id == instance_id:
            view = await self._view(events, with_variables=ask.return_variables)
        else:
            # A repeated request got its first answer, which is about another id than the one just minted.
            view = await self._look(started_id, str(reply["process_definition_id"]), ask)
        return Started(view=view)

    def _check_tenant(self, ask: StartAsk) -> None:
        tenant_id = self._definitions.by_id(ask.definition_id).tenant_id
        if tenant_id != ask.tenant_id:
            raise invalid(
                "wrong-tenant",
                f"expected the tenant of process definition {ask.definition_id}, '{tenant_id}', or none, "
                f"found '{ask.tenant_id}'",
                process_definition_id=ask.definition_id,
            )

    async def _view(self, events: Sequence[ev.Event], *, with_variables: bool) -> ProcessInstanceView:
        started = events[0]
        assert isinstance(started, ev.ProcessInstanceStarted), "only starts are kept"
        after = _after(events, started.instance_id)
        definition = await self._definition(started.definition_id)
        return ProcessInstanceView(
            id=started.instance_id,
            name=started.name,
            business_key=started.business_key,
            business_status=started.business_status,
            process_definition_id=started.definition_id,
            process_definition_key=started.definition_key,
            process_definition_version=started.definition_version,
            process_definition_name=started.definition_name,
            process_definition_description=definition.documentation,
            activity_id=after.activity_id,
            start_user_id=started.start_user_id,
            start_time=started.at,
            super_process_instance_id="",
            root_process_instance_id=started.instance_id,
            tenant_id=started.tenant_id,
            state=after.state,
            callback_id=started.callback_id,
            callback_type=started.callback_type,
            reference_id=started.reference_id,
            reference_type=started.reference_type,
            variables=after.named(started.instance_id) if with_variables else (),
        )

    async def _definition(self, definition_id: str) -> Definition:
        try:
            return self._definitions.by_id(definition_id)
        except MissingDefinition:
            # Where more definitions are at work than memory keeps, it may be gone again by now.
            return await asyncio.to_thread(self._definitions.compiled, definition_id)

    async def _look(self, instance_id: str, definition_id: str, ask: StartAsk) -> ProcessInstanceView:
        """Ask the read side; what it does not find any more has ended, and its variables are the history's."""
        try:
            return await self._queries.get_process_instance(instance_id, include_process_variables=ask.return_variables)
        except NotFound:
            definition = await self._definition(definition_id)
        return ProcessInstanceView(
            id=instance_id,
            name=ask.name,
            business_key=ask.business_key,
            business_status=ask.business_status,
            process_definition_id=definition.id,
            process_definition_key=definition.key,
            process_definition_version=definition.version,
            process_definition_name=definition.name,
            process_definition_description=definition.documentation,
            activity_id="",
            start_user_id=ask.user_id,
            start_time=_minted_at(instance_id),
            super_process_instance_id="",
            root_process_instance_id=instance_id,
            tenant_id=ask.override_tenant_id or definition.tenant_id,
            state=COMPLETED,
            callback_id=ask.callback_id,
            callback_type=ask.callback_type,
            reference_id=ask.reference_id,
            reference_type=ask.reference_type,
        )


@dataclass(slots=True)
class _After:
    """What the events of a start have left."""

    state: str = ACTIVE
    tokens: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)

    @property
    def activity_id(self) -> str:
        """The element where it waits, if it is only one."""
        places = set(self.tokens.values())
        return places.pop() if len(places) == 1 else ""

    def named(self, instance_id: str) -> tuple[NamedVariable, ...]:
        return tuple(
            NamedVariable(
                name=name, variable=variable, scope=LOCAL, process_instance_id=instance_id, scope_id=instance_id
            )
            for name, variable in sorted(self.variables.items())
        )


def _after(events: Sequence[ev.Event], instance_id: str) -> _After:
    """Read off the events what the instance is like after them; those of called instances are left out."""
    after = _After()
    tokens = after.tokens
    for event in events:
        if event.instance_id != instance_id:
            continue
        if type(event) is ev.ElementEnded:
            tokens.pop(event.execution_id, None)
        elif type(event) is ev.ElementQueued:
            tokens[event.execution_id] = event.element_id
        elif type(event) is ev.ElementStarted:
            # A scope has its tokens inside.
            if event.scope or event.body:
                tokens.pop(event.execution_id, None)
            else:
                tokens[event.execution_id] = event.element_id
        elif type(event) is ev.VariableSet:
            if event.scope_id == instance_id:
                after.variables[event.name] = Variable(event.type, event.value)
        elif type(event) is ev.VariableRemoved:
            if event.scope_id == instance_id:
                after.variables.pop(event.name, None)
        elif type(event) is ev.ProcessInstanceEnded:
            after.state = event.state
    return after


def _minted_at(instance_id: str) -> datetime:
    """The moment that an id carries, to the millisecond (RFC 9562, 5.7)."""
    return datetime.fromtimestamp(int(instance_id.replace("-", "")[:12], 16) / 1000, UTC)
