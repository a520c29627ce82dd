"""`flowloom groups`: users under one name."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.identity.v1 import identity_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, SizeOption, as_json, print_done, print_page

app: Final = typer.Typer(help="List, create and delete groups, add and remove their members.", no_args_is_help=True)

COLUMNS: Final = (Column("id", "id"), Column("name", "name"), Column("type", "type"), Column("tenant", "tenantId"))

GroupArgument = Annotated[str, typer.Argument(metavar="GROUP_ID", help="Id of the group.", show_default=False)]
MemberArgument = Annotated[str, typer.Argument(metavar="USER_ID", help="Id of the user.", show_default=False)]


@app.command("list")
def list_groups(
    user: Annotated[str | None, typer.Option(help="Only those that this user is in.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List groups by id; 'flowloom users list --group' lists members."""
    request = pb.ListGroupsRequest(member=user, tenant_id=tenant, size=size, sort="id")
    page = ask(target, lambda mesh: mesh.identity.ListGroups(request))
    print_page(page, COLUMNS, "groups", to_json)


@app.command("create")
def create(
    group_id: GroupArgument,
    name: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="A word of your own, such as assignment.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant; yours if not told.")] = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Create a group without members."""
    request = pb.CreateGroupRequest(id=group_id, name=name, type=type_, tenant_id=tenant, request_id=request_id())
    group = ask(target, lambda mesh: mesh.identity.CreateGroup(request))
    print_done(f"created {group.id}", as_json(group), to_json)


@app.command("delete")
def delete(group_id: GroupArgument, target: TargetOption = DEFAULT_TARGET, to_json: JsonOption = False) -> None:
    """Delete a group; its members lose the privileges that it brought."""
    request = pb.DeleteGroupRequest(group_id=group_id, request_id=request_id())
    ask(target, lambda mesh: mesh.identity.DeleteGroup(request))
    print_done(f"deleted {group_id}", {"groupId": group_id, "deleted": True}, to_json)


@app.command("add")
def add(
    group_id: GroupArgument,
    user_id: MemberArgument,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Put a user into a group."""
    request = pb.CreateMembershipRequest(group_id=group_id, user_id=user_id, request_id=request_id())
    membership = ask(target, lambda mesh: mesh.identity.CreateMembership(request))
    print_done(f"{user_id} is in {group_id}", as_json(membership), to_json)


@app.command("remove")
def remove(
    group_id: GroupArgument,
    user_id: MemberArgument,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Take a user out of a group."""
    request = pb.DeleteMembershipRequest(group_id=group_id, user_id=user_id, request_id=request_id())
    ask(target, lambda mesh: mesh.identity.DeleteMembership(request))
    print_done(
        f"{user_id} is no longer in {group_id}", {"groupId": group_id, "userId": user_id, "removed": True}, to_json
    )
