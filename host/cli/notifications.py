"""`flowloom notifications`: what people were told, and what did not reach them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import typer
from flowloom.notify.v1 import notification_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, SizeOption, print_done, print_page

app: Final = typer.Typer(help="List messages to people, resend or cancel them.", no_args_is_help=True)

COLUMNS: Final = (
    Column("id", "id"),
    Column("event", "event"),
    Column("channel", "channel"),
    Column("recipient", "recipient"),
    Column("address", "address"),
    Column("state", "state"),
    Column("attempts", "attempts"),
    Column("created", "createTime"),
    Column("subject", "subject", wrap=True),
    Column("error", "error", wrap=True),
)

DeliveryArgument = Annotated[str, typer.Argument(metavar="DELIVERY_ID", help="Id of the delivery.", show_default=False)]


class State(StrEnum):
    """What became of a message."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    DEAD = "dead"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"


@app.command("list")
def list_deliveries(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only those to this user.")] = None,
    event: Annotated[str | None, typer.Option(help="Only those about this, such as task-overdue.")] = None,
    task: Annotated[str | None, typer.Option(help="Only those about this task.")] = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List messages, the newest first."""
    request = pb.ListDeliveriesRequest(
        state=state.value if state is not None else None,
        recipient=recipient,
        event=event,
        task_id=task,
        size=size,
        order="desc",
    )
    page = ask(target, lambda mesh: mesh.notifications.ListDeliveries(request))
    print_page(page, COLUMNS, "deliveries", to_json)


@app.command("resend")
def resend(delivery_id: DeliveryArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Send a message that is over once more."""
    request = pb.ResendDeliveryRequest(delivery_id=delivery_id, request_id=request_id())
    ask(target, lambda mesh: mesh.notifications.ResendDelivery(request))
    print_done(f"{delivery_id} is sent again", {"deliveryId": delivery_id, "resent": True}, to_json)


@app.command("cancel")
def cancel(delivery_id: DeliveryArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Give up a message that waits for its next attempt."""
    request = pb.CancelDeliveryRequest(delivery_id=delivery_id, request_id=request_id())
    ask(target, lambda mesh: mesh.notifications.CancelDelivery(request))
    print_done(f"{delivery_id} is cancelled", {"deliveryId": delivery_id, "cancelled": True}, to_json)
