"""`flowloom dead-letters`: messages of the event bus that a consumer gave up on."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.events.v1 import dead_letter_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, SizeOption, as_json, print_done, print_json, print_page

app: Final = typer.Typer(help="List, show, replay and discard what consumers gave up on.", no_args_is_help=True)

COLUMNS: Final = (
    Column("id", "id"),
    Column("group", "group"),
    Column("topic", "topic"),
    Column("key", "key"),
    Column("attempts", "attempts"),
    Column("parked", "parkedAt"),
    Column("error", "error", wrap=True),
)

LetterArgument = Annotated[str, typer.Argument(metavar="LETTER_ID", help="Id of the dead letter.", show_default=False)]


@app.command("list")
def list_letters(
    group: Annotated[str | None, typer.Option(help="Only those of this consumer group.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only those of this topic.")] = None,
    key: Annotated[str | None, typer.Option(help="Only those of this key: the root instance.")] = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List dead letters, the longest parked first."""
    request = pb.ListDeadLettersRequest(group=group, topic=topic, key=key, size=size)
    page = ask(target, lambda mesh: mesh.dead_letters.ListDeadLetters(request))
    print_page(page, COLUMNS, "dead letters", to_json)


@app.command("show")
def show(letter_id: LetterArgument, target: TargetOption = DEFAULT_TARGET) -> None:
    """Print one dead letter with its headers and, in base64, its payload."""
    request = pb.GetDeadLetterRequest(dead_letter_id=letter_id)
    print_json(as_json(ask(target, lambda mesh: mesh.dead_letters.GetDeadLetter(request))))


@app.command("replay")
def replay(letter_id: LetterArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Deliver it, and what waits behind it under its key, anew."""
    request = pb.ReplayDeadLetterRequest(dead_letter_id=letter_id, request_id=request_id())
    done = ask(target, lambda mesh: mesh.dead_letters.ReplayDeadLetter(request))
    sentence = f"{done.replayed} delivered, {done.left} of the key still parked"
    print_done(sentence, {"replayed": done.replayed, "left": done.left}, to_json)


@app.command("discard")
def discard(letter_id: LetterArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Drop it for good: its effects never happen."""
    request = pb.DiscardDeadLetterRequest(dead_letter_id=letter_id, request_id=request_id())
    ask(target, lambda mesh: mesh.dead_letters.DiscardDeadLetter(request))
    print_done(f"discarded {letter_id}", {"id": letter_id, "discarded": True}, to_json)
