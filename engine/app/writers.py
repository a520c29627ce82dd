"""The threads of the group commit: each takes what waits, carries it out in one transaction, and deals with errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, TypeVar

from engine.app.asks import Ask
from engine.app.batch import Batch, Outcome, World
from engine.app.unit_of_work import DueJob, UnitOfWork
from engine.kernel import commands as cmd
from engine.kernel.errors import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, Refused
from mesh.db.errors import (
    CommitUnknown,
    ConnectionLost,
    DatabaseAway,
    DatabaseError,
    DuplicateKey,
    StatementTooLarge,
    TransactionConflict,
    ValueTooLong,
    classify,
)
from mesh.errors import Unavailable
from mesh.settings import setting

T = TypeVar("T")

_WHOLE_ATTEMPTS: Final = 3
_FIRST_PAUSE_SECONDS: Final = 0.005
_LONGEST_PAUSE_SECONDS: Final = 0.25
_RECONNECT_SECONDS: Final = 1.0
_CANDIDATE_ROUNDS: Final = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCommitSettings:
    """How commands share transactions."""

    writers: int = setting(0, doc="Connections that write; 0: one on SQLite, four elsewhere.", minimum=0, maximum=32)
    batch_limit: int = setting(64, doc="Commands that share a transaction at most.", minimum=1, maximum=1000)
    queue_limit: int = setting(10_000, doc="Commands that wait at most; more are refused.", minimum=1)
    conflict_seconds: float = setting(10.0, doc="How long a command goes on against deadlocks and lock timeouts.")
    delivery_wait_seconds: float = setting(5.0, doc="How long a caller waits for what its command threw to arrive.")
    delivery_poll_seconds: float = setting(
        1.0, doc="How often deliveries that are left over are looked for.", minimum=0.01
    )
    patience_seconds: float = setting(
        0.05, doc="How long a writer waits for the one at work before it works beside it.", minimum=0.0
    )
    switch_interval_seconds: float = setting(
        0.001, doc="How long a thread may keep the interpreter while a writer waits for it."
    )
    collector_objects: int = setting(
        20_000, doc="New objects after which the interpreter looks for garbage in cycles.", minimum=700
    )


class Work:
    """A transaction of somebody else's, run by a writer."""

    __slots__ = ("future", "run")

    def __init__(self, run: Callable[[UnitOfWork], Any], future: asyncio.Future[Any]) -> None:
        self.run = run
        self.future = future


class Due:
    """The wish to execute due jobs; the future gets how many were."""

    __slots__ = ("future", "limit")

    def __init__(self, limit: int, future: asyncio.Future[int]) -> None:
        self.limit = limit
        self.future = future


STOP: Final = None
"""Ends the writer that takes it."""
Entry = Ask | Work | Due | None


@dataclass(slots=True, kw_only=True)
class Shared:
    """What all writers and the event loop share. `away` says why the database cannot be reached; empty if it can.

    Commands wait in `queue`; due jobs and transactions of the storage in `aside`, which is the same one if there is but
    one writer. `executing`: ids of the due jobs that some writer of this process is at.
    """

    open_unit: Callable[[], UnitOfWork]
    world: World
    settings: GroupCommitSettings
    on_answers: Callable[[Sequence[Ask], Sequence[Outcome]], None]
    on_kick: Callable[[], None]
    queue: SimpleQueue[Entry] = field(default_factory=SimpleQueue)
    aside: SimpleQueue[Entry] = field(default_factory=SimpleQueue)
    stopping: threading.Event = field(default_factory=threading.Event)
    turn: threading.Lock = field(default_factory=threading.Lock)
    executing: set[str] = field(default_factory=set)
    executing_lock: threading.Lock = field(default_factory=threading.Lock)
    loop: asyncio.AbstractEventLoop | None = None
    away: str = ""

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        assert self.loop is not None, "expected the group commit to be started"
        # A loop that was closed has nobody left who waits for an answer.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback, *arguments)

    def answer(self, asks: Sequence[Ask], outcomes: Sequence[Outcome]) -> None:
        """Let the event loop answer."""
        self._tell(self.on_answers, asks, outcomes)

    def kick(self) -> None:
        """Let the event loop look for deliveries."""
        self._tell(self.on_kick)

    def succeed(self, future: asyncio.Future[Any], result: Any) -> None:
        """Give a future its result."""
        self._tell(_succeed, future, result)

    def fail(self, future: asyncio.Future[Any], error: Exception) -> None:
        """Give a future its error."""
        self._tell(_fail, future, error)


class Writer(threading.Thread):
    """One connection and the thread that uses it, for the commands or for what is done aside of them."""

    def __init__(self, shared: Shared, number: int, queue: SimpleQueue[Entry]) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self._shared = shared
        self._number = number
        self.queue = queue
        self._unit: UnitOfWork | None = None
        self._offset = 0

    def run(self) -> None:
        """Serve the queue until told to stop."""
        queue = self.queue
        self._reconnect()
        while True:
            entry = queue.get()
            while entry is not STOP:
                entry = self._serve(entry)
                if entry is None:
                    entry = queue.get()
                elif isinstance(entry, _End):
                    entry = STOP
            break
        if self._unit is not None:
            self._unit.close()

    def _serve(self, entry: Any) -> Any:
        """Serve an entry, with all asks that wait behind it; return what was taken too much."""
        following: Any = None
        # Writers side by side would cut the queue into smaller transactions, which cost a fifth more: normally one is
        # at work while the queue grows. One that is held up (a tree locked elsewhere) does not hold up the others.
        # What is done aside is as large as it is: there one computes while the database is at another one's batch.
        waits = isinstance(entry, Ask)
        has_turn = waits and self._shared.turn.acquire(timeout=self._shared.settings.patience_seconds)
        try:
            if isinstance(entry, Ask):
                asks, following = self._gather(entry)
                self._perform(asks)
            elif isinstance(entry, Due):
                self._execute_due(entry)
            else:
                self._work(entry)
        finally:
            if has_turn:
                self._shared.turn.release()
        if self._shared.away:
            self._reconnect()
        return following

    def _gather(self, first: Ask) -> tuple[list[Ask], Any]:
        """Take what waits, up to the limit; whose caller has gone meanwhile is left out."""
        asks = [first]
        queue = self.queue
        limit = self._shared.settings.batch_limit
        following: Any = None
        while len(asks) < limit:
            try:
                entry = queue.get_nowait()
            except Empty:
                break
            if not isinstance(entry, Ask):
                following = _End() if entry is STOP else entry
                break
            asks.append(entry)
        return asks, following

    def _perform(self, asks: list[Ask]) -> None:
        live = [ask for ask in asks if not (ask.future is not None and ask.future.cancelled())]
        outcomes: list[Outcome] = []
        if live:
            self._settle(live, outcomes)
        self._shared.answer(asks, outcomes)

    def _settle(self, asks: list[Ask], outcomes: list[Outcome], *, skip_locked: bool = False) -> None:
        """Give every ask its answer; outcomes are added in the order of commits."""
        deadline = monotonic() + self._shared.settings.conflict_seconds
        pause = _FIRST_PAUSE_SECONDS * (1 + self._number)
        attempt = 0
        problem: Exception
        while True:
            attempt += 1
            try:
                unit = self._connected()
                asks = self._without_committed(unit, asks)
                if asks:
                    outcomes.append(Batch(unit, self._shared.world, asks, skip_locked=skip_locked).run())
                return
            except DatabaseAway as away:
                self._shared.away = str(away) or "no connection"
                for ask in asks:
                    unknown = _final(CommitUnknown(str(away))) if ask.doubtful else unavailable(self._shared.away)
                    ask.reply, ask.error = None, unknown
                return
            except CommitUnknown as lost:
                problem = lost
                for ask in asks:
                    ask.doubtful = True
            except DuplicateKey as taken:
                # Somebody else answered the same request_id first, which the next look will find.
                problem = taken
            except (ConnectionLost, TransactionConflict) as error:
                problem = error
                self._shared.stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            except Exception as error:  # the storage's bugs too are tried in halves, to find whose they are
                problem = error
                break
            if attempt >= _WHOLE_ATTEMPTS and (
                len(asks) > 1 or monotonic() > deadline or isinstance(problem, DuplicateKey)
            ):
                break
        if len(asks) > 1:
            middle = len(asks) // 2
            self._settle(asks[:middle], outcomes, skip_locked=skip_locked)
            self._settle(asks[middle:], outcomes, skip_locked=skip_locked)
        else:
            asks[0].reply, asks[0].error = None, _final(problem)

    def _without_committed(self, unit: UnitOfWork, asks: list[Ask]) -> list[Ask]:
        """Answer those whose commit got no answer and yet happened."""
        doubtful = [ask for ask in asks if ask.doubtful and ask.command_id]
        if not doubtful:
            return asks
        replies = unit.committed([ask.command_id for ask in doubtful])
        for ask in doubtful:
            if ask.command_id in replies:
                ask.reply, ask.error = replies[ask.command_id], None
                # Listeners heard nothing of it, and it may have thrown something.
                self._shared.kick()
        return [ask for ask in asks if ask.command_id not in replies]

    def _execute_due(self, due: Due) -> None:
        """Candidates first, without any lock; then one batch of them, passing over trees that others hold."""
        asks: list[Ask] = []
        outcomes: list[Outcome] = []
        try:
            asks = self._candidates(due.limit)
        except Exception as error:
            self._shared.fail(due.future, self._mapped(error))
            return
        try:
            if asks:
                self._settle(asks, outcomes, skip_locked=True)
        finally:
            with self._shared.executing_lock:
                self._shared.executing.difference_update([ask.due_job.id for ask in asks if ask.due_job is not None])
        committed = {one.command_id for outcome in outcomes for one in outcome.committed}
        executed = sum(1 for ask in asks if ask.command_id in committed or (ask.reply and "failed" in ask.reply))
        # Whoever finds the first ones taken looks further behind the next time.
        self._offset = (self._offset + due.limit) % (due.limit * _CANDIDATE_ROUNDS) if executed < len(asks) // 2 else 0
        problem = next((ask.error for ask in asks if ask.error is not None), None)
        self._shared.answer(asks, outcomes)
        if isinstance(problem, Unavailable):
            self._shared.fail(due.future, problem)
        else:
            self._shared.succeed(due.future, executed)

    def _candidates(self, limit: int) -> list[Ask]:
        """Due jobs that no other writer of this process is at."""
        shared = self._shared
        now = shared.world.clock.now()
        looked_at = (limit * _CANDIDATE_ROUNDS if self._offset else limit) + len(shared.executing)
        found: list[DueJob] = self._retried(lambda unit: unit.due_jobs(now, looked_at))
        with shared.executing_lock:
            free = [job for job in found if job.id not in shared.executing]
            chosen = free[self._offset : self._offset + limit] or free[:limit]
            shared.executing.update([job.id for job in chosen])
        return [Ask(_execution_of(job), due_job=job) for job in chosen]

    def _work(self, work: Work) -> None:
        try:
            result = self._retried(work.run)
        except Exception as error:
            self._shared.fail(work.future, self._mapped(error))
        else:
            self._shared.succeed(work.future, result)

    def _retried(self, run: Callable[[UnitOfWork], T]) -> T:
        """Run a transaction, again after what a retry can heal."""
        deadline = monotonic() + self._shared.settings.conflict_seconds
        while True:
            unit = self._connected()
            try:
                return run(unit)
            except (DatabaseAway, CommitUnknown, StatementTooLarge, ValueTooLong):
                raise
            except DatabaseError:
                if monotonic() > deadline:
                    raise
                self._shared.stopping.wait(_FIRST_PAUSE_SECONDS * (1 + self._number))
            except BaseException:
                unit.rollback()
                raise

    def _mapped(self, error: Exception) -> Exception:
        if isinstance(error, DatabaseAway):
            self._shared.away = str(error) or "no connection"
        return _final(error)

    def _connected(self) -> UnitOfWork:
        if self._unit is None or not self._unit.is_open:
            self._unit = None
            self._unit = self._shared.open_unit()
        return self._unit

    def _reconnect(self) -> None:
        """Try until the database answers; tell everybody who waits that it does not."""
        shared = self._shared
        pause = 0.0
        while not shared.stopping.wait(pause):
            try:
                self._connected()
            except Exception as error:
                if not isinstance(classify(error), DatabaseAway | ConnectionLost):
                    _log.exception("the database refuses us")
                shared.away = str(error) or "no connection"
                self._turn_away()
                pause = min(pause * 2 or 0.05, _RECONNECT_SECONDS)
            else:
                if shared.away:
                    shared.away = ""
                    shared.kick()
                return

    def _turn_away(self) -> None:
        shared = self._shared
        kept: list[Entry] = []
        while True:
            try:
                entry = self.queue.get_nowait()
            except Empty:
                break
            if isinstance(entry, Ask):
                entry.error = unavailable(shared.away)
                shared.answer([entry], [])
            elif entry is STOP:
                kept.append(entry)
            else:
                shared.fail(entry.future, unavailable(shared.away))
        for entry in kept:
            self.queue.put(entry)


class _End:
    """A stop that was met while gathering."""


def _execution_of(job: DueJob) -> cmd.Command:
    if job.root_id:
        return cmd.ExecuteJob(job_id=job.id)
    return cmd.StartProcess(definition_id=job.definition_id)


def unavailable(why: str) -> Unavailable:
    return Unavailable(
        "database-away", f"expected the database to answer, found it away ({why})", retry_after_seconds=1.0
    )


def _final(error: Exception) -> Exception:
    """What a caller is told of an error that no retry healed."""
    if isinstance(error, CommitUnknown):
        return Unavailable(
            "outcome-unknown",
            "expected the commit to be answered, found the connection lost: ask again with the same request_id",
            retry_after_seconds=1.0,
        )
    if isinstance(error, StatementTooLarge):
        return Refused(RESOURCE_EXHAUSTED, "statement-too-large", f"{error} (limit: the server's max_allowed_packet)")
    if isinstance(error, ValueTooLong):
        return Refused(INVALID_ARGUMENT, "text-too-long", f"expected texts that fit their columns, found: {error}")
    if isinstance(error, DatabaseError):
        return unavailable(str(error))
    return error


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
