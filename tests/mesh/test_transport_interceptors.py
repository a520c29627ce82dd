"""Interceptors of both ends do the same over a socket and inside the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.mesh.echo import Echo, Transport, soon, text, within


@pytest.fixture(params=["socket", "local"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    joined = Transport(request.param)
    yield joined
    await joined.close()


class Noting(grpc.aio.ServerInterceptor):
    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        token = dict(handler_call_details.invocation_metadata).get("token", "")
        self._notes.append(f"{self._name} {handler_call_details.method} {token}")
        return await continuation(handler_call_details)


class Refusing(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        async def refuse(request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")

        return grpc.unary_unary_rpc_method_handler(refuse)


class Failing(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        raise RuntimeError("a bug in an interceptor")


async def test_server_interceptors_see_each_call_from_the_outermost_inwards(transport: Transport) -> None:
    notes: list[str] = []
    stub = await transport.join(Echo(), [Noting("outer", notes), Noting("inner", notes)])

    await stub.one_to_one(text("a"), metadata=(("token", "t"),))

    assert notes == ["outer /test.v1.EchoService/OneToOne t", "inner /test.v1.EchoService/OneToOne t"]


async def test_a_server_interceptor_can_answer_by_itself(transport: Transport) -> None:
    stub = await transport.join(Echo(), [Refusing()])

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.PERMISSION_DENIED, "not you")


async def test_a_server_interceptor_that_raises_fails_the_call(transport: Transport) -> None:
    stub = await transport.join(Echo(), [Failing()])

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert failed.value.code() is grpc.StatusCode.UNKNOWN


class Tagging(
    grpc.aio.UnaryUnaryClientInterceptor,
):
    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.seen: list[Any] = []

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        self.seen.append(client_call_details.method)
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()))
        metadata.add("tag", self.tag)
        return await continuation(client_call_details._replace(metadata=metadata), request)


class Tags(Echo):
    async def one_to_one(self, request: Any, context: Any) -> Any:
        return text(",".join(value for key, value in context.invocation_metadata() if key == "tag"))


async def test_client_interceptors_change_metadata_from_the_outermost_inwards(transport: Transport) -> None:
    outer, inner = Tagging("outer"), Tagging("inner")
    stub = await transport.join(Tags(), client_interceptors=[outer, inner])
    call = stub.one_to_one(text("a"))

    assert (await call).value == "outer,inner"
    assert outer.seen == [b"/test.v1.EchoService/OneToOne"]
    assert await call.code() is grpc.StatusCode.OK
    assert call.done()


class Answering(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return text("from the interceptor")


async def test_a_client_interceptor_can_answer_by_itself(transport: Transport) -> None:
    stub = await transport.join(Echo(), client_interceptors=[Answering()])
    call = stub.one_to_one(text("a"))

    assert (await call).value == "from the interceptor"
    assert await call.code() is grpc.StatusCode.OK


class Retrying(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        while True:
            call = await continuation(client_call_details, request)
            if await call.code() is not grpc.StatusCode.UNAVAILABLE:
                return call


async def test_a_client_interceptor_can_call_again(transport: Transport) -> None:
    class Flaky(Echo):
        attempts = 0

        async def one_to_one(self, request: Any, context: Any) -> Any:
            self.attempts += 1
            if self.attempts < 3:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "later")
            return text(str(self.attempts))

    stub = await transport.join(Flaky(), client_interceptors=[Retrying()])

    assert (await stub.one_to_one(text("a"))).value == "3"


async def test_an_error_passes_through_client_interceptors(transport: Transport) -> None:
    class Aborting(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")

    stub = await transport.join(Aborting(), client_interceptors=[Tagging("t")])
    call = stub.one_to_one(text("a"))

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert await call.code() is grpc.StatusCode.NOT_FOUND


async def test_cancelling_an_intercepted_call_cancels_the_servicer(transport: Transport) -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    class Waiting(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    stub = await transport.join(Waiting(), client_interceptors=[Tagging("t")])
    call = stub.one_to_one(text("a"))
    await soon(entered)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await soon(cancelled)


class StreamTagging(
    grpc.aio.UnaryStreamClientInterceptor,
):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, text(request.value + "!"))

        async def shouted() -> AsyncIterator[Any]:
            async for response in call:
                yield text(response.value.upper())

        return shouted()


async def test_a_client_interceptor_changes_a_stream_of_responses(transport: Transport) -> None:
    stub = await transport.join(Echo(), client_interceptors=[StreamTagging()])

    assert [response.value async for response in stub.one_to_many(text("ab"))] == ["A", "B", "!"]


class RequestDoubling(grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        async def doubled() -> AsyncIterator[Any]:
            async for request in request_iterator:
                yield text(request.value * 2)

        return await continuation(client_call_details, doubled())


async def test_a_client_interceptor_changes_a_stream_of_requests_written_by_hand(transport: Transport) -> None:
    stub = await transport.join(Echo(), client_interceptors=[RequestDoubling()])
    call = stub.many_to_one()

    async with within():
        await call.write(text("a"))
        await call.write(text("b"))
        await call.done_writing()
        assert (await call).value == "aabb"


class BothWays(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(client_call_details, request_iterator)


async def test_a_client_interceptor_stands_around_streams_in_both_directions(transport: Transport) -> None:
    async def letters() -> AsyncIterator[Any]:
        for letter in "ab":
            yield text(letter)

    stub = await transport.join(Echo(), client_interceptors=[BothWays()])

    async with within():
        assert [response.value async for response in stub.many_to_many(letters())] == ["A", "B"]


async def test_an_intercepted_stream_is_written_and_read_by_hand(transport: Transport) -> None:
    stub = await transport.join(Echo(), client_interceptors=[BothWays()])
    call = stub.many_to_many()

    async with within():
        await call.write(text("a"))
        assert (await call.read()).value == "A"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
