"""`flowloom tasks`: what people have to do."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.engine.v1 import task_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask
from host.cli.output import Column, JsonOption, SizeOption, print_page

COLUMNS: Final = (
    Column("id", "id"),
    Column("name", "name", wrap=True),
    Column("element", "taskDefinitionKey"),
    Column("assignee", "assignee"),
    Column("priority", "priority"),
    Column("due", "dueDate"),
    Column("created", "createTime"),
    Column("instance", "processInstanceId"),
)


def tasks(
    assignee: Annotated[str | None, typer.Option(help="Only those of this user.")] = None,
    candidate_user: Annotated[str | None, typer.Option(help="Only those that this user could claim.")] = None,
    candidate_group: Annotated[str | None, typer.Option(help="Only those that this group could claim.")] = None,
    unassigned: Annotated[bool, typer.Option("--unassigned", help="Only those that nobody has.")] = False,
    instance: Annotated[str | None, typer.Option(help="Only those of this process instance.")] = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List open tasks, oldest first."""
    request = pb.ListTasksRequest(
        assignee=assignee,
        candidate_user=candidate_user,
        candidate_group=candidate_group,
        unassigned=unassigned,
        process_instance_id=instance,
        size=size,
    )
    page = ask(target, lambda mesh: mesh.tasks.ListTasks(request))
    print_page(page, COLUMNS, "open tasks", to_json)
