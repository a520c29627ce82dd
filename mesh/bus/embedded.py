"""The embedded bus: every group reads the outbox table itself. No broker, the same promises.

    bus = EmbeddedBus("flowable.history", reader, offsets)
    group_commit.on_commit(bus.wake)             # sooner than the next poll
    subscription = await bus.subscribe("flowable.history", "history", handler, dead_letters)
    ...
    await bus.stop()

A group lives in one process at a time: the others stand by, and one takes over when the reading process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mesh.bus.cursor import Cursor
from mesh.bus.desk import EmbeddedDesk
from mesh.bus.message import Message
from mesh.bus.ports import (
    ClaimLost,
    DeadLetterDesk,
    DeadLetters,
    GroupSettings,
    Handler,
    Offsets,
    OutboxReader,
    Position,
    Subscription,
)
from mesh.bus.retries import Retries
from mesh.clock import Clock, SystemClock
from mesh.errors import InvalidArgument, Unavailable

_LOGGER: Final = logging.getLogger(__name__)

MAX_SETTLE_PAUSE_SECONDS: Final = 600.0
"""How long to leave writers alone, at most, after a transaction did not end while we waited for it."""

Append = Callable[[Sequence[Message]], Awaitable[None]]


class EmbeddedBus:
    """An `EventBus` over one outbox, whose rows all belong to one topic."""

    def __init__(
        self,
        topic: str,
        reader: OutboxReader,
        offsets: Offsets,
        *,
        append: Append | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`append` is for those who publish without writing the outbox in a transaction of their own."""
        self._topic = topic
        self._reader = reader
        self._offsets = offsets
        self._append = append
        self._clock = clock or SystemClock()
        self._groups: dict[str, _Group] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def topic(self) -> str:
        """The topic that it carries."""
        return self._topic

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append to the outbox and wake the groups.

        Raises InvalidArgument for another topic or an outbox that only its own service writes.
        """
        if self._append is None:
            raise InvalidArgument("outbox-not-writable", f"expected {self._topic} to be written in transactions only")
        for message in messages:
            self._check(message.topic)
        await self._append(messages)
        self.wake()

    async def subscribe(
        self,
        topic: str,
        group: str,
        handler: Handler,
        dead_letters: DeadLetters,
        settings: GroupSettings | None = None,
        *,
        applied_sequence: int | None = None,
    ) -> Subscription:
        """Start to deliver; see `EventBus`. Raises InvalidArgument for another topic, ValueError for a busy group."""
        self._check(topic)
        if group in self._groups:
            raise ValueError(f"expected one handler for the group {group}, found a second")
        self._loop = asyncio.get_running_loop()
        found = _Group(
            group, handler, dead_letters, settings or GroupSettings(), self._reader, self._offsets, self._clock,
            applied_sequence,
        )  # fmt: skip
        self._groups[group] = found
        found.start(lambda: self._groups.pop(group, None))
        return found

    async def read_all(self, topic: str, handler: Handler, batch_messages: int) -> int:
        """See `EventBus`. Who has a lower sequence and is not visible yet comes later, to the groups."""
        self._check(topic)
        end = await self._reader.last_sequence()
        at = count = 0
        while at < end:
            batch = [found for found in await self._reader.read(at, batch_messages) if found.sequence <= end]
            if not batch:
                break
            await handler(batch)
            at, count = batch[-1].sequence, count + len(batch)
        return count

    @property
    def desk(self) -> DeadLetterDesk:
        """The dead letters of the groups that are subscribed here."""
        return EmbeddedDesk(
            lambda: [(name, group.dead_letters, group) for name, group in self._groups.items()],
        )

    def wake(self) -> None:
        """Say that something was committed. Cheap; from any thread."""
        groups = tuple(self._groups.values())
        if self._loop is not None and any(not group.woken.is_set() for group in groups):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to wake
                self._loop.call_soon_threadsafe(self._wake_all)

    async def stop(self) -> None:
        """Stop every subscription."""
        await asyncio.gather(*(group.stop() for group in tuple(self._groups.values())))

    def _wake_all(self) -> None:
        for group in self._groups.values():
            group.woken.set()

    def _check(self, topic: str) -> None:
        if topic != self._topic:
            raise InvalidArgument("unknown-topic", f"expected the topic {self._topic}, found {topic}", topic=topic)


class _Group:
    """One consumer group: the loop that reads, delivers and remembers."""

    def __init__(
        self,
        name: str,
        handler: Handler,
        dead_letters: DeadLetters,
        settings: GroupSettings,
        reader: OutboxReader,
        offsets: Offsets,
        clock: Clock,
        applied_sequence: int | None,
    ) -> None:
        self.woken = asyncio.Event()
        self._name = name
        self._settings = settings
        self._reader = reader
        self._offsets = offsets
        self._applied_sequence = applied_sequence
        self.dead_letters = dead_letters
        self._retries = Retries(name, handler, dead_letters, settings, clock, self._pause)
        self._cursor = Cursor(0, gaps_can_fill=reader.gaps_can_fill)
        self._stored: int | None = None
        self._failure = "not claimed yet"
        self._settle_pause = settings.gap_patience_seconds
        self._settle_again = 0.0
        self._stopping = asyncio.Event()
        self._turn = asyncio.Lock()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._ended: Callable[[], object] = lambda: None

    def start(self, ended: Callable[[], object]) -> None:
        self._ended = ended
        self._task = asyncio.create_task(self._run(), name=f"bus group {self._name}")

    async def stop(self) -> None:
        self._stopping.set()
        self.woken.set()
        if self._task is not None:
            await asyncio.wait((self._task,))
            self._task = None
        self._ended()
        for _, waiter in self._waiters:
            waiter.cancel()
        self._waiters.clear()

    async def wait_until(self, sequence: int) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((sequence, waiter))
        self.woken.set()
        await waiter

    async def position(self) -> Position:
        last = await self._reader.last_sequence()
        held = self._retries.held
        return Position(
            safe_sequence=self._safe(),
            seen_sequence=self._cursor.seen,
            held=held,
            behind=max(last - self._cursor.seen, 0) + len(self._cursor.gaps) + held,
        )

    async def replay(self, key: str) -> int:
        async with self._turn:
            try:
                return await self._retries.replay(key)
            except _Stopped:
                raise Unavailable("bus-group-stopped", f"expected the group {self._name} to be at work") from None

    async def discard(self, sequence: int) -> bool:
        async with self._turn:
            return await self._retries.discard(sequence)

    async def probe(self) -> None:
        failure = self._failure or self._retries.failure
        if failure:
            raise Unavailable("bus-group-waits", f"expected the group {self._name} to be at work, found: {failure}")

    # --- the loop ---

    async def _run(self) -> None:
        pause = self._settings.away_seconds
        while not self._stopping.is_set():
            try:
                if self._stored is None and not await self._claim():
                    await self._rest(self._settings.poll_seconds)
                    continue
                async with self._turn:
                    busy = await self._round()
                pause = self._settings.away_seconds
                self._failure = ""
                if not busy:
                    await self._rest(self._until_next())
            except _Stopped:
                break
            except ClaimLost as lost:
                _LOGGER.warning("%s", lost)
                self._stored = None
            except Exception as failed:  # the outer loop of a worker: whatever it is, it is tried again
                level = logging.WARNING if isinstance(failed, Unavailable) else logging.ERROR
                _LOGGER.log(level, "the group %s waits after: %s", self._name, failed, exc_info=not self._failure)
                self._failure = f"{type(failed).__name__}: {failed}"
                # What was read may not have been handled; the durable offset knows what was.
                self._stored = None
                with contextlib.suppress(_Stopped):
                    await self._pause(pause)
                pause = min(max(pause * 2, 0.001), self._settings.max_retry_seconds)
        await self._let_go()

    async def _claim(self) -> bool:
        found = await self._offsets.claim(self._name)
        if found is None:
            self._failure = ""  # standing by is in order
            return False
        begin = found if self._applied_sequence is None else min(found, self._applied_sequence)
        if begin < found:
            _LOGGER.warning("%s begins anew at %d: its effects end before its offset %d", self._name, begin, found)
        # Whatever was held or seen under a former claim is read again.
        self._applied_sequence = None
        self._stored = begin
        self._cursor = Cursor(begin, gaps_can_fill=self._reader.gaps_can_fill)
        await self._retries.load()
        self._failure = ""
        return True

    async def _round(self) -> bool:
        """Read and deliver once; tell whether there may be more to do at once."""
        self.woken.clear()
        tried = await self._retries.retry_due()
        full = self._retries.held >= self._settings.max_held
        messages = [] if full else await self._read()
        if messages:
            await self._retries.handle(messages)
        settled = await self._settle_old_gaps()
        await self._remember()
        return bool(messages) or tried or settled

    async def _read(self) -> Sequence[Message]:
        """Read new messages and those that have appeared in gaps, in the order of their sequences.

        New ones first: if a message of a gap and a later one of its key become visible in between, the gap's reading,
        being the younger one, finds the former; the other way round the later one would come first.
        """
        limit = self._settings.batch_messages
        new: Sequence[Message] = ()
        if len(self._cursor.gaps) < self._settings.max_gaps:
            new = await self._reader.read(self._cursor.seen, limit)
        late = await self._read_gaps()
        if len(late) == limit:
            return late  # there may be more of them, and they must not come after their followers
        self._cursor.read([message.sequence for message in new], asyncio.get_running_loop().time())
        return sorted((*late, *new), key=lambda message: message.sequence) if late else new

    async def _read_gaps(self) -> Sequence[Message]:
        spans = self._cursor.spans
        if not spans:
            return ()
        late = await self._reader.in_spans(spans, self._settings.batch_messages)
        self._cursor.filled([message.sequence for message in late])
        return late

    async def _settle_old_gaps(self) -> bool:
        """Give up the gaps for which nobody is left who could fill them. Tell whether any was given up.

        To wait for writers makes new ones wait too, for as long as those under way take; so it is done rarely, and the
        more rarely the longer some transaction does not end.
        """
        now = asyncio.get_running_loop().time()
        oldest = self._cursor.oldest()
        crowded = len(self._cursor.gaps) >= self._settings.max_gaps
        if oldest is None or now < self._settle_again:
            return False
        if not crowded and now < oldest + self._settings.gap_patience_seconds:
            return False
        spans = self._cursor.spans
        if not await self._reader.settle():
            self._settle_pause = min(max(self._settle_pause * 2, 1.0), MAX_SETTLE_PAUSE_SECONDS)
            self._settle_again = now + self._settle_pause
            _LOGGER.warning("%s: a writer of the outbox does not end; %d gaps stay open", self._name, len(spans))
            return False
        self._settle_pause = self._settings.gap_patience_seconds
        while late := await self._read_gaps():
            await self._retries.handle(late)
        self._cursor.drop(spans)
        return True

    async def _remember(self) -> None:
        safe = self._safe()
        if self._stored is not None and safe > self._stored:
            await self._offsets.store(self._name, safe)
            self._stored = safe
        handled = [entry for entry in self._waiters if self._has_handled(entry[0])]
        for entry in handled:
            self._waiters.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    def _safe(self) -> int:
        lowest_held = self._retries.lowest_held()
        return self._cursor.safe if lowest_held is None else min(self._cursor.safe, lowest_held - 1)

    def _has_handled(self, sequence: int) -> bool:
        if sequence > self._cursor.seen:
            return False
        in_gap = any(first <= sequence <= last for first, last in self._cursor.spans)
        return not in_gap and not self._retries.is_held(sequence)

    def _until_next(self) -> float:
        """Seconds until there is something to do though nobody wakes."""
        now = asyncio.get_running_loop().time()
        seconds = self._settings.poll_seconds
        due = self._retries.next_due()
        if due is not None:
            seconds = min(seconds, due - now)
        oldest = self._cursor.oldest()
        if oldest is not None:
            # A transaction under way commits soon; its rows should not wait for the poll.
            seconds = min(seconds, max(now - oldest, 0.005))
        return max(seconds, 0.0)

    async def _rest(self, seconds: float) -> None:
        """Wait to be woken, then a little longer, so that the next batch is worth its transaction."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()
        if self._settings.linger_seconds and not self._stopping.is_set():
            await self._sleep(self._settings.linger_seconds)

    async def _pause(self, seconds: float) -> None:
        await self._sleep(seconds)
        if self._stopping.is_set():
            raise _Stopped

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _let_go(self) -> None:
        try:
            if self._stored is not None:
                await self._offsets.release(self._name)
        except Exception as failed:  # the claim ends with its connection in any case
            _LOGGER.warning("the group %s could not be released: %s", self._name, failed)
        self._stored = None


class _Stopped(BaseException):
    """The group is to stop while something waits for a retry. No error: the way out of the loop from deep inside."""
