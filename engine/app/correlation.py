"""Bringing a message to the one subscription that it fits, or letting it start an instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.app.queries import (
    EventSubscriptionFilter,
    EventSubscriptionView,
    Page,
    ProcessInstanceFilter,
    RuntimeQueries,
)
from engine.app.repository import Commands
from engine.app.starting import StartAsk, Starting
from engine.app.submitting import first_answer
from engine.app.trees import MAX_INSTANCES, instances_below
from engine.kernel import commands as cmd
from engine.kernel.errors import NOT_FOUND, Refused, failed, not_found
from engine.kernel.state import MESSAGE
from engine.kernel.values import Value, Variable

ATTEMPTS: Final = 3
"""How often a message looks for its subscription, if the one that it found is gone when it arrives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelateAsk:
    """A message for an instance (or one that it called), for the instance with a business key, or for whoever waits."""

    name: str
    process_instance_id: str = ""
    business_key: str = ""
    tenant_id: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)
    transient_variables: dict[str, Variable] = field(default_factory=dict)
    user_id: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlated:
    """Who got the message; `execution_id` is empty if it started the instance."""

    process_instance_id: str
    execution_id: str = ""

    @property
    def started(self) -> bool:
        """Tell whether the message started the instance."""
        return not self.execution_id


class Correlation:
    """Delivers messages."""

    def __init__(self, commands: Commands, queries: RuntimeQueries, starting: Starting) -> None:
        self._commands = commands
        self._queries = queries
        self._starting = starting

    async def correlate(self, ask: CorrelateAsk) -> Correlated:
        """Deliver a message. Raises Refused: NOT_FOUND if nobody waits, FAILED_PRECONDITION if several do."""
        for attempt in range(1, ATTEMPTS + 1):
            found = await self._waiting(ask)
            # Two waits of one instance are equal to the sender: the older one gets it, the other waits on (Flowable).
            if not ask.process_instance_id and len({row.process_instance_id for row in found}) > 1:
                raise failed(
                    "message-ambiguous",
                    f"expected one execution to wait for message '{ask.name}', found several: name the instance",
                    message_name=ask.name,
                )
            if not found:
                return await self._unawaited(ask)
            try:
                return await self._deliver(ask, found[0])
            except Refused as refused:
                if refused.status != NOT_FOUND or attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _deliver(self, ask: CorrelateAsk, subscription: EventSubscriptionView) -> Correlated:
        command = cmd.DeliverMessage(
            user_id=ask.user_id,
            execution_id=subscription.execution_id,
            name=ask.name,
            variables=ask.variables,
            transient_variables=ask.transient_variables,
            subscription_id=subscription.id,
        )
        return _correlated(await self._commands.submit(command, request_id=ask.request_id))

    async def _waiting(self, ask: CorrelateAsk) -> list[EventSubscriptionView]:
        """Up to two subscriptions that the message fits."""
        if ask.process_instance_id:
            instances = await instances_below(self._queries, ask.process_instance_id)
        elif ask.business_key:
            instances = await self._with_business_key(ask)
        else:
            return await self._subscriptions(ask, None)
        found: list[EventSubscriptionView] = []
        for instance_id in instances:
            found += await self._subscriptions(ask, instance_id)
            if len(found) > 1:
                break
        return found

    async def _with_business_key(self, ask: CorrelateAsk) -> list[str]:
        wanted = ProcessInstanceFilter(
            business_key=ask.business_key,
            tenant_id=ask.tenant_id or None,
            without_tenant_id=not ask.tenant_id,
        )
        listed = await self._queries.list_process_instances(wanted, Page(size=MAX_INSTANCES))
        return [row.id for row in listed.rows]

    async def _subscriptions(self, ask: CorrelateAsk, instance_id: str | None) -> list[EventSubscriptionView]:
        wanted = EventSubscriptionFilter(
            event_type=MESSAGE,
            event_name=ask.name,
            process_instance_id=instance_id,
            tenant_id=ask.tenant_id or None,
            # An instance names its tenant by itself.
            without_tenant_id=instance_id is None and not ask.tenant_id,
        )
        # One message starts one process only, so among three rows two wait in instances if several do.
        listed = await self._queries.list_event_subscriptions(wanted, Page(size=3))
        return [row for row in listed.rows if row.execution_id]

    async def _unawaited(self, ask: CorrelateAsk) -> Correlated:
        # The same request may have taken the subscription before, so that nobody waits any more.
        first = await first_answer(self._commands, ask.request_id)
        if first is not None:
            return _correlated(first)
        if not ask.process_instance_id and not ask.business_key:
            return await self._start(ask)
        where = (
            f"in process instance '{ask.process_instance_id}'"
            if ask.process_instance_id
            else f"with business key '{ask.business_key}'"
        )
        raise not_found(
            "subscription-not-found",
            f"expected an execution {where} to wait for message '{ask.name}', found none",
            message_name=ask.name,
        )

    async def _start(self, ask: CorrelateAsk) -> Correlated:
        started = await self._starting.start(
            StartAsk(
                message=ask.name,
                tenant_id=ask.tenant_id,
                variables=ask.variables,
                transient_variables=ask.transient_variables,
                user_id=ask.user_id,
                request_id=ask.request_id,
            )
        )
        return Correlated(process_instance_id=started.view.id)


def _correlated(reply: Mapping[str, Value]) -> Correlated:
    """Read the reply of a delivery, or that of a start, which names no execution."""
    return Correlated(
        process_instance_id=str(reply.get("process_instance_id", "")), execution_id=str(reply.get("execution_id", ""))
    )
