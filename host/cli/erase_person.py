"""`flowloom users erase`: a person is erased from every service that keeps something of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import typer
from flowloom.forms.v1 import form_service_pb2
from flowloom.history.v1 import erasure_service_pb2
from flowloom.identity.v1 import identity_service_pb2
from flowloom.notify.v1 import notification_service_pb2

from host.cli.connection import DEFAULT_TARGET, Mesh, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, print_json, print_table

COLUMNS: Final = (Column("service", "service"), Column("of", "kind"), Column("rows", "rows"))


def erase(
    user_id: Annotated[str, typer.Argument(metavar="USER_ID", help="Whom to erase.", show_default=False)],
    with_values: Annotated[bool, typer.Option("--with-values", help="What they put into forms goes too.")] = False,
    with_comments: Annotated[bool, typer.Option("--with-comments", help="Their remarks in history go too.")] = False,
    variable: Annotated[
        list[str] | None, typer.Option(help="A variable in history whose values go too; several times.")
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Erase a person from identity, notify, forms and history. What is under way in the engine stays until it ends."""
    forms = form_service_pb2.ErasePersonRequest(user_id=user_id, with_values=with_values, request_id=request_id())
    history = erasure_service_pb2.ErasePersonRequest(
        user_id=user_id, variable_names=variable or [], with_comments=with_comments, request_id=request_id()
    )
    # Identity first: whom it does not know any more, nobody writes to.
    steps: tuple[tuple[str, Callable[[Mesh], Awaitable[dict[str, int]]]], ...] = (
        ("identity", lambda mesh: _from_identity(mesh, user_id)),
        ("notify", lambda mesh: _from_notify(mesh, user_id)),
        ("forms", lambda mesh: _from_forms(mesh, forms)),
        ("history", lambda mesh: _from_history(mesh, history)),
    )
    erased: dict[str, dict[str, int]] = {}
    for service, step in steps:
        # Each by itself: what went before stays told if one refuses, and all may be repeated.
        erased[service] = ask(target, step)
        if not to_json:
            typer.echo(f"erased from {service}")
    if to_json:
        print_json(erased)
        return
    rows = [
        {"service": service, "kind": kind, "rows": count}
        for service, counts in erased.items()
        for kind, count in counts.items()
        if count
    ]
    print_table(COLUMNS, rows, len(rows), "kinds of rows")


async def _from_identity(mesh: Mesh, user_id: str) -> dict[str, int]:
    request = identity_service_pb2.EraseUserRequest(user_id=user_id, request_id=request_id())
    return dict((await mesh.identity.EraseUser(request)).removed)


async def _from_notify(mesh: Mesh, user_id: str) -> dict[str, int]:
    request = notification_service_pb2.EraseRecipientRequest(user_id=user_id, request_id=request_id())
    return dict((await mesh.notifications.EraseRecipient(request)).removed)


async def _from_forms(mesh: Mesh, request: form_service_pb2.ErasePersonRequest) -> dict[str, int]:
    answer = await mesh.submissions.ErasePerson(request)
    return {**answer.removed, "left, since their step is open": answer.open}


async def _from_history(mesh: Mesh, request: erasure_service_pb2.ErasePersonRequest) -> dict[str, int]:
    proof = await mesh.erasures.ErasePerson(request)
    return {rows.table: int(rows.changed + rows.deleted) for rows in proof.rows}
