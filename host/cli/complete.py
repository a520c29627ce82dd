"""`flowloom complete`: a task is done."""

from __future__ import annotations

from typing import Annotated

import typer
from flowloom.engine.v1 import task_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import JsonOption, print_done
from host.cli.variables import VariableOption, VariablesJsonOption, read_variables


def complete(
    task_id: Annotated[str, typer.Argument(help="Id of the task.", show_default=False)],
    variable: VariableOption = None,
    variables_json: VariablesJsonOption = "",
    outcome: Annotated[str | None, typer.Option(help="How the person decided.")] = None,
    user: Annotated[str | None, typer.Option(help="Who completes it.")] = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Complete a task; its process goes on."""
    request = pb.CompleteTaskRequest(
        task_id=task_id,
        variables=read_variables(variable, variables_json),
        outcome=outcome,
        user_id=user,
        request_id=request_id(),
    )
    ask(target, lambda mesh: mesh.tasks.CompleteTask(request))
    print_done(f"completed {task_id}", {"taskId": task_id, "completed": True}, to_json)
