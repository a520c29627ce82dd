"""A mesh at an address: its services as stubs, and what a call that goes wrong means for a command."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import grpc
import typer
from flowloom.engine.v1.management_service_pb2_grpc import ManagementServiceStub
from flowloom.engine.v1.repository_service_pb2_grpc import RepositoryServiceStub
from flowloom.engine.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from flowloom.engine.v1.saga_service_pb2_grpc import SagaServiceStub
from flowloom.engine.v1.task_service_pb2_grpc import TaskServiceStub
from flowloom.events.v1.dead_letter_service_pb2_grpc import DeadLetterServiceStub
from flowloom.forms.v1.form_repository_service_pb2_grpc import FormRepositoryServiceStub
from flowloom.forms.v1.form_service_pb2_grpc import FormServiceStub
from flowloom.history.v1.archive_service_pb2_grpc import ArchiveServiceStub
from flowloom.history.v1.erasure_service_pb2_grpc import ErasureServiceStub
from flowloom.history.v1.history_service_pb2_grpc import HistoryServiceStub
from flowloom.history.v1.rebuild_service_pb2_grpc import RebuildServiceStub
from flowloom.history.v1.search_service_pb2_grpc import SearchServiceStub
from flowloom.history.v1.statistics_service_pb2_grpc import StatisticsServiceStub
from flowloom.identity.v1.access_service_pb2_grpc import AccessServiceStub
from flowloom.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from flowloom.notify.v1.notification_service_pb2_grpc import NotificationServiceStub

from host.cli import sessions
from host.cli.credentials import NO_SESSION, bearer, given
from host.cli.output import complain
from mesh.access.calling import carrying
from mesh.ids import IdSource
from mesh.rpc_errors import refusal_in

DEFAULT_TARGET: Final = "127.0.0.1:8080"
CALL_SECONDS: Final = 30.0
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024

TargetOption = Annotated[
    str,
    typer.Option("--target", envvar="FLOWLOOM_TARGET", help="Where the mesh is: host:port of its edge."),
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mesh:
    """The services of a mesh."""

    repository: RepositoryServiceStub
    runtime: RuntimeServiceStub
    tasks: TaskServiceStub
    management: ManagementServiceStub
    sagas: SagaServiceStub
    history: HistoryServiceStub
    statistics: StatisticsServiceStub
    search: SearchServiceStub
    archive: ArchiveServiceStub
    erasures: ErasureServiceStub
    rebuilds: RebuildServiceStub
    notifications: NotificationServiceStub
    dead_letters: DeadLetterServiceStub
    forms: FormRepositoryServiceStub
    submissions: FormServiceStub
    identity: IdentityServiceStub
    access: AccessServiceStub


def ask(target: str, call: Callable[[Mesh], Awaitable[T]]) -> T:
    """Return what the call answers. A refusal is printed as one line, and the command ends with exit code 1."""
    with explained(target):
        return asyncio.run(_within(target, call))
    raise AssertionError("unreachable: what is explained ends the command")


@contextlib.contextmanager
def explained(target: str) -> Iterator[None]:
    """Print what goes wrong inside as one line, and end the command with exit code 1."""
    try:
        yield
        return
    except grpc.aio.AioRpcError as failed:
        refused = refusal_in(failed)
        if failed.code() is grpc.StatusCode.UNAUTHENTICATED and not _has_credentials(target):
            complain("not-logged-in", f"expected somebody to be logged in at {target}, found nobody: {NO_SESSION}")
        elif refused is not None:
            complain(refused.reason, refused.message)
        elif failed.code() is grpc.StatusCode.UNAVAILABLE:
            complain("unavailable", f"expected a mesh at {target}, found none that answers ({failed.details()})")
        elif failed.code() is grpc.StatusCode.CANCELLED:
            complain("timeout", f"expected an answer from {target} within {CALL_SECONDS:.0f} s, found none")
        else:
            complain(failed.code().name.lower().replace("_", "-"), failed.details() or "no message")
    except TimeoutError:
        complain("timeout", f"expected an answer from {target} within {CALL_SECONDS:.0f} s, found none")
    except sessions.SignedOut:
        complain("session-over", f"expected an open session with {target}, found it over: {NO_SESSION}")
    raise typer.Exit(1)


def _has_credentials(target: str) -> bool:
    return bool(given.token or given.user) or sessions.is_kept(target)


async def gathered(stream: AsyncIterable[T]) -> list[T]:
    """Return all elements of a streamed answer."""
    return [element async for element in stream]


def request_id() -> str:
    """Return a new id for a request that changes something."""
    return IdSource().root()


async def _within(target: str, call: Callable[[Mesh], Awaitable[T]]) -> T:
    options = (
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    )
    async with asyncio.timeout(CALL_SECONDS), grpc.aio.insecure_channel(target, options=options) as asking:
        token = await bearer(target, asking)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
    async with (
        asyncio.timeout(CALL_SECONDS),
        grpc.aio.insecure_channel(target, options=options, interceptors=carrying(lambda: metadata)) as channel,
    ):
        return await call(
            Mesh(
                repository=RepositoryServiceStub(channel),
                runtime=RuntimeServiceStub(channel),
                tasks=TaskServiceStub(channel),
                management=ManagementServiceStub(channel),
                sagas=SagaServiceStub(channel),
                history=HistoryServiceStub(channel),
                statistics=StatisticsServiceStub(channel),
                search=SearchServiceStub(channel),
                archive=ArchiveServiceStub(channel),
                erasures=ErasureServiceStub(channel),
                rebuilds=RebuildServiceStub(channel),
                notifications=NotificationServiceStub(channel),
                dead_letters=DeadLetterServiceStub(channel),
                forms=FormRepositoryServiceStub(channel),
                submissions=FormServiceStub(channel),
                identity=IdentityServiceStub(channel),
                access=AccessServiceStub(channel),
            )
        )
