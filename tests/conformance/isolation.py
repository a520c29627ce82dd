"""A fresh state for each case: all deployments go with what belongs to them; a mesh that is broken is replaced."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

from host.demo.mesh import Mesh, MeshOptions, start_mesh
from host.services import SERVICES
from mesh.testing.mariadb import MariaDb, running_mariadb
from tests.conformance.driver import Driver, Refused
from tests.conformance.grpc_driver import GrpcDriver
from tests.conformance.people import People
from tests.conformance.rest_driver import RestDriver

BROKEN: frozenset[str] = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""After these nobody knows what the mesh is still doing, so the next case gets another one."""


class Isolation:
    """Gives drivers to a mesh that holds nothing."""

    def __init__(self, face: str, options: Callable[[], MeshOptions], folder: Path) -> None:
        """`options` makes an empty database where one is needed, so it is asked for each mesh that is started."""
        self._face = face
        self._options = options
        self._folder = folder
        self._meshes = 0
        self._mesh: Mesh | None = None
        self._people = People()
        self._driver: Driver | None = None

    async def driver(self) -> Driver:
        """Return a driver to a mesh without deployments. Raises MeshNotStarted."""
        if self._driver is None or self._mesh is None or not self._mesh.running:
            await self.discard()
            self._meshes += 1
            self._people = people = People()
            options = replace(self._options(), environment=people.environment)
            self._mesh = mesh = start_mesh(self._folder / f"mesh-{self._meshes}", options)
            await people.meet(mesh.grpc)
            rest = self._face == "rest"
            self._driver = RestDriver(mesh.rest, people) if rest else GrpcDriver(mesh.grpc, people)
        await self._people.stay()
        return self._driver

    async def clean(self) -> None:
        """Delete all deployments with their instances and jobs; a mesh that cannot is discarded."""
        if self._driver is None:
            return
        try:
            for deployment_id in await self._driver.deployments():
                await self._driver.delete_deployment(deployment_id)
        except Refused:
            await self.discard()

    async def discard(self) -> None:
        """Stop the mesh; the next case gets a new one."""
        if self._driver is not None:
            await self._driver.close()
            await self._people.leave()
        if self._mesh is not None:
            self._mesh.stop()
        self._driver = self._mesh = None


@contextlib.asynccontextmanager
async def isolated(face: str, store: str) -> AsyncIterator[Isolation]:
    """Prepare for meshes that are asked over `face` (grpc, rest) and keep their data in `store` (sqlite, mysql)."""
    with tempfile.TemporaryDirectory(prefix="flowloom-conformance-") as folder, _options(face, store) as options:
        isolation = Isolation(face, options, Path(folder))
        try:
            yield isolation
        finally:
            await isolation.discard()


@contextlib.contextmanager
def _options(face: str, store: str) -> Iterator[Callable[[], MeshOptions]]:
    if store == "sqlite":
        yield lambda: _mesh_options(face, None)
        return
    with running_mariadb() as server:
        yield lambda: _mesh_options(face, server)


def _mesh_options(face: str, server: MariaDb | None) -> MeshOptions:
    return MeshOptions(
        edge=face == "rest",
        manual_jobs=True,
        manual_clock=True,
        database_urls={name: server.create_database(f"flowloom_{name}") for name in SERVICES} if server else {},
    )
