"""The orchestrator: takes sagas through their steps, as many at once as there is room for.

A saga is under the hands of one process at a time, by a lease with a token; whatever is written of it is written only
if the token still holds. What a step did is written with the beginning of the next one, in one transaction. Whoever
dies in between leaves a step that was begun: whoever comes next does it again, and the participant's barrier makes that
once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from engine.app.sagas import machine
from engine.app.sagas.completion import hold, let_go, requests_of, verdict
from engine.app.sagas.declarations import DECLARATIONS, BuildCommand
from engine.app.sagas.ports import EngineCommands, Performer, SagaStore, StepAnswer, StepCall, StepRefused
from engine.app.sagas.settings import SagaSettings
from engine.app.sagas.state import (
    BEGUN,
    COMMAND,
    COMPENSATED,
    COMPLETED,
    FAILED,
    LOST,
    READY,
    WAITING,
    Change,
    LogLine,
    Saga,
)
from engine.app.sagas.writes import BatchedWrites
from engine.kernel.errors import Refused
from engine.kernel.events import Event
from mesh.errors import DomainError, FailedPrecondition, Unavailable

_LOGGER: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.05


class Orchestrator:
    """All sagas of this process. `performers` do the steps of named services, `remote` those of addresses."""

    def __init__(
        self,
        *,
        store: SagaStore,
        commands: EngineCommands,
        builders: Mapping[tuple[str, str], BuildCommand],
        performers: Mapping[str, Performer],
        remote: Performer,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        owner: str,
        settings: SagaSettings,
    ) -> None:
        """`builders`: by saga and step, what makes the engine's commands."""
        self._store = store
        self._commands = commands
        self._builders = builders
        self._performers = performers
        self._remote = remote
        self._now = now
        self._new_id = new_id
        self.owner = owner
        self._settings = settings
        self._writes = BatchedWrites(store, settings.batch)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._waiters: dict[str, asyncio.Future[Saga]] = {}
        self._causes: dict[str, Exception] = {}
        self.on_due: Callable[[datetime], None] = lambda _: None
        """Told when a saga that nobody holds will be due."""
        self.on_published: Callable[[], None] = lambda: None
        """Told when something was written for the bus."""

    # --- who is under way ---------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many sagas more this process can take; also read by other threads."""
        return self._settings.in_flight - len(self._under_way)

    @property
    def under_way(self) -> Sequence[str]:
        """The ids of the sagas under this process's hands."""
        return list(self._under_way)

    async def take(self) -> int:
        """Take sagas that are due, as many as there is room for, and go on with them; says how many."""
        now = self._now()
        room = min(self.room, self._settings.batch)
        if room <= 0:
            return 0
        found = await self._store.acquire(self.owner, now, now + self._lease, room)
        for saga in found:
            token = saga.token
            self._begin(saga, token, self._resumed(saga))
        return len(found)

    def _resumed(self, saga: Saga) -> list[LogLine]:
        """What was begun is begun again; a word that did not come by now is a failure."""
        now = self._now()
        if saga.phase == WAITING:
            patience = f"{saga.step.timeout_seconds} s"
            return machine.fail(saga, now, f"expected a confirmation within {patience}, found none", self.pause)
        saga.phase = READY
        saga.due_at = now
        return []

    def adopt(self, sagas: Sequence[Saga]) -> None:
        """Hear of sagas that a command of this process began, and go on with those that it holds."""
        for saga in sagas:
            if saga.is_open and saga.token and saga.owner == self.owner:
                self._begin(saga, saga.token)
            elif saga.is_open and saga.due_at is not None:
                self.on_due(saga.due_at)

    def _begin(self, saga: Saga, token: str, lines: Sequence[LogLine] = ()) -> None:
        task = asyncio.create_task(self._drive(saga, token, list(lines)), name=f"saga-{saga.id}")
        self._under_way[saga.id] = task

        def end(done: asyncio.Task[None]) -> None:
            if self._under_way.get(saga.id) is done:
                del self._under_way[saga.id]
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                # Its lease runs out, and whoever takes it then goes on from its log.
                _LOGGER.warning("saga %s is left to the next who takes it: %s", saga.id, error)
                self._settle(saga.id, error if isinstance(error, Exception) else None)

        task.add_done_callback(end)

    async def stop(self) -> None:
        """Give the steps under way their grace, then let the rest go, for others to take at once."""
        tasks = list(self._under_way.values())
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.grace_seconds)
        rest = [saga_id for saga_id, task in self._under_way.items() if not task.done()]
        for task in tasks:
            task.cancel()
        if rest:
            try:
                await self._store.extend(self.owner, rest, self._now())
            except Unavailable:
                _LOGGER.info("%s sagas are left to the end of their leases", len(rest))

    def drop(self, saga_ids: set[str]) -> None:
        """Stop with sagas that are not ours any more."""
        for saga_id in saga_ids:
            task = self._under_way.get(saga_id)
            if task is not None:
                task.cancel()

    # --- a saga of a caller -------------------------------------------------------------------------------------------

    async def run(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        instance_id: str = "",
        definition_key: str = "",
        task_id: str = "",
        tenant_id: str = "",
        request_id: str = "",
    ) -> Saga:
        """Begin a saga and return it once it is over, or can only go forward any more.

        The same `request_id` again waits for the same saga, unless that was taken back: then it is begun anew. Raises
        what made it fail if that was a refusal (of the engine or of a participant), FailedPrecondition
        (saga-compensated), or Unavailable (saga-under-way) if it is not decided within the settings' `wait_seconds`.
        """
        now = self._now()
        saga = Saga(
            id=self._new_id(),
            name=name,
            created_at=now,
            instance_id=instance_id,
            definition_key=definition_key,
            task_id=task_id,
            tenant_id=tenant_id,
            request_id=request_id,
            plan=DECLARATIONS[name].plan(),
            data=dict(data),
        )
        hold(saga, self.owner, self._new_id(), now + self._lease)
        lines = machine.begin(saga, now)
        lines += machine.start_step(saga, now)
        waiter: asyncio.Future[Saga] = asyncio.get_running_loop().create_future()
        self._waiters[saga.id] = waiter
        try:
            other = await self._writes.write(Change(saga=saga, lines=lines, is_new=True))
            if other:
                return await self._await_other(other)
            self._begin(saga, saga.token)
            async with asyncio.timeout(self._settings.wait_seconds):
                return _decided(await waiter, self._causes.get(saga.id))
        except TimeoutError:
            raise _under_way(saga.id) from None
        finally:
            self._waiters.pop(saga.id, None)
            self._causes.pop(saga.id, None)

    async def _await_other(self, saga_id: str) -> Saga:
        """The saga that another call of the same request began, here or elsewhere."""
        try:
            async with asyncio.timeout(self._settings.wait_seconds):
                while True:
                    found = await self._store.change(saga_id, lambda _: None)
                    if found is not None and is_decided(found):
                        return _decided(found, None)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise _under_way(saga_id) from None

    def _settle(self, saga_id: str, error: Exception | None = None, saga: Saga | None = None) -> None:
        waiter = self._waiters.get(saga_id)
        if waiter is None or waiter.done():
            return
        if saga is not None:
            waiter.set_result(saga)
        elif error is not None:
            waiter.set_exception(error)

    # --- the way of one saga ------------------------------------------------------------------------------------------

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self._settings.lease_seconds)

    def pause(self, failures: int) -> timedelta:
        """How long to wait before the next try."""
        doubled = self._settings.retry_seconds * 2.0 ** min(failures - 1, 30)
        return timedelta(seconds=min(doubled, self._settings.max_retry_seconds))

    async def _drive(self, saga: Saga, token: str, lines: list[LogLine]) -> None:
        """Take it as far as it goes without waiting for a moment or a word; `lines` are still to be written.

        `token`: the one under which it is held.
        """
        while True:
            now = self._now()
            if saga.is_open and saga.phase == READY and saga.due_at is not None and saga.due_at <= now:
                lines += machine.start_step(saga, now)
            if saga.is_open and saga.phase == BEGUN and saga.step.kind == COMMAND:
                saga, lines = await self._command(saga, lines, token)
                if lines:
                    continue
            elif (lines or saga.phase == WAITING) and not await self._write(saga, lines, token):
                return
            if saga.phase != BEGUN:
                return
            lines = await self._perform(saga)

    async def _write(self, saga: Saga, lines: Sequence[LogLine], token: str) -> bool:
        """Write where it stands; False if it is not ours any more."""
        now = self._now()
        events = requests_of(saga, now) if saga.is_open and saga.phase == BEGUN else ()
        events += verdict(saga, was_open=True)
        if saga.phase == BEGUN:
            saga.lease_until = now + self._lease
        else:
            let_go(saga)
        if await self._writes.write(Change(saga=saga, lines=lines, events=events, held_token=token)):
            return False
        if events:
            self.on_published()
        if saga.is_open and saga.phase != BEGUN and saga.due_at is not None:
            self.on_due(saga.due_at)
        if is_decided(saga):
            self._settle(saga.id, saga=saga)
        return True

    async def _command(self, saga: Saga, lines: list[LogLine], token: str) -> tuple[Saga, list[LogLine]]:
        """A step that is a command of the engine: it and all that the log gets for it are one transaction.

        Returns where the saga stands, and what is to be written of it: nothing if that was done with the command.
        """
        step = saga.step
        after = msgspec.structs.replace(saga)
        now = self._now()
        told = [*lines, *machine.succeed(after, now)]
        events: tuple[Event, ...] = ()
        if after.is_open:
            told += machine.start_step(after, now)
            after.lease_until = now + self._lease
            events = requests_of(after, now)
        try:
            command = self._builders[saga.name, step.name](saga.data)
            await self._commands.submit(command, saga=Change(saga=after, lines=told, events=events, held_token=token))
        except Refused as refused:
            if refused.reason == LOST:
                raise _under_way(saga.id) from refused
            if saga.id in self._waiters:
                self._causes[saga.id] = refused
            return saga, [*lines, *machine.fail(saga, now, refused.message, self.pause, final=True)]
        if is_decided(after):
            self._settle(after.id, saga=after)
        return after, []

    async def _perform(self, saga: Saga) -> list[LogLine]:
        """One attempt of the step at hand, outside of any transaction; returns what it adds to the log."""
        step = saga.step
        call = StepCall(
            saga_id=saga.id,
            step_id=saga.step_id(step),
            saga_name=saga.name,
            step_name=step.name,
            action=saga.action,
            attempt=saga.attempts,
            target=step.target,
            data=saga.data,
            tenant_id=saga.tenant_id,
            timeout_seconds=step.timeout_seconds,
        )
        try:
            answer = await self._answer(call)
        except StepRefused as refused:
            if refused.cause is not None and saga.id in self._waiters:
                self._causes[saga.id] = refused.cause
            return machine.fail(saga, self._now(), str(refused), self.pause, final=True)
        except TimeoutError:
            found = f"expected an answer of {step.name} within {step.timeout_seconds} s, found none"
            return machine.fail(saga, self._now(), found, self.pause)
        except Exception as error:
            # Whatever keeps a participant from doing its step may heal.
            return machine.fail(saga, self._now(), str(error) or type(error).__name__, self.pause)
        if answer.pending:
            machine.wait_for_word(saga, self._now())
            return []
        return machine.succeed(saga, self._now(), answer.result)

    async def _answer(self, call: StepCall) -> StepAnswer:
        performer = self._performers.get(call.target, self._remote)
        async with asyncio.timeout(call.timeout_seconds):
            return await performer.perform(call)


def is_decided(saga: Saga) -> bool:
    """Tell whether it is over or has passed a pivot, so that its caller can be answered."""
    return not saga.is_open or (not saga.backwards and any(step.pivot for step in saga.plan[: saga.position]))


def _decided(saga: Saga, cause: Exception | None) -> Saga:
    if saga.state not in (COMPENSATED, FAILED) or is_past_pivot(saga):
        return saga
    if isinstance(cause, Refused | DomainError):
        raise cause
    raise FailedPrecondition(
        "saga-compensated", f"expected saga {saga.id} to succeed, found: {saga.error}", saga_id=saga.id
    )


def is_past_pivot(saga: Saga) -> bool:
    """Tell whether what the caller wanted has happened, whatever follows."""
    return saga.state == COMPLETED or any(step.pivot for step in saga.plan[: max(saga.position, 0)])


def _under_way(saga_id: str) -> Unavailable:
    return Unavailable(
        "saga-under-way",
        f"expected saga {saga_id} to be decided by now, found it under way: ask again with the same request_id",
        retry_after_seconds=1.0,
        saga_id=saga_id,
    )
