"""`flowloom signal`: everyone who waits for it hears it."""

from __future__ import annotations

from typing import Annotated

import typer
from flowloom.engine.v1 import runtime_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import JsonOption, print_done
from host.cli.variables import VariableOption, VariablesJsonOption, read_variables


def signal(
    name: Annotated[str, typer.Argument(help="Name of the signal.", show_default=False)],
    variable: VariableOption = None,
    variables_json: VariablesJsonOption = "",
    instance: Annotated[str | None, typer.Option(help="Only this process instance and those that it called.")] = None,
    tenant: Annotated[str, typer.Option(help="Tenant of the receivers.")] = "",
    as_jobs: Annotated[bool, typer.Option("--async", help="Let jobs deliver it, afterwards.")] = False,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Broadcast a signal."""
    request = pb.SendSignalRequest(
        signal_name=name,
        process_instance_id=instance,
        tenant_id=tenant,
        variables=read_variables(variable, variables_json),
        request_id=request_id(),
    )
    # The word is reserved in Python, so the field cannot be a keyword argument.
    setattr(request, "async", as_jobs)
    ask(target, lambda mesh: mesh.runtime.SendSignal(request))
    print_done(f"sent {name}", {"signalName": name, "async": as_jobs}, to_json)
