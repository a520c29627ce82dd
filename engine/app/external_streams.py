"""Streams of jobs: a worker that listens gets jobs of its topic as they come, as many at once as it can do.

A commit in this process wakes listeners at once; for what other processes do, they look again from time to time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from engine.app.external_work import Acquire, ExternalWork, check_acquire
from engine.app.jobs import LeasedJob
from engine.app.unit_of_work import Committed, EventTypes
from engine.kernel import events as ev
from engine.kernel.state import EXTERNAL

ALIVE_SECONDS: Final = 15.0
"""After so long without news an empty message says that the stream lives."""
LOOK_SECONDS: Final = 2.0
"""How often a listener looks by itself for what other processes did."""
_LOOK: Final = timedelta(seconds=LOOK_SECONDS)
MIN_LOOK_SECONDS: Final = 0.005
CONTENDED_SECONDS: Final = 0.01


class Credits:
    """How many jobs more a worker takes. Owned by one stream, in the event loop."""

    __slots__ = ("granted", "left")

    def __init__(self) -> None:
        self.left = 0
        self.granted: Callable[[], None] | None = None

    def grant(self, count: int) -> None:
        """The worker takes so many more."""
        self.left += count
        if count and self.granted is not None:
            self.granted()


class _Listener:
    """One stream: what it holds, and whether it was woken. Without credits it may hold a number of jobs at once.

    `expects`: a commit told of a job. `due`: by the loop's clock, when to look even if nobody wakes. `full` and
    `blocked`: the last look found no room for more, or jobs that must wait for another one's end. `again`: it passed
    over jobs that somebody had under their hands.
    """

    __slots__ = ("again", "blocked", "credits", "due", "expects", "full", "held", "topic", "woken")

    def __init__(self, topic: str, worker_credits: Credits | None) -> None:
        self.topic = topic
        self.credits = worker_credits
        self.held: dict[str, datetime] = {}
        self.again = False
        self.blocked = False
        self.full = False
        self.expects = False
        self.due = 0.0
        self.woken = asyncio.Event()


class JobStreams:
    """All streams of this process. `on_committed` belongs to the group commit's listeners."""

    HEARS: Final[EventTypes] = frozenset((ev.JobScheduled, ev.JobEnded, ev.JobChanged))

    def __init__(
        self, work: ExternalWork, *, now: Callable[[], datetime], alive_seconds: float = ALIVE_SECONDS
    ) -> None:
        self._work = work
        self._now = now
        self._alive_seconds = alive_seconds
        self._waiting: dict[str, deque[_Listener]] = {}
        self._listeners: set[_Listener] = set()
        self._holders: dict[str, _Listener] = {}
        work.on_released = self.wake_all

    def on_committed(self, commits: Sequence[Committed]) -> None:
        """Wake whom the events of a commit concern."""
        if not self._listeners:
            return
        for committed in commits:
            for event in committed.events:
                if isinstance(event, ev.JobScheduled):
                    if event.kind == EXTERNAL:
                        self._wake_one(event.topic)
                elif isinstance(event, ev.JobEnded):
                    self._given_up(event.job_id)
                elif isinstance(event, ev.JobChanged):
                    # A job that was done becomes the engine's own, which goes on from it.
                    self._given_up(event.job_id, is_due_again=event.changes.get("kind", EXTERNAL) == EXTERNAL)

    def wake_all(self) -> None:
        """Let all listeners look again: leases were given back, or a clock was moved."""
        for listener in self._listeners:
            listener.woken.set()

    def _wake_one(self, topic: str) -> None:
        queue = self._waiting.get(topic)
        while queue:
            listener = queue.popleft()
            if not listener.woken.is_set():
                listener.expects = True
                listener.woken.set()
                return
        # Who is looking already finds this one too, or looks once more.
        for listener in self._listeners:
            if listener.topic == topic:
                listener.expects = True
                listener.woken.set()

    def _given_up(self, job_id: str, *, is_due_again: bool = False) -> None:
        """A job was reported or taken away: its holder has room, and its instance is free for the next one."""
        holder = self._holders.pop(job_id, None)
        if holder is not None:
            holder.held.pop(job_id, None)
            if is_due_again:
                holder.due = 0.0
            if is_due_again or holder.full:
                holder.woken.set()
        for listener in self._listeners:
            if listener.blocked:
                listener.woken.set()

    async def listen(
        self, ask: Acquire, worker_credits: Credits | None = None
    ) -> AsyncGenerator[Sequence[LeasedJob], None]:
        """Give jobs as they come, an empty batch to say that the stream lives.

        With credits as many as these allow, else at most `ask.count` held at once.

        Raises Refused (INVALID_ARGUMENT). Endless: whoever listens closes it. What it holds then comes free when the
        leases end.
        """
        check_acquire(ask)
        listener = _Listener(ask.topic, worker_credits)
        if worker_credits is not None:
            worker_credits.granted = lambda: listener.woken.set() if listener.full else None
        self._listeners.add(listener)
        try:
            quiet_since = self._loop_time()
            while True:
                listener.woken.clear()
                jobs, wait_seconds = await self._look(listener, ask)
                if jobs:
                    quiet_since = self._loop_time()
                    yield jobs
                    if listener.full or listener.again:
                        continue
                    # There was room for more than there were: whoever schedules another one wakes us.
                    wait_seconds = max(listener.due - self._loop_time(), 0.0)
                left = quiet_since + self._alive_seconds - self._loop_time()
                if left <= 0:
                    quiet_since = self._loop_time()
                    yield ()
                    continue
                await self._sleep(listener, min(wait_seconds, left))
        finally:
            self._forget(listener)

    async def _look(self, listener: _Listener, ask: Acquire) -> tuple[Sequence[LeasedJob], float]:
        """Jobs if there are any and there is room for them; else for how long (seconds) it is no use to look again."""
        now = self._now()
        for job_id in [job_id for job_id, until in listener.held.items() if until <= now]:
            del listener.held[job_id]
            self._holders.pop(job_id, None)
        room = ask.count - len(listener.held) if listener.credits is None else listener.credits.left
        listener.full = room <= 0
        if listener.full:
            return (), min(LOOK_SECONDS, self._seconds_to(min(listener.held.values(), default=now + _LOOK), now))
        expected, listener.expects = listener.expects, False
        found = await self._work.take(msgspec.structs.replace(ask, request_id=""), room, expected=expected)
        listener.blocked = found.blocked
        for job in found.jobs:
            listener.held[job.id] = job.until
            self._holders[job.id] = listener
        listener.full = len(found.jobs) >= room
        listener.again = found.contended
        if found.jobs:
            if listener.credits is not None:
                listener.credits.left -= len(found.jobs)
            return found.jobs, 0.0
        if found.contended:
            return (), CONTENDED_SECONDS
        loop_time = self._loop_time()
        if listener.due <= loop_time:
            # What this process schedules wakes the listener; this is for what becomes due, and for other processes.
            due = await self._work.next_available(ask.topic, now)
            seconds = LOOK_SECONDS if due is None else min(LOOK_SECONDS, self._seconds_to(due, now))
            listener.due = loop_time + seconds
            return (), seconds
        return (), listener.due - loop_time

    async def _sleep(self, listener: _Listener, seconds: float) -> None:
        if listener.woken.is_set():
            return
        queue = self._waiting.setdefault(listener.topic, deque())
        queue.append(listener)
        try:
            async with asyncio.timeout(seconds):
                await listener.woken.wait()
        except TimeoutError:
            pass
        finally:
            self._leave_queue(listener)

    def _leave_queue(self, listener: _Listener) -> None:
        queue = self._waiting.get(listener.topic)
        if queue is not None:
            if listener in queue:
                queue.remove(listener)
            if not queue:
                del self._waiting[listener.topic]

    def _forget(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        self._leave_queue(listener)
        for job_id in listener.held:
            self._holders.pop(job_id, None)

    @staticmethod
    def _seconds_to(moment: datetime, now: datetime) -> float:
        return max((moment - now) / timedelta(seconds=1), MIN_LOOK_SECONDS)

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()
