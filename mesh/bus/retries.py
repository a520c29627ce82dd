"""Handling with patience: finds out which message of a batch fails, holds it back with its key, parks it in the end.

Nothing here knows where messages come from, so every implementation of the bus retries in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Final

from mesh.bus.message import Message
from mesh.bus.ports import DeadLetters, GroupSettings, Handler, Parked
from mesh.clock import Clock
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)
MAX_ERROR_CHARACTERS: Final = 4000


class _Held:
    """A key whose first message failed: the messages that wait, and when to try again (monotonic seconds)."""

    def __init__(self, first: Message) -> None:
        self.waiting: deque[Message] = deque((first,))
        self.tries = 0
        self.due = 0.0
        self.error = ""


class Retries:
    """Between a group and its handler."""

    def __init__(
        self,
        group: str,
        handler: Handler,
        dead_letters: DeadLetters,
        settings: GroupSettings,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """`pause` waits so many seconds, or leaves by an exception that is no `Exception` if the group is to stop."""
        self._group = group
        self._handler = handler
        self._dead_letters = dead_letters
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._held: dict[str, _Held] = {}
        self._parked_keys: set[str] = set()
        self.failure = ""
        """What the surroundings lacked when the handler was tried last; empty if it worked."""

    async def load(self) -> None:
        """Begin anew: nothing is held; learn which keys are parked."""
        self._held.clear()
        self._parked_keys = set(await self._patiently(self._dead_letters.keys))

    def forget(self) -> None:
        """Hold nothing any more: it is read again."""
        self._held.clear()

    def waiting(self) -> Iterator[Message]:
        """The messages that wait for a try."""
        for held in self._held.values():
            yield from held.waiting

    @property
    def held(self) -> int:
        """How many messages wait for a try."""
        return sum(len(held.waiting) for held in self._held.values())

    def lowest_held(self) -> int | None:
        """The lowest sequence that waits for a try."""
        return min((held.waiting[0].sequence for held in self._held.values()), default=None)

    def is_held(self, sequence: int) -> bool:
        """Tell whether this message waits for a try."""
        return any(message.sequence == sequence for held in self._held.values() for message in held.waiting)

    def next_due(self) -> float | None:
        """When the next try is due, on the loop's clock; None if nothing is held."""
        return min((held.due for held in self._held.values()), default=None)

    async def handle(self, messages: Sequence[Message]) -> None:
        """Have the messages handled, held back or parked. Returns when each is one of it."""
        handling: list[Message] = []
        behind_parked: list[Parked] = []
        for message in messages:
            if message.key in self._parked_keys:
                behind_parked.append(self._letter(message, "an earlier message of the key is parked", 0))
            elif message.key in self._held:
                self._held[message.key].waiting.append(message)
            else:
                handling.append(message)
        if behind_parked:
            await self._patiently(lambda: self._dead_letters.park(behind_parked))
        if handling:
            await self._attempt(handling)

    async def retry_due(self) -> bool:
        """Try the held keys whose time has come; tell whether there were any."""
        now = asyncio.get_running_loop().time()
        due = [key for key, held in self._held.items() if held.due <= now]
        for key in due:
            held = self._held[key]
            failed = await self._try((held.waiting[0],))
            if failed is not None:
                await self._note_failure(key, held, failed)
                continue
            del self._held[key]
            held.waiting.popleft()
            if held.waiting:
                await self._attempt(list(held.waiting))
        return bool(due)

    async def replay(self, key: str) -> int:
        """Handle the parked messages of a key once each, in order, and forget those that succeed."""
        letters = await self._dead_letters.of_key(key)
        for done, letter in enumerate(letters):
            failed = await self._try((letter.message,))
            if failed is not None:
                _LOGGER.warning("%s: replay of %s fails again: %s", self._group, letter.message.event_id, failed)
                return done
            await self._dead_letters.drop((letter.message.sequence,))
        self._parked_keys.discard(key)
        return len(letters)

    async def discard(self, sequence: int) -> bool:
        """Forget a parked message; with the last of its key, the key is free."""
        found = await self._dead_letters.listed(1, sequence - 1)
        if not found or found[0].message.sequence != sequence:
            return False
        key = found[0].message.key
        await self._dead_letters.drop((sequence,))
        if not await self._dead_letters.of_key(key):
            self._parked_keys.discard(key)
        return True

    async def _attempt(self, messages: list[Message]) -> None:
        """Handle the batch; halve it where it fails, so that the rest of it is handled all the same."""
        stack = [messages]
        while stack:
            batch = stack.pop()
            free = [message for message in batch if message.key not in self._held]
            for message in batch:
                if message.key in self._held:
                    self._held[message.key].waiting.append(message)
            if not free:
                continue
            failed = await self._try(free)
            if failed is None:
                continue
            if len(free) > 1:
                half = len(free) // 2
                stack += (free[half:], free[:half])
                continue
            held = self._held[free[0].key] = _Held(free[0])
            await self._note_failure(free[0].key, held, failed)

    async def _try(self, messages: Sequence[Message]) -> Exception | None:
        """Handle once; wait for as long as the surroundings are away. Returns what the messages themselves caused."""
        try:
            await self._patiently(lambda: self._handler(messages))
        except Exception as failed:  # a handler may raise anything; it is kept with the message
            return failed
        return None

    async def _patiently(self, action: Callable[[], Awaitable[Collection[str] | None]]) -> Collection[str]:
        seconds = self._settings.away_seconds
        while True:
            try:
                found = await action()
            except Unavailable as away:
                if not self.failure:
                    _LOGGER.warning("%s waits: %s", self._group, away)
                self.failure = str(away)
                await self._pause(seconds)
                seconds = min(max(seconds * 2, 0.001), self._settings.max_retry_seconds)
            else:
                self.failure = ""
                return found or ()

    async def _note_failure(self, key: str, held: _Held, failed: Exception) -> None:
        held.tries += 1
        held.error = f"{type(failed).__name__}: {failed}"[:MAX_ERROR_CHARACTERS]
        if held.tries < self._settings.tries:
            pause = min(self._settings.retry_seconds * 2 ** (held.tries - 1), self._settings.max_retry_seconds)
            held.due = asyncio.get_running_loop().time() + pause
            return
        first = held.waiting[0]
        _LOGGER.error(
            "%s parks %s of key %s after %d tries", self._group, first.event_id, key, held.tries, exc_info=failed
        )
        letters = [self._letter(first, held.error, held.tries)]
        letters += [self._letter(m, "an earlier message of the key is parked", 0) for m in list(held.waiting)[1:]]
        await self._patiently(lambda: self._dead_letters.park(letters))
        self._parked_keys.add(key)
        del self._held[key]

    def _letter(self, message: Message, error: str, tries: int) -> Parked:
        return Parked(message=message, error=error, tries=tries, parked_at=self._clock.now())
