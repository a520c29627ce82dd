"""Runs services: all of them in one process behind Envoy (`up`), or one alone (`serve`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from mesh.server import until_signalled
from mesh.telemetry import log_as_json

if TYPE_CHECKING:
    from host.embedded import EmbeddedMesh


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What `flowloom up` can be told. Port 0 takes a free one; a service without a URL gets a SQLite file."""

    address: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 0
    data_directory: Path = Path(".flowloom")
    database_urls: Mapping[str, str] = field(default_factory=dict)
    edge: bool = True
    manual_jobs: bool = False
    manual_clock: bool = False
    announce: Path | None = None
    quiet: bool = False


def _silently(_: EmbeddedMesh) -> None:
    """Announce nothing."""


def up(options: UpOptions, announce: Callable[[EmbeddedMesh], None] = _silently) -> None:
    """Run the whole mesh until SIGTERM or SIGINT, then drain and stop.

    `announce` is called once it is ready. Raises RuntimeError if a part does not start, SettingsError for bad settings.
    """
    log_as_json("WARNING" if options.quiet else "INFO")
    uvloop.run(_up(options, announce))


def serve(service: str) -> None:
    """Run one service until SIGTERM or SIGINT. Raises RuntimeError if it does not start, SettingsError for settings."""
    from host import single

    log_as_json()
    uvloop.run(single.serve(service, os.environ))


async def _up(options: UpOptions, announce: Callable[[EmbeddedMesh], None]) -> None:
    # All services come along with this import; a process that serves one needs none of the others.
    from host.embedded import EmbeddedMesh, MeshOptions

    mesh = EmbeddedMesh(
        MeshOptions(
            address=options.address,
            port=options.port,
            grpc_port=options.grpc_port,
            data_directory=options.data_directory,
            database_urls=options.database_urls,
            edge=options.edge,
            manual_jobs=options.manual_jobs,
            manual_clock=options.manual_clock,
        ),
        os.environ,
    )
    # Taken before the start, so that a signal that comes early ends the mesh in good order too.
    signalled = asyncio.ensure_future(until_signalled())
    await asyncio.sleep(0)
    try:
        await mesh.start()
        announce(mesh)
        if options.announce is not None:
            write_addresses(options.announce, mesh)
        await signalled
    finally:
        signalled.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await mesh.stop()


def write_addresses(path: Path, mesh: EmbeddedMesh) -> None:
    """Write where the mesh answers as JSON, at once and whole, for whoever waits for the file."""
    found = {"grpc": mesh.grpc_address, "pid": os.getpid(), "metrics": mesh.metrics_address}
    if mesh.rest_address:
        found["rest"] = mesh.rest_address
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(found, file)
    Path(file.name).replace(path)
