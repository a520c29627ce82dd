"""`flowloom up`: the whole mesh on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host.cli.output import complain
from mesh.settings import SettingsError

if TYPE_CHECKING:
    from host.embedded import EmbeddedMesh


def up(
    address: Annotated[str, typer.Option(help="Where to listen; on loopback while access is off.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the edge: REST, gRPC, gRPC-Web; 0 takes a free one.")] = 8080,
    grpc_port: Annotated[int, typer.Option(help="Port of the services themselves; 0 takes a free one.")] = 0,
    data_directory: Annotated[Path, typer.Option(help="Where the data is kept.")] = Path(".flowloom"),
    database: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE=URL", help="Database of a service; a SQLite file if not told. Can be repeated."),
    ] = None,
    no_edge: Annotated[bool, typer.Option("--no-edge", help="Without Envoy: gRPC only.")] = False,
    manual_jobs: Annotated[bool, typer.Option("--manual-jobs", help="For tests: jobs run when told to.")] = False,
    manual_clock: Annotated[bool, typer.Option("--manual-clock", help="For tests: time moves when told to.")] = False,
    announce: Annotated[Path | None, typer.Option(help="Write the addresses to this file when ready.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but warnings.")] = False,
) -> None:
    """Start the whole mesh on this machine and keep it running until Ctrl-C."""
    # The services come along with this import; no other command needs them.
    from host.running import UpOptions
    from host.running import up as run

    options = UpOptions(
        address=address,
        port=port,
        grpc_port=grpc_port,
        data_directory=data_directory,
        database_urls=_by_service(database or []),
        edge=not no_edge,
        manual_jobs=manual_jobs,
        manual_clock=manual_clock,
        announce=announce,
        quiet=quiet,
    )
    try:
        run(options) if quiet else run(options, _welcome)
    except (RuntimeError, OSError, SettingsError) as failed:
        complain("not-started", str(failed))
        raise typer.Exit(1) from failed


def _by_service(given: list[str]) -> dict[str, str]:
    from host.services import SERVICES

    urls: dict[str, str] = {}
    for text in given:
        name, found, url = text.partition("=")
        if not found or not url or name not in SERVICES:
            raise typer.BadParameter(f"expected SERVICE=URL with a service of {', '.join(SERVICES)}, found '{text}'")
        urls[name] = url
    return urls


def _welcome(mesh: EmbeddedMesh) -> None:
    target = mesh.rest_address.removeprefix("http://") if mesh.rest_address else mesh.grpc_address
    lines = ["Flowloom is up."]
    if mesh.rest_address:
        lines += [
            f"  REST     {mesh.rest_address}/process-api",
            f"  gRPC     {target} (also gRPC-Web, reflection, health)",
        ]
    lines += [f"  services {mesh.grpc_address} (gRPC, without the edge)", f"  metrics  {mesh.metrics_address}"]
    if not mesh.checks_access:
        lines.append("Access is off (FLOWLOOM_ACCESS_MODE): every program on this machine may do everything.")
    lines += ["", "Try:", f"  export FLOWLOOM_TARGET={target}"]
    if mesh.checks_access:
        lines.append("  flowloom login admin     (the first start has told a one-time password)")
    lines += [
        "  flowloom deploy my-process.bpmn20.xml",
        "  flowloom start my-process --variable amount=5",
        "  flowloom tasks",
    ]
    if mesh.rest_address:
        who = "-u admin " if mesh.checks_access else ""
        lines.append(f"  curl {who}{mesh.rest_address}/process-api/runtime/tasks")
    typer.echo("\n".join(lines))
