"""`flowloom tokens`: secrets with which programs act as a user."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

import typer
from flowloom.identity.v1 import access_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from host.cli.connection import DEFAULT_TARGET, TargetOption, ask, request_id
from host.cli.output import Column, JsonOption, SizeOption, as_json, print_done, print_page
from mesh.clock import SystemClock

app: Final = typer.Typer(help="List, create and revoke API tokens.", no_args_is_help=True)

COLUMNS: Final = (
    Column("id", "id"),
    Column("user", "userId"),
    Column("name", "name"),
    Column("begins", "prefix"),
    Column("active", "active"),
    Column("created", "createTime"),
    Column("expires", "expireTime"),
    Column("last used", "lastUsedTime"),
)


@app.command("list")
def list_tokens(
    user: Annotated[str | None, typer.Option(help="Whose; your own if not told.")] = None,
    active: Annotated[bool, typer.Option("--active", help="Only those that still open something.")] = False,
    size: SizeOption = 50,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """List API tokens without their secrets, the newest first."""
    request = pb.ListApiTokensRequest(
        user_id=user, active=True if active else None, size=size, sort="createTime", order="desc"
    )
    page = ask(target, lambda mesh: mesh.access.ListApiTokens(request))
    print_page(page, COLUMNS, "tokens", to_json)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people know it by.", show_default=False)],
    user: Annotated[str, typer.Option(help="Whose; your own if not told.", show_default=False)] = "",
    days: Annotated[
        int | None, typer.Option(min=1, help="How long it is good; as the mesh allows if not told.")
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Create an API token and print its secret, which is not kept and cannot be shown again."""
    request = pb.CreateApiTokenRequest(user_id=user, name=name, expire_time=_in_days(days), request_id=request_id())
    made = ask(target, lambda mesh: mesh.access.CreateApiToken(request))
    print_done(made.secret, as_json(made), to_json)


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN_ID", help="Id of the token.", show_default=False)],
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Revoke an API token; it opens nothing from now on."""
    request = pb.RevokeApiTokenRequest(token_id=token_id, request_id=request_id())
    ask(target, lambda mesh: mesh.access.RevokeApiToken(request))
    print_done(f"revoked {token_id}", {"tokenId": token_id, "revoked": True}, to_json)


def _in_days(days: int | None) -> Timestamp | None:
    if days is None:
        return None
    moment = Timestamp()
    moment.FromDatetime(SystemClock().now() + timedelta(days=days))
    return moment
