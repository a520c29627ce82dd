"""The clock of sagas: takes those that are due, keeps leases, hears of new participants, prunes."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from engine.app.sagas.completion import Participants
from engine.app.sagas.orchestrator import Orchestrator
from engine.app.sagas.ports import SagaStore
from engine.app.sagas.settings import SagaSettings
from engine.app.unit_of_work import Committed
from engine.jobs.sleeping import Alarm, Pause
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)
BEATS: Final = 3
"""How often within its length a lease is extended."""
PRUNED_AT_ONCE: Final = 500


class SagaExecutor:
    """Runs the orchestrator by the clock."""

    def __init__(
        self,
        *,
        orchestrator: Orchestrator,
        store: SagaStore,
        participants: Participants,
        now: Callable[[], datetime],
        settings: SagaSettings,
        manual: bool = False,
    ) -> None:
        """`manual`: nothing runs by the clock; for tests."""
        self._manual = manual
        self._orchestrator = orchestrator
        self._store = store
        self._participants = participants
        self._now = now
        self._settings = settings
        self._alarm = Alarm(now)
        self._loops: list[asyncio.Task[None]] = []
        orchestrator.on_due = self._alarm.due

    async def start(self) -> None:
        """Begin, in the running event loop, with the participants that are registered."""
        await self.refresh()
        if not self._loops and not self._manual:
            self._loops = [
                asyncio.create_task(self._take(), name="sagas"),
                asyncio.create_task(self._every(self._settings.lease_seconds / BEATS, self._beat), name="saga-leases"),
                asyncio.create_task(self._every(self._settings.fresh_seconds, self.refresh), name="saga-participants"),
                asyncio.create_task(self._every(self._settings.prune_look_seconds, self.prune), name="saga-pruning"),
            ]

    async def stop(self) -> None:
        """Take nothing more; what is under way gets its grace, its leases are kept meanwhile."""
        loops, self._loops = self._loops, []
        for loop in loops[:1]:
            loop.cancel()
        await self._orchestrator.stop()
        for loop in loops:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop

    def on_committed(self, commits: Sequence[Committed]) -> None:
        """Hear which sagas commands began (a listener of the group commit)."""
        for committed in commits:
            if committed.sagas:
                self._orchestrator.adopt(committed.sagas)

    def wake(self) -> None:
        """Look now."""
        self._alarm.wake()

    async def refresh(self) -> None:
        """Hear of what other processes registered."""
        self._participants.replace(await self._store.participants())

    async def prune(self) -> int:
        """Take old sagas away; says how many."""
        before = self._now() - timedelta(seconds=self._settings.retention_seconds)
        taken = 0
        while some := await self._store.prune(before, PRUNED_AT_ONCE):
            taken += some
        return taken

    async def run_due(self) -> int:
        """Take what is due now and go on with it; says how many."""
        return await self._orchestrator.take()

    async def _take(self) -> None:
        pause = Pause()
        while True:
            self._alarm.clear()
            due: datetime | None = None
            try:
                if await self._orchestrator.take():
                    pause.reset()
                    continue
                due = await self._store.next_due()
            except Unavailable:
                await asyncio.sleep(pause.next_seconds())
                continue
            except Exception:
                # The outer loop of a worker: whatever it is, the next look may go well.
                _LOGGER.exception("looking for due sagas failed")
                await asyncio.sleep(pause.next_seconds())
                continue
            if due is not None and due <= self._now():
                # Due and yet not taken: no room here, or another process is at it.
                await asyncio.sleep(pause.next_seconds())
                continue
            pause.reset()
            await self._alarm.sleep(due, self._settings.look_seconds)

    async def _beat(self) -> None:
        held = self._orchestrator.under_way
        if held:
            until = self._now() + timedelta(seconds=self._settings.lease_seconds)
            self._orchestrator.drop(await self._store.extend(self._orchestrator.owner, held, until))

    async def _every(self, seconds: float, do: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await do()
            except Unavailable:
                continue
            except Exception:
                # The outer loop of a worker: the next turn may go well.
                _LOGGER.exception("a turn of sagas failed")
