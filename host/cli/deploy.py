"""`flowloom deploy`: BPMN files become process definitions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from flowloom.engine.v1 import repository_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, Mesh, TargetOption, ask, request_id
from host.cli.output import JsonOption, as_json, complain, print_json


def deploy(
    files: Annotated[list[Path], typer.Argument(help="BPMN files, and what belongs to them.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name of the deployment; by default that of the first file.")] = None,
    tenant: Annotated[str, typer.Option(help="Tenant to deploy for.")] = "",
    skip_unchanged: Annotated[
        bool,
        typer.Option("--skip-unchanged", help="Do nothing if the latest deployment of that name has the same files."),
    ] = False,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Deploy files as one deployment, all or nothing."""
    request = pb.CreateDeploymentRequest(
        resources=[pb.ResourceUpload(name=file.name, bytes=_read(file)) for file in files],
        name=name or files[0].name,
        tenant_id=tenant,
        enable_duplicate_filtering=skip_unchanged,
        request_id=request_id(),
    )
    _refuse_equal_names(files)

    async def call(mesh: Mesh) -> tuple[dict[str, object], list[dict[str, object]]]:
        deployment = await mesh.repository.CreateDeployment(request)
        wanted = pb.ListProcessDefinitionsRequest(deployment_id=deployment.id, size=1000)
        found = await mesh.repository.ListProcessDefinitions(wanted)
        return as_json(deployment), [as_json(each) for each in found.data]

    deployment, definitions = ask(target, call)
    if to_json:
        print_json({"deployment": deployment, "processDefinitions": definitions})
        return
    typer.echo(f"deployed {deployment['id']}")
    for definition in definitions:
        typer.echo(f"  {definition['key']} version {definition['version']}")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as unreadable:
        complain("unreadable-file", f"expected to read {file}, found: {unreadable.strerror}")
        raise typer.Exit(1) from unreadable


def _refuse_equal_names(files: list[Path]) -> None:
    twice = [name for name, count in Counter(file.name for file in files).items() if count > 1]
    if twice:
        complain("name-twice", f"expected files of different names, found '{twice[0]}' twice")
        raise typer.Exit(1)
