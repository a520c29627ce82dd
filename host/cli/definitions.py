"""`flowloom definitions`: what can be started."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.engine.v1 import repository_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask
from host.cli.output import Column, JsonOption, SizeOption, print_page

COLUMNS: Final = (
    Column("key", "key"),
    Column("version", "version"),
    Column("name", "name", wrap=True),
    Column("tenant", "tenantId"),
    Column("suspended", "suspended"),
    Column("id", "id"),
)


def definitions(
    key: Annotated[str | None, typer.Option(help="Only those of this key.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Older versions too.")] = False,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List process definitions, the latest version of each."""
    request = pb.ListProcessDefinitionsRequest(
        key=key, tenant_id=tenant, latest=not all_versions, size=size, sort="key"
    )
    page = ask(target, lambda mesh: mesh.repository.ListProcessDefinitions(request))
    print_page(page, COLUMNS, "process definitions", to_json)
