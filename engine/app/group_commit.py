"""The group commit: many callers, few transactions.

Whoever submits a command waits in one queue. A writer that is free takes whatever waits, up to a limit, and carries it
out as one transaction; no timers, so one lone command waits for nobody and a crowd shares one commit. Writers are
threads, each with a connection of its own.

When the database fails: a batch that was rolled back is tried again, then in halves down to single commands. While
there is no connecting, everybody is told so at once (UNAVAILABLE), and the writers keep trying in the background. A
commit whose answer got lost is looked up in the outbox before anything is answered or tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar, cast

from engine.app.asks import Ask
from engine.app.batch import Outcome, World
from engine.app.unit_of_work import (
    LATER_SIGNAL,
    MESSAGE,
    SIGNAL,
    Delivery,
    EventTypes,
    OnCommitted,
    Reply,
    Throw,
    UnitOfWork,
)
from engine.app.writers import STOP, Due, Entry, GroupCommitSettings, Shared, Work, Writer, unavailable
from engine.kernel import commands as cmd
from engine.kernel.errors import invalid
from mesh.errors import ResourceExhausted, Unavailable

T = TypeVar("T")

MAX_DELIVERY_DEPTH: Final = 8
"""How many throws in a row (a delivery that throws again) a caller waits for."""
DELIVERIES_AT_ONCE: Final = 256
MAX_REQUEST_ID: Final = 128
MAX_TOGETHER: Final = 1000
"""Commands that one caller may have carried out all or none."""

_log = logging.getLogger(__name__)


class GroupCommit:
    """Carries out commands. Submit from the event loop in which it was started."""

    def __init__(
        self,
        open_unit: Callable[[], UnitOfWork],
        world: World,
        settings: GroupCommitSettings,
        *,
        writers: int = 1,
        on_committed: Sequence[OnCommitted] = (),
    ) -> None:
        """`writers` applies where the settings leave it open. `open_unit` raises DatabaseAway if nobody answers."""
        self._world = world
        self._settings = settings
        self._listeners: list[tuple[OnCommitted, EventTypes | None]] = [(each, None) for each in on_committed]
        self._waiting = 0
        self._is_closing = False
        self._kick = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining: asyncio.Task[None] | None = None
        self._shared = Shared(
            open_unit=open_unit, world=world, settings=settings, on_answers=self._answer, on_kick=self._kick.set
        )
        count = settings.writers or writers
        if count == 1:
            self._shared.aside = self._shared.queue
        queues = (self._shared.queue, self._shared.aside)
        self._writers = [Writer(self._shared, n, queues[n % 2]) for n in range(count)]

    @property
    def is_away(self) -> bool:
        """Tell whether the database cannot be reached at present; for readiness."""
        return bool(self._shared.away)

    @property
    def waiting(self) -> int:
        """How many commands wait or are being carried out."""
        return self._waiting

    def listen(self, on_committed: OnCommitted, to: EventTypes | None = None) -> None:
        """Tell somebody of the commits from now on: of all, or of those of batches with an event of these types."""
        self._listeners.append((on_committed, to))

    async def start(self) -> None:
        """Start the writers and deliver what a former process left over."""
        self._shared.loop = asyncio.get_running_loop()
        # A writer that comes back from the database waits for the event loop's thread to let go of the interpreter.
        sys.setswitchinterval(self._settings.switch_interval_seconds)
        # A batch makes thousands of objects, few of them in cycles: to look for these as often as by default costs 4 %.
        gc.set_threshold(self._settings.collector_objects, *gc.get_threshold()[1:])
        for writer in self._writers:
            writer.start()
        self._draining = self._spawn(self._drain())

    async def stop(self) -> None:
        """Carry out what waits, then end the writers. New commands are refused meanwhile."""
        self._is_closing = True
        if self._draining is not None:
            self._draining.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.delivery_wait_seconds)
        self._shared.stopping.set()
        for writer in self._writers:
            writer.queue.put(STOP)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        for writer in self._writers:
            # A start that failed is followed by a stop, and must not be hidden by it.
            if writer.ident is not None:
                writer.join()

    async def submit(self, command: cmd.Command, *, request_id: str = "") -> Reply:
        """Carry out a command and return its reply; the same `request_id` again returns the first reply.

        What the command threw has arrived when this returns, within `delivery_wait_seconds`. Raises Refused,
        Unavailable (the database is away: whether it happened is told by a retry with the same request_id),
        ResourceExhausted (too many wait), or whatever a bug raised.
        """
        _check_request_id(request_id)
        return await self._enqueue(Ask(command, request_id=request_id))

    async def submit_all(self, commands: Sequence[cmd.Command], *, request_id: str = "") -> Reply:
        """Carry out commands on instances in this order in one transaction: all, or none if one of them is refused.

        Returns the first one's reply. Raises as `submit`, and ValueError for no or more than `MAX_TOGETHER` commands.
        """
        _check_request_id(request_id)
        if not 1 <= len(commands) <= MAX_TOGETHER:
            raise ValueError(f"expected 1 to {MAX_TOGETHER} commands (limit: MAX_TOGETHER), found {len(commands)}")
        others = [Ask(command) for command in commands[1:]]
        return await self._enqueue(Ask(commands[0], request_id=request_id, others=others))

    async def execute_due(self, limit: int = 64) -> int:
        """Execute up to `limit` due timers and asynchronous continuations as one batch, the longest due first.

        Returns how many were, failed attempts included. Trees that somebody else works on are passed over.
        """
        return cast("int", await self._put(lambda future: Due(limit, future)))

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run a transaction of the storage on a writer's connection; `work` commits or rolls back itself.

        It is run again after a deadlock or a lost connection (not if its COMMIT may have happened).
        """
        return cast("T", await self._put(lambda future: Work(work, future)))

    async def _put(self, make: Callable[[asyncio.Future[Any]], Entry]) -> Any:
        self._check_open()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._shared.aside.put(make(future))
        return await future

    async def _enqueue(self, ask: Ask) -> Reply:
        self._check_open(inner=ask.depth > 0)
        if self._waiting >= self._settings.queue_limit and not ask.depth:
            raise ResourceExhausted(
                "queue-full",
                f"expected at most {self._settings.queue_limit} commands to wait (limit: queue_limit), found as many",
                retry_after_seconds=1.0,
            )
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        ask.future = future
        self._waiting += 1
        self._shared.queue.put(ask)
        return await future

    def _check_open(self, *, inner: bool = False) -> None:
        if self._is_closing and not inner:
            raise Unavailable("shutting-down", "expected the engine to be running, found it shutting down")
        if self._shared.away:
            raise unavailable(self._shared.away)

    def _answer(self, asks: Sequence[Ask], outcomes: Sequence[Outcome]) -> None:
        self._waiting -= sum(1 for ask in asks if ask.due_job is None)
        deliveries = 0
        for outcome in outcomes:
            deliveries += outcome.deliveries
            if outcome.committed:
                happened = {event.__class__ for commit in outcome.committed for event in commit.events}
                for listener, wanted in self._listeners:
                    if wanted is None or not wanted.isdisjoint(happened):
                        listener(outcome.committed)
        for ask in asks:
            if deliveries and isinstance(ask.command, Throw) and not ask.command.awaited:
                self._kick.set()
                _settle(ask)
            elif deliveries and ask.throw_ids and ask.reply is not None:
                self._spawn(self._answer_after_deliveries(ask))
            else:
                _settle(ask)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _answer_after_deliveries(self, ask: Ask) -> None:
        if ask.depth >= MAX_DELIVERY_DEPTH:
            self._kick.set()
        else:
            try:
                async with asyncio.timeout(self._settings.delivery_wait_seconds):
                    while await self._deliver(ask.throw_ids, ask.depth + 1) == DELIVERIES_AT_ONCE:
                        pass
            except (TimeoutError, Unavailable):
                self._kick.set()
            except Exception:
                _log.exception("deliveries of command %s are left to the next round", ask.command_id)
                self._kick.set()
        _settle(ask)

    async def _deliver(self, throw_ids: Sequence[str], depth: int) -> int:
        now = self._world.clock.now()
        found: list[Delivery] = await self._put_inner(lambda unit: unit.deliveries(throw_ids, now, DELIVERIES_AT_ONCE))
        asks = [Ask(_command_of(delivery), delivery=delivery, depth=depth) for delivery in found]
        await asyncio.gather(*(self._enqueue(ask) for ask in asks))
        return len(found)

    async def _put_inner(self, work: Callable[[UnitOfWork], T]) -> T:
        self._check_open(inner=True)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._shared.aside.put(Work(work, future))
        return await future

    async def _drain(self) -> None:
        """Make deliveries that nobody waits for: left over by a crash, or refused and due again."""
        while True:
            try:
                while not self._shared.away and await self._deliver((), 1) == DELIVERIES_AT_ONCE:
                    pass
            except Unavailable:
                pass
            except Exception:
                _log.exception("deliveries are left to the next round")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.delivery_poll_seconds):
                    await self._kick.wait()
            self._kick.clear()


def _check_request_id(request_id: str) -> None:
    if len(request_id) > MAX_REQUEST_ID or not request_id.isprintable():
        raise invalid(
            "bad-request-id",
            f"expected a request_id of at most {MAX_REQUEST_ID} printable characters, found {len(request_id)}",
        )


def _command_of(delivery: Delivery) -> cmd.Command:
    if not delivery.root_id:
        return cmd.StartProcess(
            definition_id=delivery.definition_id,
            start_element_id=delivery.element_id,
            business_key=delivery.business_key,
            variables=delivery.variables,
        )
    if delivery.kind == LATER_SIGNAL:
        return cmd.DeliverSignal(
            execution_id=delivery.execution_id,
            name=delivery.name,
            variables=delivery.variables,
            subscription_id=delivery.key[1],
            asynchronous=True,
        )
    kinds: dict[str, type[cmd.DeliverSignal | cmd.DeliverMessage]] = {
        SIGNAL: cmd.DeliverSignal,
        MESSAGE: cmd.DeliverMessage,
    }
    return kinds[delivery.kind](
        execution_id=delivery.execution_id,
        name=delivery.name,
        variables=delivery.variables,
        subscription_id=delivery.key[1],
    )


def _settle(ask: Ask) -> None:
    future = ask.future
    if future is None or future.done():
        return
    if ask.error is not None:
        future.set_exception(ask.error)
    else:
        future.set_result(ask.reply)


__all__ = ["GroupCommit", "GroupCommitSettings"]
