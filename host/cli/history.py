"""`flowloom history`: what happened, how long it took, and what becomes of it."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer
from flowloom.history.v1 import (
    archive_service_pb2,
    erasure_service_pb2,
    rebuild_service_pb2,
    search_service_pb2,
    statistics_service_pb2,
)

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import (
    Column,
    JsonOption,
    SizeOption,
    as_json,
    complain,
    print_done,
    print_json,
    print_page,
    print_table,
)

app: Final = typer.Typer(help="Statistics, search, archive, erasure and rebuild of the history.", no_args_is_help=True)
LOOK_SECONDS: Final = 0.5

PROCESSES: Final = (
    Column("process", "processDefinitionKey"),
    Column("started", "started"),
    Column("completed", "completed"),
    Column("terminated", "terminated"),
    Column("failed", "failed"),
    Column("open", "open"),
    Column("mean", "mean"),
    Column("p50", "p50"),
    Column("p95", "p95"),
)
ELEMENTS: Final = (
    Column("process", "processDefinitionKey"),
    Column("element", "activityId"),
    Column("type", "activityType"),
    Column("completed", "completed"),
    Column("open", "open"),
    Column("total", "total"),
    Column("mean", "mean"),
    Column("p95", "p95"),
)
USERS: Final = (
    Column("user", "userId"),
    Column("open", "open"),
    Column("overdue", "overdue"),
    Column("assigned", "assigned"),
    Column("completed", "completed"),
    Column("mean work", "meanWorkTimeInMillis"),
)
HITS: Final = (
    Column("instance", "processInstanceId"),
    Column("field", "field"),
    Column("name", "name", wrap=True),
    Column("business key", "businessKey"),
    Column("process", "processDefinitionKey"),
    Column("state", "state"),
)
ARCHIVED: Final = (
    Column("instance", "processInstanceId"),
    Column("process", "processDefinitionKey"),
    Column("business key", "businessKey"),
    Column("ended", "endTime"),
    Column("archived", "archiveTime"),
    Column("file", "file"),
)
FromOption = Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")]


@app.command("processes")
def processes(
    first: FromOption = None, last: ToOption = None, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False
) -> None:
    """Show counts and durations (in milliseconds) of process instances."""
    request = statistics_service_pb2.GetProcessStatisticsRequest(from_day=first, to_day=last)
    _show(ask(target, lambda mesh: mesh.statistics.GetProcessStatistics(request)), PROCESSES, "processes", to_json)


@app.command("bottlenecks")
def bottlenecks(
    process: Annotated[str | None, typer.Option(help="Only elements of this process.")] = None,
    first: FromOption = None,
    last: ToOption = None,
    size: SizeOption = 20,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Show the elements where tokens spent the most time (in milliseconds)."""
    request = statistics_service_pb2.GetElementStatisticsRequest(
        process_definition_key=process, from_day=first, to_day=last, limit=size
    )
    _show(ask(target, lambda mesh: mesh.statistics.GetElementStatistics(request)), ELEMENTS, "elements", to_json)


@app.command("workload")
def workload(
    first: FromOption = None,
    last: ToOption = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Show what people have to do and did."""
    request = statistics_service_pb2.GetWorkloadRequest(from_day=first, to_day=last, limit=size)
    _show(ask(target, lambda mesh: mesh.statistics.GetWorkload(request)), USERS, "users", to_json)


@app.command("search")
def search(
    text: Annotated[str, typer.Argument(metavar="WORDS", help="Words, or their beginnings.", show_default=False)],
    size: SizeOption = 20,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Search names, business keys and variables."""
    request = search_service_pb2.SearchHistoryRequest(text=text, size=size)
    _show(ask(target, lambda mesh: mesh.search.SearchHistory(request)), HITS, "hits", to_json)


@app.command("policy")
def policy(
    process: Annotated[str, typer.Argument(metavar="PROCESS", help="A process' key, or * for all others.")],
    days: Annotated[int, typer.Option(help="Days after their end.", min=0)],
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Say after how many days instances go to the archive."""
    request = archive_service_pb2.SetArchivePolicyRequest(
        process_definition_key=process, retention_days=days, request_id=request_id()
    )
    made = ask(target, lambda mesh: mesh.archive.SetArchivePolicy(request))
    print_done(f"instances of {process} go to the archive {days} days after their end", as_json(made), to_json)


@app.command("archive")
def archive(target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Move what is due to the archive now."""
    request = archive_service_pb2.RunArchiveRequest(request_id=request_id())
    done = ask(target, lambda mesh: mesh.archive.RunArchive(request))
    print_done(f"archived {done.instances} instances in {done.files} files", as_json(done), to_json)


@app.command("archived")
def archived(size: SizeOption = 50, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """List what lies in the archive."""
    request = archive_service_pb2.ListArchivedInstancesRequest(size=size, sort="archiveTime", order="desc")
    print_page(
        ask(target, lambda mesh: mesh.archive.ListArchivedInstances(request)), ARCHIVED, "archived instances", to_json
    )


@app.command("restore")
def restore(
    instance: Annotated[str, typer.Argument(metavar="INSTANCE_ID", help="An archived instance.", show_default=False)],
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Bring an instance back from the archive."""
    request = archive_service_pb2.RestoreArchivedInstanceRequest(process_instance_id=instance, request_id=request_id())
    back = ask(target, lambda mesh: mesh.archive.RestoreArchivedInstance(request))
    print_done(f"restored {', '.join(back.process_instance_ids)}", as_json(back), to_json)


@app.command("erase-person")
def erase_person(
    user: Annotated[str, typer.Argument(metavar="USER_ID", help="Whom to erase.", show_default=False)],
    variable: Annotated[list[str] | None, typer.Option(help="A variable whose values go too; several times.")] = None,
    with_comments: Annotated[bool, typer.Option("--with-comments", help="The person's remarks go too.")] = False,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Replace a user's id in all of history, archives included, and print the proof's id."""
    request = erasure_service_pb2.ErasePersonRequest(
        user_id=user, variable_names=variable or [], with_comments=with_comments, request_id=request_id()
    )
    proof = ask(target, lambda mesh: mesh.erasures.ErasePerson(request))
    print_done(f"erased; the proof is {proof.id} ({proof.hash})", as_json(proof), to_json)


@app.command("erase-tenant")
def erase_tenant(
    tenant: Annotated[str, typer.Argument(metavar="TENANT_ID", help="Which tenant.", show_default=False)],
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Delete all that history has of a tenant, archives included, and print the proof's id."""
    request = erasure_service_pb2.EraseTenantRequest(tenant_id=tenant, request_id=request_id())
    proof = ask(target, lambda mesh: mesh.erasures.EraseTenant(request))
    print_done(f"erased; the proof is {proof.id} ({proof.hash})", as_json(proof), to_json)


@app.command("rebuild")
def rebuild(target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Make history anew from the stream, and wait until it is done."""
    request = rebuild_service_pb2.StartRebuildRequest(request_id=request_id())
    found = ask(target, lambda mesh: mesh.rebuilds.StartRebuild(request))
    while not found.HasField("end_time"):
        time.sleep(LOOK_SECONDS)
        look = rebuild_service_pb2.GetRebuildRequest(rebuild_id=found.id)
        found = ask(target, lambda mesh, look=look: mesh.rebuilds.GetRebuild(look))  # type: ignore[misc]
    if found.state == "refused":
        complain("rebuild-refused", found.error)
        raise typer.Exit(1)
    print_done(f"rebuilt from {found.messages} messages", as_json(found), to_json)


@app.command("lag")
def lag(target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Tell how far history is behind."""
    found = ask(target, lambda mesh: mesh.rebuilds.GetLag(rebuild_service_pb2.GetLagRequest()))
    print_done(f"{found.messages} messages behind ({found.seconds:.1f} s)", as_json(found), to_json)


def _show(answer: Any, columns: tuple[Column, ...], what: str, to_json: bool) -> None:
    """Print rows whose durations lie one level deeper than a table shows."""
    document = as_json(answer)
    if to_json:
        print_json({"data": [], **document})
        return
    rows = [{**row, **_rounded(row.get("durationInMillis", {}))} for row in document.get("data", [])]
    print_table(columns, rows, len(rows), what)


def _rounded(durations: dict[str, Any]) -> dict[str, int]:
    return {name: round(value) for name, value in durations.items() if name != "count"}
