"""`flowloom instances`: what runs, and what ran."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.engine.v1 import runtime_service_pb2 as pb
from flowloom.history.v1 import history_service_pb2 as history_pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask
from host.cli.output import Column, JsonOption, SizeOption, print_page

RUNNING_COLUMNS: Final = (
    Column("id", "id"),
    Column("definition", "processDefinitionKey"),
    Column("version", "processDefinitionVersion"),
    Column("business key", "businessKey"),
    Column("state", "state"),
    Column("started", "startTime"),
    Column("by", "startUserId"),
)
ENDED_COLUMNS: Final = (
    *RUNNING_COLUMNS[:-1],
    Column("ended", "endTime"),
    Column("at", "endActivityId"),
    Column("reason", "deleteReason", wrap=True),
)


def instances(
    key: Annotated[str | None, typer.Option(help="Only those of this process definition.")] = None,
    business_key: Annotated[str | None, typer.Option(help="Only those with this business key.")] = None,
    ended: Annotated[bool, typer.Option("--ended", help="Those that are over, from the history.")] = False,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List process instances, newest first."""
    if ended:
        past = history_pb.ListHistoricProcessInstancesRequest(
            process_definition_key=key,
            process_business_key=business_key,
            finished=True,
            size=size,
            sort="startTime",
            order="desc",
        )
        found = ask(target, lambda mesh: mesh.history.ListHistoricProcessInstances(past))
        print_page(found, ENDED_COLUMNS, "ended instances", to_json)
        return
    request = pb.ListProcessInstancesRequest(
        process_definition_key=key, business_key=business_key, size=size, sort="startTime", order="desc"
    )
    page = ask(target, lambda mesh: mesh.runtime.ListProcessInstances(request))
    print_page(page, RUNNING_COLUMNS, "running instances", to_json)
