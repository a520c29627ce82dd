"""Sending a signal: to everybody who waits for it, by committed deliveries, or to one instance and what it called."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.app.queries import RuntimeQueries
from engine.app.repository import Commands
from engine.app.standalone import request_part
from engine.app.trees import instances_below
from engine.app.unit_of_work import SIGNAL, Throw
from engine.kernel import commands as cmd
from engine.kernel.errors import NOT_FOUND, Refused, not_found
from engine.kernel.values import Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalAsk:
    """A signal; `process_instance_id` empty: for everybody of the tenant.

    A broadcast that is not `awaited` is answered when it is committed, before its deliveries.
    """

    name: str
    process_instance_id: str = ""
    tenant_id: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)
    awaited: bool = True
    user_id: str = ""
    request_id: str = ""


class Signalling:
    """Sends signals."""

    def __init__(self, commands: Commands, queries: RuntimeQueries) -> None:
        self._commands = commands
        self._queries = queries

    async def send(self, ask: SignalAsk) -> int:
        """Send a signal and return to how many it went. Raises Refused: NOT_FOUND for the instance, the kernel's."""
        if ask.process_instance_id:
            return await self._send_inside(ask)
        command = Throw(
            kind=SIGNAL,
            name=ask.name,
            tenant_id=ask.tenant_id,
            variables=ask.variables,
            awaited=ask.awaited,
            user_id=ask.user_id,
        )
        reply = await self._commands.submit(command, request_id=ask.request_id)
        return int(reply.get("deliveries", 0))

    async def _send_inside(self, ask: SignalAsk) -> int:
        instances = await instances_below(self._queries, ask.process_instance_id)
        if not instances:
            raise not_found(
                "process-instance-not-found",
                f"expected a running process instance, found none with id '{ask.process_instance_id}'",
                process_instance_id=ask.process_instance_id,
            )
        delivered = 0
        for instance_id in instances:
            delivered += await self._send_to(ask, instance_id)
        return delivered

    async def _send_to(self, ask: SignalAsk, instance_id: str) -> int:
        command = cmd.DeliverSignal(
            execution_id=instance_id, name=ask.name, variables=ask.variables, user_id=ask.user_id
        )
        try:
            reply = await self._commands.submit(command, request_id=request_part(ask.request_id, instance_id))
        except Refused as refused:
            # One that was called ends when the signal moves its caller on; that nobody waits is no error either.
            if refused.status == NOT_FOUND and instance_id != ask.process_instance_id:
                return 0
            raise
        return int(reply.get("delivered", 0))
