"""Deleting what is over: expired tokens, forgotten attempts, answers that nobody asks for any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from identity.app.ports import Store, Work
from identity.settings import IdentitySettings
from mesh.clock import Clock

MAX_ROUNDS: Final = 20
"""Transactions of one sweep; what is left then waits for the next one."""


class Sweeping:
    """Deletes a limited number of rows in each transaction, so that nobody waits for it long."""

    def __init__(self, store: Store, clock: Clock, settings: IdentitySettings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings

    async def run(self) -> int:
        """Delete what is over; returns how many rows. Raises Unavailable."""
        swept = 0
        for _ in range(MAX_ROUNDS):
            found = await self._store.write(self._round)
            swept += found
            if not found:
                break
        return swept

    def _round(self, work: Work) -> int:
        now = self._clock.now()
        settings = self._settings
        replaced_before = now - timedelta(seconds=settings.tokens.reuse_memory_seconds)
        return (
            work.tokens.sweep(now, replaced_before)
            + work.counts.sweep(now - timedelta(seconds=settings.throttle.forget_seconds))
            + work.answers.sweep(now - timedelta(seconds=settings.answers_seconds))
        )
