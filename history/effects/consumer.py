"""What the bus calls: decodes a batch and has it recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from history.effects.events import decode
from history.model.happenings import Told
from mesh.bus.message import Message

Record: TypeAlias = Callable[[Sequence[Told]], Awaitable[None]]

INLINE_BYTES: Final = 256 * 1024
"""A batch with more payload than this is decoded in a thread, so that the event loop goes on answering."""


class Consumer:
    """A `mesh.bus.ports.Handler`."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.last_at: datetime | None = None
        """When the last message that was taken happened."""

    async def __call__(self, messages: Sequence[Message]) -> None:
        """Record the batch. Raises what decoding raises, or Unavailable while the database is away."""
        if sum(len(message.payload) for message in messages) > INLINE_BYTES:
            batch = await asyncio.to_thread(_decode_all, messages)
        else:
            batch = _decode_all(messages)
        await self._record(batch)
        self.last_at = messages[-1].occurred_at


def _decode_all(messages: Sequence[Message]) -> list[Told]:
    return [decode(message) for message in messages]
