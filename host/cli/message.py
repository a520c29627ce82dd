"""`flowloom message`: one waiting instance hears it, or a new one starts."""

from __future__ import annotations

from typing import Annotated

import typer
from flowloom.engine.v1 import runtime_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import JsonOption, as_json, print_done
from host.cli.variables import VariableOption, VariablesJsonOption, read_variables


def message(
    name: Annotated[str, typer.Argument(help="Name of the message.", show_default=False)],
    variable: VariableOption = None,
    variables_json: VariablesJsonOption = "",
    instance: Annotated[str | None, typer.Option(help="Id of the process instance that waits.")] = None,
    business_key: Annotated[str | None, typer.Option(help="Business key of the instance that waits.")] = None,
    tenant: Annotated[str, typer.Option(help="Tenant of the receiver.")] = "",
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Deliver a message to the one that waits for it, or start what it starts."""
    request = pb.CorrelateMessageRequest(
        message_name=name,
        process_instance_id=instance,
        business_key=business_key,
        tenant_id=tenant,
        variables=read_variables(variable, variables_json),
        request_id=request_id(),
    )
    answer = ask(target, lambda mesh: mesh.runtime.CorrelateMessage(request))
    verb = "started" if answer.started else "delivered to"
    print_done(f"{verb} {answer.process_instance_id}", as_json(answer), to_json)
