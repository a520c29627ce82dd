"""What only the in-process transport can be asked: it starts later, and its ends are generated code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.local.rpc import PIPE_MESSAGES
from mesh.local_channel import LocalChannel, LocalServer
from tests.mesh.echo import Echo, EchoStub, Transport, add_echo_to_server, soon, text, within


class Health(health_pb2_grpc.HealthServicer):
    async def Check(self, request: Any, context: Any) -> Any:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Watch(self, request: Any, context: Any) -> Any:
        for status in (1, 2):
            yield health_pb2.HealthCheckResponse(status=status)


async def test_generated_code_works_unmodified_at_both_ends() -> None:
    server = LocalServer()
    add: Any = health_pb2_grpc.add_HealthServicer_to_server
    add(Health(), server)
    await server.start()
    stub: Any = health_pb2_grpc.HealthStub(LocalChannel(server))

    checked = await stub.Check(health_pb2.HealthCheckRequest())
    watched = [response.status async for response in stub.Watch(health_pb2.HealthCheckRequest())]

    assert checked.status == 1
    assert watched == [1, 2]
    await server.stop(None)


async def test_a_server_that_has_not_started_is_unavailable() -> None:
    server = LocalServer()
    add_echo_to_server(Echo(), server)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await EchoStub(LocalChannel(server)).one_to_one(text("a"))

    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_call_that_waits_for_readiness_is_served_after_the_start() -> None:
    server = LocalServer()
    add_echo_to_server(Echo(), server)
    call = EchoStub(LocalChannel(server)).one_to_one(text("a"), wait_for_ready=True)

    await server.start()

    async with within():
        assert (await call).value == "A"


async def test_a_call_that_waits_for_readiness_keeps_its_deadline() -> None:
    call = EchoStub(LocalChannel(LocalServer())).one_to_one(text("a"), wait_for_ready=True, timeout=0.01)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call

    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_several_tasks_may_write_to_one_full_stream() -> None:
    count = PIPE_MESSAGES * 4

    class Many(Echo):
        async def many_to_many(self, requests: Any, context: Any) -> None:  # type: ignore[override]
            await asyncio.gather(*(context.write(text(str(number))) for number in range(count)))

    stub = await Transport("local").join(Many())

    async with within():
        received = [response.value async for response in stub.many_to_many(iter(()))]

    assert sorted(map(int, received)) == list(range(count))


async def test_a_writer_waits_when_the_pipe_is_full() -> None:
    written = 0
    full = asyncio.Event()

    class Counting(Echo):
        async def one_to_many(self, request: Any, context: Any) -> AsyncIterator[Any]:
            nonlocal written
            for _ in range(PIPE_MESSAGES * 2):
                yield text("x")
                written += 1
                if written == PIPE_MESSAGES:
                    full.set()

    stub = await Transport("local").join(Counting())
    call = stub.one_to_many(text(""))
    await soon(full)
    await stub.one_to_one(text("a"))

    assert written == PIPE_MESSAGES
    assert len([response async for response in call]) == PIPE_MESSAGES * 2


async def test_a_cancelled_generator_runs_its_finally_at_once() -> None:
    closed = asyncio.Event()

    class Holding(Echo):
        async def one_to_many(self, request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                while True:
                    yield text("x")
            finally:
                closed.set()

    stub = await Transport("local").join(Holding())
    call = stub.one_to_many(text(""))
    await call.read()

    call.cancel()

    await soon(closed)


@pytest.mark.parametrize(("key", "value"), [("Upper", "x"), ("with space", "x")])
async def test_metadata_that_http_could_not_carry_is_refused(key: str, value: str) -> None:
    stub = await Transport("local").join(Echo())

    with pytest.raises(ValueError, match="expected a metadata key"):
        stub.one_to_one(text("a"), metadata=((key, value),))


async def test_a_server_is_not_started_again_after_a_stop() -> None:
    server = LocalServer()
    await server.start()
    await server.stop(None)

    with pytest.raises(grpc.aio.UsageError):
        await server.start()


async def test_an_in_process_server_has_no_port() -> None:
    with pytest.raises(grpc.aio.UsageError):
        LocalServer().add_insecure_port("127.0.0.1:0")


async def test_waiting_for_termination_ends_with_the_stop() -> None:
    server = LocalServer()
    await server.start()
    waiting = asyncio.create_task(server.wait_for_termination())
    assert await server.wait_for_termination(0) is True

    await server.stop(None)

    async with within():
        assert await waiting is False
