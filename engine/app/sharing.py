"""What the replicas of an engine share of the repository: the news that it changed, and the files of its definitions.

The cache belongs to the event loop; definitions are loaded in threads. This is where the one waits for the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

REPOSITORY: Final = "repository"
"""The one key of the news."""
WAIT_SECONDS: Final = 5.0
"""How long a thread waits for the cache before it goes to the database itself."""
LOADING_THREADS: Final = 2


class News(Protocol):
    """Tells the replicas that something is no longer true (`mesh.cache`)."""

    def invalidate_soon(self, *keys: str) -> None:
        """Tell."""
        ...


class Files(Protocol):
    """Bytes by key (`mesh.cache`)."""

    async def get(self, key: str, load: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the bytes, loaded if nobody has them."""
        ...


class SharedDefinitions:
    """Used from any thread once started; before that, and on the event loop's own thread, it shares nothing."""

    def __init__(self, news: News, files: Files) -> None:
        self._news = news
        self._files = files
        self._loop: asyncio.AbstractEventLoop | None = None
        # The threads of the event loop may all be waiting here for the cache, so what it loads needs others.
        self._threads = ThreadPoolExecutor(LOADING_THREADS, thread_name_prefix="definition-files")

    def start(self) -> None:
        """Share from now on, by the running event loop."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Share no more, for good."""
        self._loop = None
        await asyncio.to_thread(self._threads.shutdown)

    def changed(self) -> None:
        """Tell the other replicas that the repository changed."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._news.invalidate_soon, REPOSITORY)

    def file(self, key: str, load: Callable[[], bytes]) -> bytes:
        """Return a file that never changes; `load` blocks, and raises what it raises if there is none."""
        loop = self._loop
        if loop is None or _is_running_here(loop):
            return load()

        async def loaded() -> bytes:
            return await loop.run_in_executor(self._threads, load)

        asked = asyncio.run_coroutine_threadsafe(self._files.get(key, loaded), loop)
        try:
            return asked.result(WAIT_SECONDS)
        except (TimeoutError, RuntimeError):
            # The cache is slow, or has come to its end meanwhile.
            asked.cancel()
            return load()


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
