"""`flowloom migrate`: a running instance goes on with another version."""

from __future__ import annotations

from typing import Annotated

import typer
from flowloom.engine.v1 import process_instance_pb2, runtime_service_pb2

from host.cli.connection import DEFAULT_TARGET, Mesh, TargetOption, ask, request_id
from host.cli.output import JsonOption, complain, print_done


def migrate(
    instance: Annotated[str, typer.Argument(help="Id of the running instance.", show_default=False)],
    to_key: Annotated[str | None, typer.Option(help="Key of the target; by default the instance's own.")] = None,
    to_version: Annotated[int | None, typer.Option(help="Version of the target; by default the latest.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FROM=TO", help="A token at FROM goes to TO; others keep their element."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say whether it would work.")] = False,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Migrate a process instance to another version of its definition."""
    mappings = [_mapping(text) for text in mapping or ()]

    async def call(mesh: Mesh) -> list[str]:
        wanted = runtime_service_pb2.GetProcessInstanceRequest(process_instance_id=instance)
        key = to_key or (await mesh.runtime.GetProcessInstance(wanted)).process_definition_key
        if dry_run:
            question = runtime_service_pb2.ValidateProcessInstanceMigrationRequest(
                process_instance_id=instance,
                to_process_definition_key=key,
                to_process_definition_version=to_version,
                activity_mappings=mappings,
            )
            return list((await mesh.runtime.ValidateProcessInstanceMigration(question)).validation_messages)
        request = runtime_service_pb2.MigrateProcessInstanceRequest(
            process_instance_id=instance,
            to_process_definition_key=key,
            to_process_definition_version=to_version,
            activity_mappings=mappings,
            request_id=request_id(),
        )
        await mesh.runtime.MigrateProcessInstance(request)
        return []

    obstacles = ask(target, call)
    for obstacle in obstacles if not to_json else ():
        complain("cannot-migrate", obstacle)
    if to_json or not obstacles:
        document = {"processInstanceId": instance, "migrated": not dry_run, "validationMessages": obstacles}
        print_done(f"{instance} can be migrated" if dry_run else f"migrated {instance}", document, to_json)
    if obstacles:
        raise typer.Exit(1)


def _mapping(text: str) -> process_instance_pb2.ActivityMapping:
    source, equals, goal = text.partition("=")
    if not source or not equals or not goal:
        raise typer.BadParameter(f"expected --map FROM=TO, found '{text}'")
    return process_instance_pb2.ActivityMapping(from_activity_id=source, to_activity_id=goal)
