"""Moves what is due to the archive, every so often."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from history.app.archiving import Archive
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)


class Archiving:
    """Runs the archive by the clock; does nothing where no archive is set."""

    def __init__(self, archive: Archive, look_seconds: float) -> None:
        self._archive = archive
        self._look_seconds = look_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        if self._archive.is_set:
            self._task = asyncio.create_task(self._run(), name="history archiving")

    async def stop(self) -> None:
        """End; a transaction under way is finished by its thread."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                done = await self._archive.run()
                if done.instances:
                    _LOGGER.info("archived %d instances in %d files", done.instances, done.files)
            except Unavailable as away:
                _LOGGER.warning("the archive waits after: %s", away)
            except Exception:
                # The outer loop of a worker: the rows are still there at the next look.
                _LOGGER.exception("archiving failed")
