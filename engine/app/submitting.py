"""How use cases hand over commands: several all or none, and asking for the first answer of a repeated request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.app.asks import NOBODY
from engine.app.repository import Commands
from engine.kernel.commands import Command, DeliverMessage
from engine.kernel.errors import NOT_FOUND, Refused
from engine.kernel.values import Value


class Bundles(Commands, Protocol):
    """Where commands go that belong together: the group commit."""

    async def submit_all(self, commands: Sequence[Command], *, request_id: str = "") -> Mapping[str, Value]:
        """Carry out one or more commands in this order, all or none; returns the first one's reply. Raises Refused."""
        ...


async def first_answer(commands: Commands, request_id: str) -> Mapping[str, Value] | None:
    """Return what this request was answered before; None if it was not, or names no request.

    For callers that look something up before they submit: what they look for may be gone because this same request
    took it.
    """
    if not request_id:
        return None
    try:
        return await commands.submit(DeliverMessage(execution_id=NOBODY, name=""), request_id=request_id)
    except Refused as refused:
        if refused.status != NOT_FOUND:
            raise
        return None
