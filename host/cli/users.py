"""`flowloom users`: who can log in and be given tasks."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.identity.v1 import access_service_pb2
from flowloom.identity.v1 import identity_service_pb2 as pb

from host.cli import erase_person
from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.credentials import NewPasswordOption, new_password
from host.cli.output import Column, JsonOption, SizeOption, as_json, print_done, print_page

app: Final = typer.Typer(help="List, create, delete and erase users, and set passwords.", no_args_is_help=True)
app.command("erase")(erase_person.erase)

COLUMNS: Final = (
    Column("id", "id"),
    Column("first name", "firstName"),
    Column("last name", "lastName"),
    Column("e-mail", "email"),
    Column("tenant", "tenantId"),
    Column("disabled", "disabled"),
)

UserArgument = Annotated[str, typer.Argument(metavar="USER_ID", help="Id of the user.", show_default=False)]


@app.command("list")
def list_users(
    group: Annotated[str | None, typer.Option(help="Only members of this group.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List users by id."""
    request = pb.ListUsersRequest(member_of_group=group, tenant_id=tenant, size=size, sort="id")
    page = ask(target, lambda mesh: mesh.identity.ListUsers(request))
    print_page(page, COLUMNS, "users", to_json)


@app.command("create")
def create(
    user_id: UserArgument,
    password: NewPasswordOption = "",
    no_password: Annotated[bool, typer.Option("--no-password", help="Nobody can log in with a password.")] = False,
    one_time: Annotated[bool, typer.Option("--one-time", help="The password is good for changing it only.")] = False,
    first_name: Annotated[str | None, typer.Option(help="First name.")] = None,
    last_name: Annotated[str | None, typer.Option(help="Last name.")] = None,
    email: Annotated[str | None, typer.Option(help="Where mail goes.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant; yours if not told.")] = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Create a user; the password is asked for."""
    request = pb.CreateUserRequest(
        id=user_id,
        first_name=first_name,
        last_name=last_name,
        email=email,
        tenant_id=tenant,
        password=None if no_password else new_password(password),
        must_change_password=one_time and not no_password,
        request_id=request_id(),
    )
    user = ask(target, lambda mesh: mesh.identity.CreateUser(request))
    print_done(f"created {user.id}", as_json(user), to_json)


@app.command("delete")
def delete(user_id: UserArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Delete a user; their sessions and API tokens open nothing from now on."""
    request = pb.DeleteUserRequest(user_id=user_id, request_id=request_id())
    ask(target, lambda mesh: mesh.identity.DeleteUser(request))
    print_done(f"deleted {user_id}", {"userId": user_id, "deleted": True}, to_json)


@app.command("password")
def set_password(
    user_id: Annotated[str, typer.Argument(metavar="[USER_ID]", help="Whose; your own if not told.")] = "",
    old_password: Annotated[
        str,
        typer.Option(
            envvar="FLOWLOOM_PASSWORD", help="For your own: the one so far; asked for if not told.", show_default=False
        ),
    ] = "",
    password: NewPasswordOption = "",
    one_time: Annotated[bool, typer.Option("--one-time", help="It is good for changing it only.")] = False,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Set a password. All sessions of the user end."""
    if user_id:
        request = pb.UpdateUserRequest(
            user_id=user_id,
            password=new_password(password),
            must_change_password=one_time,
            request_id=request_id(),
        )
        ask(target, lambda mesh: mesh.identity.UpdateUser(request))
    else:
        if one_time:
            raise typer.BadParameter("expected a user with --one-time, found none")
        caller = access_service_pb2.GetCurrentUserRequest()
        user_id = ask(target, lambda mesh: mesh.access.GetCurrentUser(caller)).user_id
        change = access_service_pb2.ChangePasswordRequest(
            user_id=user_id,
            password=old_password or typer.prompt("Password", hide_input=True),
            new_password=new_password(password),
            request_id=request_id(),
        )
        ask(target, lambda mesh: mesh.access.ChangePassword(change))
    print_done(f"{user_id} has a new password", {"userId": user_id, "changed": True}, to_json)
