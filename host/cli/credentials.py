"""Which credentials a command sends: a token that it is given, a password, or the session of `flowloom login`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import grpc
import typer
from flowloom.identity.v1 import access_service_pb2 as pb
from flowloom.identity.v1.access_service_pb2_grpc import AccessServiceStub

from host.cli import sessions

NO_SESSION: Final = "log in with 'flowloom login', or give a token with --token"


NewPasswordOption = Annotated[
    str,
    typer.Option(
        "--password",
        envvar="FLOWLOOM_NEW_PASSWORD",
        help="The new password; asked for if not told.",
        show_default=False,
    ),
]


@dataclass(slots=True)
class Given:
    """What was given on the command line or in the environment, for this run of the program."""

    token: str = ""
    user: str = ""
    password: str = ""


given: Final = Given()
"""Set by the application's options before a command runs; one process runs one command."""


def remember(
    token: Annotated[
        str, typer.Option("--token", envvar="FLOWLOOM_TOKEN", help="Access token or API token to call with.")
    ] = "",
    user: Annotated[str, typer.Option("--as", envvar="FLOWLOOM_USER", help="Be this user for one command.")] = "",
    password: Annotated[str, typer.Option(envvar="FLOWLOOM_PASSWORD", help="Their password.", show_default=False)] = "",
) -> None:
    """Take the options that hold for every command."""
    given.token, given.user, given.password = token, user, password


def new_password(told: str) -> str:
    """Return a new password: what was told, else what is typed twice, unseen."""
    return told or str(typer.prompt("New password", hide_input=True, confirmation_prompt=True))


async def bearer(target: str, channel: grpc.aio.Channel) -> str:
    """Return the token for calls to a mesh, empty where nobody has logged in.

    Raises sessions.SignedOut if the session is over, grpc.aio.AioRpcError for a wrong password.
    """
    if given.token:
        return given.token
    if given.user and given.password:
        request = pb.LoginRequest(user_id=given.user, password=given.password)
        return (await AccessServiceStub(channel).Login(request)).access_token
    return await sessions.access_token(target, channel)
