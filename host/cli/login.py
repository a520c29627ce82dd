"""`flowloom login` and `flowloom logout`: a session with a mesh, which every command then uses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import grpc
import typer
from flowloom.identity.v1 import access_service_pb2 as pb
from flowloom.identity.v1.access_service_pb2_grpc import AccessServiceStub

from host.cli import credentials, sessions
from host.cli.connection import CALL_SECONDS, DEFAULT_TARGET, TargetOption, explained, request_id
from host.cli.output import JsonOption, print_done
from mesh.rpc_errors import refusal_in

MUST_CHANGE: Final = "password-change-required"

T = TypeVar("T")


def login(
    user: Annotated[str, typer.Argument(help="Whose session.", envvar="FLOWLOOM_USER")] = "admin",
    password: Annotated[
        str, typer.Option(envvar="FLOWLOOM_PASSWORD", help="The password; asked for if not told.", show_default=False)
    ] = "",
    new_password: Annotated[
        str,
        typer.Option(
            envvar="FLOWLOOM_NEW_PASSWORD", help="In place of a one-time password; asked for.", show_default=False
        ),
    ] = "",
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """Open a session. The first time, a one-time password is replaced by one of your own."""
    secret = password or typer.prompt("Password", hide_input=True)
    try:
        session = _ask(target, lambda access: _log_in(access, user, secret))
    except _MustChange:
        chosen = credentials.new_password(new_password)
        session = _ask(target, lambda access: _change_and_log_in(access, user, secret, chosen))
    path = sessions.keep(target, session)
    print_done(f"logged in as {user} (session in {path})", {"userId": user, "target": target}, to_json)


def logout(
    everywhere: Annotated[bool, typer.Option("--everywhere", help="End all sessions of the user.")] = False,
    target: TargetOption = DEFAULT_TARGET,
    to_json: JsonOption = False,
) -> None:
    """End the session; its tokens open nothing from now on."""
    session = sessions.forget(target)
    if session is not None:
        request = pb.LogoutRequest(
            refresh_token=session.refresh_token, all_sessions=everywhere, request_id=request_id()
        )
        _ask(target, lambda access: access.Logout(request))
    who = "nobody" if session is None else session.user_id
    print_done(f"logged out {who}", {"userId": "" if session is None else who, "target": target}, to_json)


class _MustChange(Exception):
    """The password is right, and good for changing it only."""


async def _log_in(access: AccessServiceStub, user: str, password: str) -> sessions.Session:
    try:
        return sessions.opened(
            await access.Login(pb.LoginRequest(user_id=user, password=password, request_id=request_id()))
        )
    except grpc.aio.AioRpcError as failed:
        refused = refusal_in(failed)
        if refused is not None and refused.reason == MUST_CHANGE:
            raise _MustChange from failed
        raise


async def _change_and_log_in(access: AccessServiceStub, user: str, password: str, chosen: str) -> sessions.Session:
    await access.ChangePassword(
        pb.ChangePasswordRequest(user_id=user, password=password, new_password=chosen, request_id=request_id())
    )
    return await _log_in(access, user, chosen)


def _ask(target: str, call: Callable[[AccessServiceStub], Awaitable[T]]) -> T:
    async def within() -> T:
        async with grpc.aio.insecure_channel(target) as channel, asyncio.timeout(CALL_SECONDS):
            return await call(AccessServiceStub(channel))

    with explained(target):
        return asyncio.run(within())
    raise AssertionError("unreachable: what is explained ends the command")
