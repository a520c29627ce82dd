"""`flowloom forms`: form definitions, deployed without a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_repository_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, Mesh, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, SizeOption, as_json, complain, print_json, print_page

app: Final = typer.Typer(help="Deploy, list and show forms.", no_args_is_help=True)

COLUMNS: Final = (
    Column("key", "key"),
    Column("version", "version"),
    Column("name", "name", wrap=True),
    Column("tenant", "tenantId"),
    Column("id", "id"),
)
MAX_DEPTH: Final = 100
"""Containers in containers that are shown."""


@app.command()
def deploy(
    files: Annotated[list[Path], typer.Argument(help="Form models, .form or .json.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name of the deployment; by default that of the first file.")] = None,
    tenant: Annotated[str, typer.Option(help="Tenant to deploy for.")] = "",
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Deploy form models as one deployment, all or nothing."""
    request = pb.CreateFormDeploymentRequest(
        resources=[form_pb2.FormResource(name=file.name, data=_read(file)) for file in files],
        name=name or files[0].name,
        tenant_id=tenant,
        request_id=request_id(),
    )

    async def call(mesh: Mesh) -> tuple[dict[str, object], list[dict[str, object]]]:
        deployment = await mesh.forms.CreateFormDeployment(request)
        wanted = pb.ListFormDefinitionsRequest(deployment_id=deployment.id, size=1000)
        found = await mesh.forms.ListFormDefinitions(wanted)
        return as_json(deployment), [as_json(each) for each in found.data]

    deployment, definitions = ask(target, call)
    if to_json:
        print_json({"deployment": deployment, "formDefinitions": definitions})
        return
    typer.echo(f"deployed {deployment['id']}")
    for definition in definitions:
        typer.echo(f"  {definition['key']} version {definition['version']}")


@app.command("list")
def list_(
    key: Annotated[str | None, typer.Option(help="Only those of this key.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Older versions too.")] = False,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List form definitions, the latest version of each."""
    request = pb.ListFormDefinitionsRequest(key=key, tenant_id=tenant, latest=not all_versions, size=size, sort="key")
    page = ask(target, lambda mesh: mesh.forms.ListFormDefinitions(request))
    print_page(page, COLUMNS, "form definitions", to_json)


@app.command()
def show(
    form: Annotated[str, typer.Argument(help="Key of the form.", show_default=False)],
    version: Annotated[int | None, typer.Option(help="This version; by default the latest.")] = None,
    tenant: Annotated[str, typer.Option(help="Tenant of the form.")] = "",
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Show a form: its fields and outcomes."""
    request = pb.ResolveFormRequest(form_key=form, tenant_id=tenant, version=version)
    found = ask(target, lambda mesh: mesh.forms.ResolveForm(request))
    model: dict[str, Any] = as_json(found.model)
    if to_json:
        print_json(model)
        return
    definition = found.definition
    typer.echo(f"{definition.key} version {definition.version}: {definition.name or '(no name)'}")
    for field, depth in _fields(model.get("fields"), 0):
        needed = ", required" if field.get("required") is True else ""
        typer.echo(f"{'  ' * (depth + 1)}{field.get('id', '-')} ({field.get('type')}{needed})")
    outcomes = [str(each.get("id") or each.get("name")) for each in model.get("outcomes") or ()]
    if outcomes:
        typer.echo(f"outcomes: {', '.join(outcomes)}")


def _fields(found: Any, depth: int) -> Iterator[tuple[dict[str, Any], int]]:
    """The fields of a model with the depth of their containers: a list, or columns of lists."""
    if depth > MAX_DEPTH:
        return
    each_column = found.values() if isinstance(found, dict) else [found or []]
    for column in each_column:
        for field in column:
            if isinstance(field, list):
                yield from _fields(field, depth)
                continue
            yield field, depth
            if field.get("type") in ("container", "group"):
                yield from _fields(field.get("fields"), depth + 1)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as unreadable:
        complain("unreadable-file", f"expected to read {file}, found: {unreadable.strerror}")
        raise typer.Exit(1) from unreadable
