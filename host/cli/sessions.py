"""Who the command line is: sessions that were opened with `flowloom login`, kept in a file of the user's own.

The file is `$XDG_CONFIG_HOME/flowloom/sessions.json` (or `~/.config/...`), readable by its owner alone, one session for
each mesh. A session is refreshed when its access token is about to end, by one process at a time: a refresh token that
comes twice is taken for stolen.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from flowloom.identity.v1 import access_service_pb2 as pb
from flowloom.identity.v1.access_service_pb2_grpc import AccessServiceStub

from mesh.clock import SystemClock
from mesh.ids import IdSource

REFRESH_BEFORE_SECONDS: Final = 30.0
OWNER_ONLY: Final = 0o600
FOLDER_OWNER_ONLY: Final = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open session with one mesh; moments in seconds since 1970."""

    user_id: str
    access_token: str
    access_until: float
    refresh_token: str
    refresh_until: float


class SignedOut(Exception):
    """There was a session, and it cannot be continued."""


def folder() -> Path:
    """Where the file is."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "flowloom"


def opened(answer: Any) -> Session:
    """Return the session of a Login's or a Refresh's answer."""
    now = SystemClock().now().timestamp()
    return Session(
        user_id=answer.user_id,
        access_token=answer.access_token,
        access_until=now + answer.expires_in,
        refresh_token=answer.refresh_token,
        refresh_until=now + answer.refresh_expires_in,
    )


def keep(target: str, session: Session) -> Path:
    """Keep a session; returns the file."""
    with _locked() as path:
        sessions = _read(path)
        sessions[target] = asdict(session)
        _write(path, sessions)
        return path


def is_kept(target: str) -> bool:
    """Tell whether there is a session with a mesh."""
    return target in _read(folder() / "sessions.json")


def forget(target: str) -> Session | None:
    """Forget a session and return it."""
    with _locked() as path:
        sessions = _read(path)
        found = sessions.pop(target, None)
        if found is not None:
            _write(path, sessions)
        return None if found is None else Session(**found)


async def access_token(target: str, channel: grpc.aio.Channel) -> str:
    """Return a token of the session with a mesh that is good for a while, refreshed if need be; empty for no session.

    Raises SignedOut if the session is over, grpc.aio.AioRpcError if the mesh does not answer.
    """
    if not is_kept(target):
        return ""
    with _locked() as path:
        sessions = _read(path)
        found = sessions.get(target)
        if found is None:
            return ""
        session = Session(**found)
        if session.access_until - REFRESH_BEFORE_SECONDS > SystemClock().now().timestamp():
            return session.access_token
        try:
            session = await _refreshed(session, channel)
        except SignedOut:
            del sessions[target]
            _write(path, sessions)
            raise
        sessions[target] = asdict(session)
        _write(path, sessions)
        return session.access_token


async def _refreshed(session: Session, channel: grpc.aio.Channel) -> Session:
    request = pb.RefreshRequest(refresh_token=session.refresh_token, request_id=IdSource().root())
    try:
        return opened(await AccessServiceStub(channel).Refresh(request))
    except grpc.aio.AioRpcError as failed:
        if failed.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise SignedOut from failed
        raise


@contextlib.contextmanager
def _locked() -> Iterator[Path]:
    """Hold the file against other processes of the user, and return its path."""
    place = folder()
    place.mkdir(mode=FOLDER_OWNER_ONLY, parents=True, exist_ok=True)
    lock = os.open(place / "sessions.lock", os.O_CREAT | os.O_RDWR, OWNER_ONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place / "sessions.json"
    finally:
        os.close(lock)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, sessions: dict[str, dict[str, Any]]) -> None:
    """Write all at once, and never readable for others, not even for a moment."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(sessions, file)
    fresh.replace(path)
