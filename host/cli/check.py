"""`flowloom check`: is the database consistent?"""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.engine.v1 import management_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask
from host.cli.output import Column, JsonOption, as_json, print_json, print_table

COLUMNS: Final = (
    Column("rule", "rule"),
    Column("instance", "processInstanceId"),
    Column("subject", "subjectId"),
    Column("finding", "message", wrap=True),
)


def check(
    instance: Annotated[str | None, typer.Option(help="Only the tree of this root instance.")] = None,
    max_findings: Annotated[int, typer.Option(min=1, help="Stop after so many findings.")] = 100,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Prove the database consistent: tokens against tasks, jobs and subscriptions, and the order of events."""
    request = pb.CheckConsistencyRequest(root_process_instance_id=instance, max_findings=max_findings)
    found = ask(target, lambda mesh: mesh.management.CheckConsistency(request))
    if to_json:
        print_json({"consistent": False, "findings": [], **as_json(found)})
    elif found.consistent:
        typer.echo(f"consistent: {found.instances_checked} instances checked")
    else:
        findings = [as_json(finding) for finding in found.findings]
        print_table(COLUMNS, findings, len(findings), f"findings in {found.instances_checked} instances")
    if not found.consistent:
        raise typer.Exit(1)
