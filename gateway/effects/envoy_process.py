"""An Envoy that reads its configuration from files: reconfigured without a lost request."""

import asyncio
from pathlib import Path
from typing import Final

from gateway.app.generator import Resources, version_of
from gateway.app.types import Json
from gateway.effects.config_files import ConfigFiles
from gateway.effects.envoy_admin import EnvoyAdmin, Taken
from gateway.effects.envoy_supervisor import EnvoyError, ProcessLimits, SupervisedEnvoy, find_envoy
from gateway.model.snapshot import Snapshot

__all__ = ["EnvoyError", "EnvoyProcess", "ProcessLimits", "find_envoy"]


class EnvoyProcess(SupervisedEnvoy):
    """One supervised Envoy and the snapshot that its files are made from."""

    def __init__(
        self,
        config_dir: Path,
        snapshot: Snapshot,
        *,
        binary: Path | None = None,
        access_log_path: str | None = None,
        limits: ProcessLimits | None = None,
    ) -> None:
        super().__init__(config_dir, binary=binary, access_log_path=access_log_path, limits=limits)
        self._files: Final = ConfigFiles(self.config_dir, access_log_path=self.access_log_path)
        self._snapshot = snapshot
        self._applying = asyncio.Lock()

    @property
    def snapshot(self) -> Snapshot:
        """What the edge is now."""
        return self._snapshot

    async def apply(self, snapshot: Snapshot) -> None:
        """Change the edge to `snapshot` while it serves; no request is lost.

        New clusters come first and old ones go last, so that at no time a route leads nowhere.

        Raises:
            UnsoundSnapshotError: if the snapshot has problems; nothing is changed then.
            EnvoyError: if Envoy refuses it or is too slow; the previous configuration is written back then.
        """
        async with self._applying:
            previous, wanted = self._files.generate(self._snapshot), self._files.generate(snapshot)
            before = await self._running_admin().taken()
            try:
                await self._change(previous, wanted, snapshot, before)
            except BaseException:
                # Whatever interrupted the change: no file may stay that a restarted Envoy would take for valid.
                await asyncio.to_thread(self._files.write_all, self._snapshot)
                raise
            self._snapshot = snapshot

    def _prepare(self) -> None:
        self._files.write_all(self._snapshot)

    async def _is_serving(self, admin: EnvoyAdmin) -> bool:
        taken, wanted = await admin.taken(), self._files.generate(self._snapshot)
        if taken.refused:
            raise EnvoyError(await self._explained("Envoy refuses its configuration"))
        return _matches(taken, wanted.clusters, wanted)

    async def _change(self, previous: Resources, wanted: Resources, snapshot: Snapshot, before: Taken) -> None:
        named = {cluster["name"] for cluster in wanted.clusters}
        leaving = tuple(cluster for cluster in previous.clusters if cluster["name"] not in named)
        both = (*wanted.clusters, *leaving)
        await asyncio.to_thread(self._files.write_bootstrap, snapshot)
        await asyncio.to_thread(self._files.write_descriptors, snapshot)
        await asyncio.to_thread(self._files.write_clusters, both, wanted.endpoints)
        await self._until_taken(clusters=both, before=before)
        await self._until_active(named)
        await asyncio.to_thread(self._files.write_listeners, wanted)
        await self._until_taken(clusters=both, listeners=wanted, before=before)
        await asyncio.to_thread(self._files.write_clusters, wanted.clusters, wanted.endpoints)
        await self._until_taken(clusters=wanted.clusters, listeners=wanted, before=before)
        await asyncio.to_thread(self._files.remove_unused, snapshot)

    async def _until_taken(
        self, *, clusters: tuple[Json, ...], before: Taken, listeners: Resources | None = None
    ) -> None:
        admin = self._running_admin()

        async def taken_over() -> bool | None:
            taken = await admin.taken()
            if taken.refused > before.refused:
                raise EnvoyError(await self._explained("Envoy refuses the new configuration and keeps the old one"))
            return True if _matches(taken, clusters, listeners) else None

        await self._until(taken_over, self._limits.apply_seconds)

    async def _until_active(self, names: set[str]) -> None:
        admin = self._running_admin()

        async def active() -> bool | None:
            return True if names <= await admin.active_clusters() else None

        await self._until(active, self._limits.apply_seconds)


def _matches(taken: Taken, clusters: tuple[Json, ...], listeners: Resources | None) -> bool:
    if taken.clusters_version != version_of(clusters):
        return False
    if listeners is None:
        return True
    return (
        taken.listeners_version == version_of(listeners.listeners)
        and taken.routes_version == version_of(listeners.routes)
        and taken.warming_listeners == 0
    )
