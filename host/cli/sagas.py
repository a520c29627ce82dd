"""`flowloom sagas`: sagas with their logs, what a person does about them, and who takes part."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.engine.v1 import saga_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, SizeOption, as_json, print_done, print_json, print_page

app: Final = typer.Typer(
    help="List sagas and their logs, retry, close or confirm them, and register participants.", no_args_is_help=True
)

COLUMNS: Final = (
    Column("id", "id"),
    Column("saga", "name"),
    Column("state", "state"),
    Column("at step", "stepId"),
    Column("instance", "processInstanceId"),
    Column("began", "createTime"),
    Column("error", "error", wrap=True),
)
LOG_COLUMNS: Final = (
    Column("#", "number"),
    Column("step", "stepId"),
    Column("state", "state"),
    Column("attempt", "attempt"),
    Column("began", "startTime"),
    Column("ms", "durationInMillis"),
    Column("error", "error", wrap=True),
)
PARTICIPANT_COLUMNS: Final = (
    Column("id", "id"),
    Column("name", "name"),
    Column("definition", "processDefinitionKey"),
    Column("target", "target"),
    Column("topic", "topic"),
    Column("timeout", "timeout"),
    Column("tries", "tries"),
    Column("position", "position"),
)

SagaArgument = Annotated[str, typer.Argument(metavar="SAGA_ID", help="Id of the saga.", show_default=False)]


@app.command("list")
def list_sagas(
    state: Annotated[str | None, typer.Option(help="Only those in this state, such as COMPENSATED.")] = None,
    name: Annotated[str | None, typer.Option(help="Only those of this name, such as completion.")] = None,
    instance: Annotated[str | None, typer.Option(help="Only those about this process instance.")] = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List sagas, the newest first."""
    request = pb.ListSagasRequest(state=state, name=name, process_instance_id=instance, size=size, order="desc")
    page = ask(target, lambda mesh: mesh.sagas.ListSagas(request))
    print_page(page, COLUMNS, "sagas", to_json)


@app.command("show")
def show(saga_id: SagaArgument, target: TargetOption = DEFAULT_TARGET) -> None:
    """Print one saga."""
    print_json(as_json(ask(target, lambda mesh: mesh.sagas.GetSaga(pb.GetSagaRequest(saga_id=saga_id)))))


@app.command("log")
def log(
    saga_id: SagaArgument, size: SizeOption = 200, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False
) -> None:
    """Show what happened in a saga, in order."""
    request = pb.ListSagaLogRequest(saga_id=saga_id, size=size)
    page = ask(target, lambda mesh: mesh.sagas.ListSagaLog(request))
    print_page(page, LOG_COLUMNS, "lines", to_json)


@app.command("retry")
def retry(saga_id: SagaArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Go on with a saga that came to a bad end."""
    request = pb.RetrySagaRequest(saga_id=saga_id, request_id=request_id())
    ask(target, lambda mesh: mesh.sagas.RetrySaga(request))
    print_done(f"{saga_id} goes on", {"sagaId": saga_id, "retried": True}, to_json)


@app.command("close")
def close(
    saga_id: SagaArgument,
    note: Annotated[str, typer.Option(help="Why; stands in the log.")] = "",
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Leave a saga that came to a bad end as it is."""
    request = pb.CloseSagaRequest(saga_id=saga_id, note=note, request_id=request_id())
    ask(target, lambda mesh: mesh.sagas.CloseSaga(request))
    print_done(f"closed {saga_id}", {"sagaId": saga_id, "closed": True}, to_json)


@app.command("confirm")
def confirm(
    saga_id: SagaArgument,
    step_id: Annotated[str, typer.Argument(metavar="STEP_ID", help="The step.", show_default=False)],
    compensation: Annotated[bool, typer.Option(help="It was taken back, not done.")] = False,
    error: Annotated[str | None, typer.Option(help="It failed, for this reason.")] = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Say in a participant's place that a step is done, or that it failed."""
    request = pb.ConfirmSagaStepRequest(
        saga_id=saga_id,
        step_id=step_id,
        action="compensate" if compensation else "execute",
        error=error,
        request_id=request_id(),
    )
    ask(target, lambda mesh: mesh.sagas.ConfirmSagaStep(request))
    print_done(f"told {step_id} of {saga_id}", {"sagaId": saga_id, "stepId": step_id}, to_json)


@app.command("participants")
def participants(size: SizeOption = 50, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """List who takes part in the completion of instances."""
    page = ask(target, lambda mesh: mesh.sagas.ListSagaParticipants(pb.ListSagaParticipantsRequest(size=size)))
    print_page(page, PARTICIPANT_COLUMNS, "participants", to_json)


@app.command("register")
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)],
    address: Annotated[str | None, typer.Option(help="host:port of its SagaParticipantService.")] = None,
    topic: Annotated[str | None, typer.Option(help="Or the topic flowable.saga.TOPIC on which it listens.")] = None,
    definition: Annotated[str | None, typer.Option(help="Only for instances of this definition key.")] = None,
    timeout: Annotated[str | None, typer.Option(help="ISO 8601, such as PT10S.")] = None,
    position: Annotated[int, typer.Option(help="The lower takes part first.")] = 0,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Register a participant, or change the one of that name."""
    request = pb.RegisterSagaParticipantRequest(
        name=name,
        target=address,
        topic=topic,
        process_definition_key=definition,
        timeout=timeout,
        position=position,
        request_id=request_id(),
    )
    found = ask(target, lambda mesh: mesh.sagas.RegisterSagaParticipant(request))
    print_done(f"registered {name} as {found.id}", {"participantId": found.id, "name": name}, to_json)


@app.command("unregister")
def unregister(
    participant_id: Annotated[str, typer.Argument(metavar="PARTICIPANT_ID", help="Its id.", show_default=False)],
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Take a participant away."""
    request = pb.UnregisterSagaParticipantRequest(participant_id=participant_id, request_id=request_id())
    ask(target, lambda mesh: mesh.sagas.UnregisterSagaParticipant(request))
    print_done(f"unregistered {participant_id}", {"participantId": participant_id}, to_json)
