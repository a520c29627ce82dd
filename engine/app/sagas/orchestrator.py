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

from engine.app.sagas import machine
from engine.app.sagas.completion import hold, let_go, requests_of, verdict
from engine.app.sagas.ports import Performer, SagaStore, StepAnswer, StepCall, StepRefused
from engine.app.sagas.settings import SagaSettings
from engine.app.sagas.state import (
    BEGUN,
    READY,
    WAITING,
    Change,
    LogLine,
    Saga,
)
from engine.app.sagas.writes import BatchedWrites
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)


class Orchestrator:
    """All sagas of this process. `performers` do the steps of named services, `remote` those of addresses."""

    def __init__(
        self,
        *,
        store: SagaStore,
        performers: Mapping[str, Performer],
        remote: Performer,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        owner: str,
        settings: SagaSettings,
    ) -> None:
        """Nothing is opened or begun yet."""
        self._store = store
        self._performers = performers
        self._remote = remote
        self._now = now
        self._new_id = new_id
        self.owner = owner
        self._settings = settings
        self._writes = BatchedWrites(store, settings.batch)
        self._under_way: dict[str, asyncio.Task[bool]] = {}
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

    def _begin(self, saga: Saga, token: str, lines: Sequence[LogLine] = ()) -> asyncio.Task[bool]:
        task = asyncio.create_task(self._drive(saga, token, list(lines)), name=f"saga-{saga.id}")
        self._under_way[saga.id] = task

        def end(done: asyncio.Task[bool]) -> None:
            if self._under_way.get(saga.id) is done:
                del self._under_way[saga.id]
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                # Its lease runs out, and whoever takes it then goes on from its log.
                _LOGGER.warning("saga %s is left to the next who takes it: %s", saga.id, error)

        task.add_done_callback(end)
        return task

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

    # --- a saga whose first steps its caller does ---------------------------------------------------------------------

    async def begin(self, saga: Saga, began_at: datetime, results: Sequence[Mapping[str, Any]]) -> bool:
        """Log a saga whose caller has done its first steps since a moment, with these results, and is at the next one.

        False if it is known already: another call of the same request is at it, or was. Until `go_on` the caller has it
        under its hands; if it dies, whoever takes the saga finds the step begun.
        """
        now = self._now()
        hold(saga, self.owner, self._new_id(), now + self._lease)
        lines = machine.begin(saga, began_at)
        for result in results:
            lines += machine.start_step(saga, began_at)
            lines += machine.succeed(saga, now, result)
        lines += machine.start_step(saga, now)
        return not await self._writes.write(Change(saga=saga, lines=lines, is_new=True))

    async def go_on(self, saga: Saga, error: str = "") -> bool:
        """The caller has done its step, or could not for good; the rest is done here, and waited for a while.

        False if somebody else has taken the saga.
        """
        now = self._now()
        token = saga.token
        lines = machine.fail(saga, now, error, self.pause, final=True) if error else machine.succeed(saga, now)
        task = self._begin(saga, token, lines)
        await asyncio.wait([task], timeout=self._settings.wait_seconds)
        return not task.done() or task.cancelled() or task.exception() is not None or task.result()

    # --- the way of one saga ------------------------------------------------------------------------------------------

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self._settings.lease_seconds)

    def pause(self, failures: int) -> timedelta:
        """How long to wait before the next try."""
        doubled = self._settings.retry_seconds * 2.0 ** min(failures - 1, 30)
        return timedelta(seconds=min(doubled, self._settings.max_retry_seconds))

    async def _drive(self, saga: Saga, token: str, lines: list[LogLine]) -> bool:
        """Take it as far as it goes without waiting for a moment or a word; `lines` are still to be written.

        `token`: the one under which it is held. False if it is not any more.
        """
        while True:
            now = self._now()
            if saga.is_open and saga.phase == READY and saga.due_at is not None and saga.due_at <= now:
                lines += machine.start_step(saga, now)
            if (lines or saga.phase == WAITING) and not await self._write(saga, lines, token):
                return False
            if saga.phase != BEGUN:
                return True
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
        return True

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
