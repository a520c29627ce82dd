"""`flowloom privileges`: what users and groups may do."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from flowloom.identity.v1 import identity_service_pb2 as pb

from host.cli.connection import DEFAULT_TARGET, Mesh, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, SizeOption, complain, print_done, print_page

app: Final = typer.Typer(help="List privileges, grant them to users and groups, revoke them.", no_args_is_help=True)

COLUMNS: Final = (Column("name", "name"), Column("id", "id"))

NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Such as engine.task.complete, or a pattern: engine.*", show_default=False),
]
UserOption = Annotated[str | None, typer.Option("--user", help="The user.")]
GroupOption = Annotated[str | None, typer.Option("--group", help="The group.")]


@app.command("list")
def list_privileges(
    user: Annotated[str | None, typer.Option(help="Only those that this user has by themselves.")] = None,
    group: Annotated[str | None, typer.Option(help="Only those of this group.")] = None,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List the privileges that can be granted, by name."""
    request = pb.ListPrivilegesRequest(user_id=user, group_id=group, size=size, sort="name")
    page = ask(target, lambda mesh: mesh.identity.ListPrivileges(request))
    print_page(page, COLUMNS, "privileges", to_json)


@app.command("grant")
def grant(
    name: NameArgument,
    user: UserOption = None,
    group: GroupOption = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Grant a privilege to a user or a group; one of a new name is created."""
    holder = _holder(user, group)

    async def call(mesh: Mesh) -> None:
        privilege_id = await _find(mesh, name) or await _create(mesh, name)
        if user is not None:
            await mesh.identity.AddPrivilegeUser(
                pb.AddPrivilegeUserRequest(privilege_id=privilege_id, user_id=user, request_id=request_id())
            )
        else:
            await mesh.identity.AddPrivilegeGroup(
                pb.AddPrivilegeGroupRequest(privilege_id=privilege_id, group_id=group or "", request_id=request_id())
            )

    ask(target, call)
    print_done(f"{user or group} has {name}", {"privilege": name, **holder, "granted": True}, to_json)


@app.command("revoke")
def revoke(
    name: NameArgument,
    user: UserOption = None,
    group: GroupOption = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Take a privilege from a user or a group. What they have by other ways, they keep."""
    holder = _holder(user, group)

    async def call(mesh: Mesh) -> None:
        privilege_id = await _find(mesh, name)
        if not privilege_id:
            complain("privilege-not-found", f"expected a privilege that can be revoked, found none named '{name}'")
            raise typer.Exit(1)
        if user is not None:
            await mesh.identity.RemovePrivilegeUser(
                pb.RemovePrivilegeUserRequest(privilege_id=privilege_id, user_id=user, request_id=request_id())
            )
        else:
            await mesh.identity.RemovePrivilegeGroup(
                pb.RemovePrivilegeGroupRequest(privilege_id=privilege_id, group_id=group or "", request_id=request_id())
            )

    ask(target, call)
    print_done(f"{user or group} no longer has {name}", {"privilege": name, **holder, "revoked": True}, to_json)


def _holder(user: str | None, group: str | None) -> dict[str, str]:
    if bool(user) == bool(group):
        raise typer.BadParameter(f"expected either --user or --group, found {'both' if user else 'neither'}")
    return {"userId": user} if user else {"groupId": group or ""}


async def _find(mesh: Mesh, name: str) -> str:
    found = await mesh.identity.ListPrivileges(pb.ListPrivilegesRequest(name=name))
    return found.data[0].id if found.data else ""


async def _create(mesh: Mesh, name: str) -> str:
    made = await mesh.identity.CreatePrivilege(pb.CreatePrivilegeRequest(name=name, request_id=request_id()))
    return made.id
