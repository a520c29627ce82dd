"""Sharing definitions between threads and the event loop's cache."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable

from engine.app.sharing import WAIT_SECONDS, SharedDefinitions
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches


def shared() -> SharedDefinitions:
    caches = Caches(CacheSettings(), alone=True)
    return SharedDefinitions(
        caches.open("repository", str, seconds=1.0, entries=1), caches.open("files", bytes, seconds=60.0, entries=1)
    )


async def test_as_many_threads_as_there_are_may_wait_for_a_file_at_once() -> None:
    definitions = shared()
    definitions.start()
    loads: list[str] = []

    def load() -> bytes:
        loads.append(threading.current_thread().name)
        time.sleep(0.05)
        return b"<xml/>"

    # All that the event loop's executor has, and more.
    asked = [asyncio.to_thread(definitions.file, "d/p.bpmn", load) for _ in range((os.cpu_count() or 1) + 8)]
    began = time.monotonic()
    found = await asyncio.gather(*asked)

    assert set(found) == {b"<xml/>"}
    assert time.monotonic() - began < WAIT_SECONDS
    assert len(loads) == 1
    await definitions.stop()
    assert not [one for one in threading.enumerate() if one.name.startswith("definition-files")]


async def test_without_the_cache_a_file_is_loaded_where_it_is_asked_for() -> None:
    definitions = shared()
    definitions.start()
    await definitions.stop()
    threads: list[str] = []

    def load() -> bytes:
        threads.append(threading.current_thread().name)
        return b"x"

    assert await asyncio.to_thread(definitions.file, "k", load) == b"x"
    assert not threads[0].startswith("definition-files")


async def test_a_stop_while_a_file_is_loaded_takes_it_from_the_source() -> None:
    class Late:
        """A cache that asks for the file when the threads that would load it are gone."""

        async def get(self, key: str, load: Callable[[], Awaitable[bytes]]) -> bytes:
            await definitions.stop()
            return await load()

    class Silent:
        def invalidate_soon(self, *keys: str) -> None: ...

    definitions = SharedDefinitions(Silent(), Late())
    definitions.start()

    assert await asyncio.to_thread(definitions.file, "k", lambda: b"x") == b"x"
