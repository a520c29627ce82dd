"""`flowloom jobs`: work of the engine, listed and set going."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import typer
from flowloom.engine.v1 import management_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, SizeOption, print_done, print_page

app: Final = typer.Typer(help="List jobs, and retry, execute or move them.", no_args_is_help=True)

COLUMNS: Final = (
    Column("id", "id"),
    Column("does", "handlerType"),
    Column("element", "elementId"),
    Column("due", "dueDate"),
    Column("retries", "retries"),
    Column("locked by", "lockOwner"),
    Column("instance", "processInstanceId"),
    Column("error", "exceptionMessage", wrap=True),
)

JobArgument = Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job.", show_default=False)]


class Kind(StrEnum):
    """Where a job lies."""

    DUE = "due"
    TIMER = "timer"
    EXTERNAL = "external"
    DEAD = "dead"
    SUSPENDED = "suspended"


KINDS: Final = {
    Kind.DUE: "jobs",
    Kind.TIMER: "timer-jobs",
    Kind.EXTERNAL: "external-worker-jobs",
    Kind.DEAD: "deadletter-jobs",
    Kind.SUSPENDED: "suspended-jobs",
}


@app.command("list")
def list_jobs(
    kind: Annotated[Kind, typer.Option(help="Where they lie.")] = Kind.DUE,
    instance: Annotated[str | None, typer.Option(help="Only those of this process instance.")] = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List jobs of one kind."""
    request = pb.ListJobsRequest(kind=KINDS[kind], process_instance_id=instance, size=size)
    page = ask(target, lambda mesh: mesh.management.ListJobs(request))
    print_page(page, COLUMNS, f"{kind.value} jobs", to_json)


@app.command("retry")
def retry(
    job_id: JobArgument,
    retries: Annotated[int, typer.Option(min=1, help="How many attempts it gets.")] = 3,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Make a dead-letter job executable again."""
    request = pb.MoveDeadLetterJobRequest(job_id=job_id, retries=retries, request_id=request_id())
    ask(target, lambda mesh: mesh.management.MoveDeadLetterJob(request))
    print_done(f"{job_id} will be tried again", {"jobId": job_id, "retries": retries}, to_json)


@app.command("execute")
def execute(job_id: JobArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Execute a due job now."""
    request = pb.ExecuteJobRequest(job_id=job_id, request_id=request_id())
    ask(target, lambda mesh: mesh.management.ExecuteJob(request))
    print_done(f"executed {job_id}", {"jobId": job_id, "executed": True}, to_json)


@app.command("move")
def move(job_id: JobArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Make a timer due now."""
    request = pb.MoveTimerJobRequest(job_id=job_id, request_id=request_id())
    ask(target, lambda mesh: mesh.management.MoveTimerJob(request))
    print_done(f"{job_id} is due", {"jobId": job_id, "due": True}, to_json)
