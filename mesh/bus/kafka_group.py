"""A consumer group's member: reads partitions in a thread, handles in the event loop, commits after the effect.

The thread must go on asking Kafka while a handler waits for an hour, or the group would give its partitions away; so it
reads ahead into a bounded buffer and pauses the partitions when that is full. Partitions that go to another member are
given back only when what is under way with them has ended and their offsets are committed: no key is ever handled by
two members at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from mesh.bus.kafka_reader import Places, Reader
from mesh.bus.message import Message
from mesh.bus.ports import DeadLetters, GroupSettings, Handler, Position
from mesh.bus.retries import Retries
from mesh.clock import Clock
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)

BUFFERED_BATCHES: Final = 5
"""How many batches are read ahead."""
IDLE_SECONDS: Final = 1.0
MAX_REMEMBERED: Final = 10_000
"""Of how many messages we remember that they were handled, for who waits for one."""


class KafkaGroup:
    """A `Subscription` on Kafka."""

    def __init__(
        self,
        name: str,
        reader: Reader,
        handler: Handler,
        dead_letters: DeadLetters,
        settings: GroupSettings,
        clock: Clock,
    ) -> None:
        self.name = name
        self.dead_letters = dead_letters
        self._reader = reader
        self._settings = settings
        self._retries = Retries(name, handler, dead_letters, settings, clock, self._pause)
        self._buffer: deque[Message] = deque()
        self._next: Places = {}
        """The offset behind the last one that was handled, held back or parked, by partition."""
        self._committed: Places = {}
        self._stale = True
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._seen = 0
        self._recent: dict[int, None] = {}
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._failure = ""
        self._task: asyncio.Task[None] | None = None
        self._ended: Callable[[], object] = lambda: None

    @property
    def consumer_failure(self) -> str:
        """What the broker lacked when it was asked last; empty if it answers."""
        return self._reader.failure

    async def start(self, ended: Callable[[], object]) -> None:
        """Join the group."""
        self._ended = ended
        self._task = asyncio.create_task(self._run(), name=f"bus group {self.name}")
        self._reader.start(asyncio.get_running_loop(), self.take, self.let_go)

    async def stop(self) -> None:
        """Let the batch under way end, commit, and leave the group."""
        self._stopping.set()
        self._woken.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait((task,))
            await self._reader.stop(self._safe())
        self._ended()
        for _, waiter in self._waiters:
            waiter.cancel()
        self._waiters.clear()

    # --- called by the reader, in the event loop ---

    def take(self, messages: Sequence[Message], begins: Places) -> None:
        """Buffer what was read. `begins`: partitions that are ours since now, and where their reading begins."""
        if begins:
            self._next.update(begins)
            self._committed.update(begins)
            self._stale = True
        self._buffer.extend(messages)
        if len(self._buffer) >= self._settings.batch_messages * BUFFERED_BATCHES:
            self._reader.hold()
        self._woken.set()

    async def let_go(self, lost: Sequence[int]) -> Places:
        """End what is under way, forget all that is not handled, and return where every partition of ours stands."""
        self._interrupted.set()
        try:
            async with self._turn:
                safe = self._safe()
                self._buffer.clear()
                self._retries.forget()
                self._next = {partition: offset for partition, offset in safe.items() if partition not in lost}
                self._committed = dict(self._next)
                self._stale = True
        finally:
            self._interrupted.clear()
            self._woken.set()
        return safe

    # --- for whoever subscribed ---

    async def wait_until(self, sequence: int) -> None:
        """See `Subscription`. The message may be in a partition that another member has: then that must do."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._has_handled(sequence):
            return
        self._waiters.append((sequence, waiter))
        self._woken.set()
        await waiter

    async def position(self) -> Position:
        """See `Subscription`. `behind` counts what is in our partitions. Raises Unavailable without the broker."""
        ends = await self._reader.ends()
        lowest = self._retries.lowest_held()
        held = self._retries.held
        behind = sum(max(end - self._next.get(partition, 0), 0) for partition, end in ends.items())
        return Position(
            safe_sequence=self._seen if lowest is None else min(self._seen, lowest - 1),
            seen_sequence=self._seen,
            held=held,
            behind=behind + held,
        )

    async def replay(self, key: str) -> int:
        """See `Subscription`."""
        async with self._turn:
            try:
                return await self._retries.replay(key)
            except _CutShort:
                raise Unavailable("bus-group-stopped", f"expected the group {self.name} to be at work") from None

    async def discard(self, sequence: int) -> bool:
        """See `Subscription`."""
        async with self._turn:
            return await self._retries.discard(sequence)

    def has(self, partition: int) -> bool:
        """Tell whether we read this partition."""
        return partition in self._next

    async def probe(self) -> None:
        """Raise if the handler has not worked. While the broker is away we wait, and say so elsewhere."""
        failure = self._failure or self._retries.failure
        if failure:
            raise Unavailable("bus-group-waits", f"expected the group {self.name} to be at work, found: {failure}")

    # --- the loop ---

    async def _run(self) -> None:
        pause = self._settings.away_seconds
        while not self._stopping.is_set():
            try:
                async with self._turn:
                    busy = await self._round()
                pause = self._settings.away_seconds
                self._failure = ""
                if not busy:
                    await self._rest(self._until_next())
            except _CutShort:
                if self._interrupted.is_set():
                    # The reader wants partitions back; what we were at is read again.
                    await asyncio.sleep(0)
            except Exception as failed:  # the outer loop of a worker: whatever it is, it is tried again
                level = logging.WARNING if isinstance(failed, Unavailable) else logging.ERROR
                _LOGGER.log(level, "the group %s waits after: %s", self.name, failed, exc_info=not self._failure)
                self._failure = f"{type(failed).__name__}: {failed}"
                await self._sleep(pause)
                pause = min(max(pause * 2, 0.001), self._settings.max_retry_seconds)

    async def _round(self) -> bool:
        """Handle once; tell whether there may be more to do at once."""
        self._woken.clear()
        if self._stale:
            await self._retries.load()
            self._stale = False
        tried = await self._retries.retry_due()
        batch = self._batch()
        if batch:
            await self._retries.handle(batch)
            for message in batch:
                self._next[message.partition] = message.offset + 1
                self._seen = max(self._seen, message.sequence)
        self._remember(batch)
        if batch or tried:
            self._commit()
        return bool(batch) or tried

    def _batch(self) -> list[Message]:
        if self._retries.held >= self._settings.max_held:
            return []
        batch = [self._buffer.popleft() for _ in range(min(len(self._buffer), self._settings.batch_messages))]
        if len(self._buffer) <= self._settings.batch_messages:
            self._reader.go_on()
        return batch

    def _safe(self) -> Places:
        """Everything before these offsets was handled or parked."""
        safe = dict(self._next)
        for message in self._retries.waiting():
            safe[message.partition] = min(safe.get(message.partition, message.offset), message.offset)
        return safe

    def _commit(self) -> None:
        safe = self._safe()
        moved = {partition: offset for partition, offset in safe.items() if self._committed.get(partition) != offset}
        if moved:
            self._committed.update(moved)
            self._reader.commit(moved)

    def _remember(self, batch: Sequence[Message]) -> None:
        for message in batch:
            self._recent[message.sequence] = None
        while len(self._recent) > MAX_REMEMBERED:
            del self._recent[next(iter(self._recent))]
        handled = [entry for entry in self._waiters if self._has_handled(entry[0])]
        for entry in handled:
            self._waiters.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    def _has_handled(self, sequence: int) -> bool:
        if self._retries.is_held(sequence):
            return False
        return sequence in self._recent or (sequence <= self._seen and not self._buffer)

    def _until_next(self) -> float:
        due = self._retries.next_due()
        if due is None:
            return IDLE_SECONDS
        return max(min(due - asyncio.get_running_loop().time(), IDLE_SECONDS), 0.0)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _pause(self, seconds: float) -> None:
        await self._sleep(seconds)
        if self._stopping.is_set() or self._interrupted.is_set():
            raise _CutShort

    async def _sleep(self, seconds: float) -> None:
        waits: list[asyncio.Task[Any]] = [
            asyncio.ensure_future(self._stopping.wait()),
            asyncio.ensure_future(self._interrupted.wait()),
        ]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class _CutShort(BaseException):
    """The member stops, or must give partitions back, while something waits for a retry. No error: the way out."""
