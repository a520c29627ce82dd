"""`flowloom claim`: take a task, or give it back."""

from __future__ import annotations

from typing import Annotated

import typer
from flowloom.engine.v1 import task_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, Mesh, TargetOption, ask, request_id
from host.cli.output import JsonOption, print_done


def claim(
    task_id: Annotated[str, typer.Argument(help="Id of the task.", show_default=False)],
    user: Annotated[str, typer.Argument(help="Who takes it; nobody: it is given back.")] = "",
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Claim a task for a user; without a user, give it back."""

    async def call(mesh: Mesh) -> None:
        if user:
            await mesh.tasks.ClaimTask(pb.ClaimTaskRequest(task_id=task_id, assignee=user, request_id=request_id()))
        else:
            await mesh.tasks.UnclaimTask(pb.UnclaimTaskRequest(task_id=task_id, request_id=request_id()))

    ask(target, call)
    sentence = f"{user} has {task_id}" if user else f"nobody has {task_id}"
    print_done(sentence, {"taskId": task_id, "assignee": user or None}, to_json)
