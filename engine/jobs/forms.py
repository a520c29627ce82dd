"""Settles what the engine and forms began together and did not end: a process died, or forms was away.

The engine's own commit has decided each of them. Submissions and forms of deployments that were prepared a while ago
are confirmed or discarded by it; once in a while, forms of deployments that are gone are taken away too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from engine.app.forms import Forms, Step
from mesh.errors import DomainError, NotFound
from mesh.settings import setting

_LOGGER: Final = logging.getLogger(__name__)
PAGE: Final = 200
MAX_PAGES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlingSettings:
    """When what was not settled is."""

    look_seconds: float = setting(30.0, doc="How often is looked for what was not settled.", minimum=0.01)
    after_seconds: float = setting(
        300.0, doc="How old it must be: longer than any command can be under way.", minimum=0
    )
    sweep_seconds: float = setting(3600.0, doc="How often forms of deleted deployments are looked for.", minimum=0.01)


class FormSettling:
    """Looks every so often, in the running event loop."""

    def __init__(
        self,
        forms: Forms,
        settle: Callable[[Step, str], Awaitable[None]],
        deployment_exists: Callable[[str], Awaitable[object]],
        now: Callable[[], datetime],
        settings: SettlingSettings,
    ) -> None:
        """`settle` settles a submission; `deployment_exists` raises NotFound if one does not."""
        self._forms = forms
        self._settle = settle
        self._deployment_exists = deployment_exists
        self._now = now
        self._settings = settings
        self._swept_at: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="form-settling")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> int:
        """Settle what waits; says how much. Raises Unavailable while forms or the database is away."""
        before = self._now() - timedelta(seconds=self._settings.after_seconds)
        settled = 0
        for step, task_id in await self._forms.waiting_submissions(before, PAGE):
            await self._settle(step, task_id)
            settled += 1
        for deployment_id in await self._forms.waiting_deployments(before, PAGE):
            if await self._is_there(deployment_id):
                await self._forms.confirm_deployment(deployment_id)
            else:
                await self._forms.discard_deployment(deployment_id)
            settled += 1
        return settled

    async def sweep(self) -> int:
        """Take away forms of deployments that are gone; says of how many."""
        gone = 0
        token = ""
        for _ in range(MAX_PAGES):
            ids, token = await self._forms.deployments_with_forms(token, PAGE)
            for deployment_id in ids:
                if not await self._is_there(deployment_id):
                    await self._forms.discard_deployment(deployment_id)
                    gone += 1
            if not token:
                break
        return gone

    async def _is_there(self, deployment_id: str) -> bool:
        try:
            await self._deployment_exists(deployment_id)
        except NotFound:
            return False
        return True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.look_seconds)
            try:
                await self.look()
                now = self._now()
                if self._swept_at is None or (now - self._swept_at).total_seconds() >= self._settings.sweep_seconds:
                    await self.sweep()
                    self._swept_at = now
            except DomainError as away:
                _LOGGER.info("forms cannot be settled now: %s", away.message)
            except Exception:
                # The outer loop of a worker: all of it is still there at the next look.
                _LOGGER.exception("settling forms failed")
