"""`flowloom start`: a new process instance."""

from __future__ import annotations

from typing import Annotated

import typer
from flowloom.engine.v1 import runtime_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import JsonOption, as_json, print_done
from host.cli.variables import VariableOption, VariablesJsonOption, read_variables


def start(
    key: Annotated[str, typer.Argument(help="Key of the process definition.", show_default=False)],
    variable: VariableOption = None,
    variables_json: VariablesJsonOption = "",
    business_key: Annotated[str | None, typer.Option(help="Your own key for the instance.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the instance.")] = None,
    version: Annotated[int | None, typer.Option(help="Version of the definition; by default the latest.")] = None,
    tenant: Annotated[str, typer.Option(help="Tenant of the definition.")] = "",
    user: Annotated[str | None, typer.Option(help="Who starts it.")] = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Start an instance of a process definition."""
    request = pb.StartProcessInstanceRequest(
        process_definition_key=key,
        version=version,
        business_key=business_key,
        name=name,
        tenant_id=tenant,
        start_user_id=user,
        variables=read_variables(variable, variables_json),
        request_id=request_id(),
    )
    instance = ask(target, lambda mesh: mesh.runtime.StartProcessInstance(request))
    print_done(f"started {instance.id} ({instance.state})", as_json(instance), to_json)
