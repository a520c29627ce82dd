"""Looks at the processes of the services now and then, and tells the edge of changes."""

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import Final, Protocol

from gateway.app.following import Following
from gateway.model.snapshot import Cluster, Snapshot

_log: Final = logging.getLogger(__name__)


class Edge(Protocol):
    """What can be changed to another snapshot while it serves: Envoy by its files, or all Envoys over the stream."""

    @property
    def snapshot(self) -> Snapshot | None:
        """What the edge is now."""
        ...

    async def apply(self, snapshot: Snapshot) -> None:
        """Change the edge. Raises if it refuses."""
        ...


def followed(snapshot: Snapshot, following: Following) -> Snapshot:
    """Return the snapshot with the processes that are found working now."""
    clusters = tuple(
        replace(each, endpoints=following.endpoints[each.name], followed=True)
        if each.name in following.endpoints
        else each
        for each in snapshot.clusters
    )
    return replace(snapshot, clusters=clusters)


class Follower:
    """The loop."""

    def __init__(self, following: Following, edge: Edge, interval_seconds: float) -> None:
        self._following = following
        self._edge = edge
        self._interval_seconds = interval_seconds
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.create_task(self._run(), name="gateway-follower")

    async def stop(self) -> None:
        """End, in the middle of a look if need be."""
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self._following.look()
                await self._tell()
            except Exception:
                # Whatever it was: the edge goes on as it is, and the next look may find better.
                _log.exception("the edge could not be changed to the processes that work now")

    async def _tell(self) -> None:
        now = self._edge.snapshot
        if now is None:
            return
        wanted = followed(now, self._following)
        if wanted.clusters != now.clusters:
            await self._edge.apply(wanted)


def cluster_of(name: str, following: Following) -> Cluster:
    """Return a followed cluster as it is found now."""
    return Cluster(name=name, endpoints=following.endpoints[name], followed=True)
