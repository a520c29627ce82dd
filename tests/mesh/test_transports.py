"""The same behaviour over a socket and inside the process: every test here runs on both."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.mesh.echo import MAX_BYTES, Echo, EchoStub, Transport, soon, text, within


@pytest.fixture(params=["socket", "local"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    joined = Transport(request.param)
    yield joined
    await joined.close()


async def texts(*values: str) -> AsyncIterator[Any]:
    for value in values:
        yield text(value)


async def test_one_request_gets_one_response(transport: Transport) -> None:
    stub = await transport.join(Echo())

    response = await stub.one_to_one(text("a"))

    assert response.value == "A"


async def test_one_request_gets_a_stream_of_responses(transport: Transport) -> None:
    stub = await transport.join(Echo())

    assert [response.value async for response in stub.one_to_many(text("abc"))] == ["a", "b", "c"]


async def test_a_stream_of_requests_gets_one_response(transport: Transport) -> None:
    stub = await transport.join(Echo())

    assert (await stub.many_to_one(texts("a", "b"))).value == "ab"


async def test_a_plain_iterator_serves_as_a_stream_of_requests(transport: Transport) -> None:
    stub = await transport.join(Echo())

    assert (await stub.many_to_one(iter([text("a"), text("b")]))).value == "ab"


async def test_streams_go_both_ways(transport: Transport) -> None:
    stub = await transport.join(Echo())

    assert [response.value async for response in stub.many_to_many(texts("a", "b"))] == ["A", "B"]


async def test_a_stream_can_be_written_and_read_by_hand(transport: Transport) -> None:
    stub = await transport.join(Echo())
    call = stub.many_to_many()

    await call.write(text("a"))
    first = await call.read()
    await call.write(text("b"))
    second = await call.read()
    await call.done_writing()
    last = await call.read()

    assert (first.value, second.value) == ("A", "B")
    assert last is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_writing_after_done_writing_is_refused(transport: Transport) -> None:
    stub = await transport.join(Echo())
    call = stub.many_to_many()
    await call.write(text("a"))
    await call.done_writing()

    with pytest.raises(asyncio.InvalidStateError):
        await call.write(text("b"))


async def test_reading_by_hand_and_iterating_do_not_mix(transport: Transport) -> None:
    stub = await transport.join(Echo())
    call = stub.one_to_many(text("abc"))
    await call.read()

    with pytest.raises(grpc.aio.UsageError):
        aiter(call)


async def test_a_servicer_can_read_and_write_by_hand(transport: Transport) -> None:
    class ByHand(Echo):
        async def many_to_many(self, requests: Any, context: Any) -> None:  # type: ignore[override]
            while (request := await context.read()) is not grpc.aio.EOF:
                await context.write(text(request.value * 2))

    stub = await transport.join(ByHand())

    assert [response.value async for response in stub.many_to_many(texts("a", "b"))] == ["aa", "bb"]


async def test_an_empty_stream_of_responses_ends_well(transport: Transport) -> None:
    stub = await transport.join(Echo())
    call = stub.one_to_many(text(""))

    assert [response async for response in call] == []
    assert await call.code() is grpc.StatusCode.OK


async def test_messages_are_copies(transport: Transport) -> None:
    seen: list[Any] = []

    class Keeping(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            seen.append(request)
            return request

    stub = await transport.join(Keeping())
    sent = text("a")

    received = await stub.one_to_one(sent)

    assert received == sent == seen[0]
    assert received is not seen[0]
    assert seen[0] is not sent


async def test_an_abort_carries_code_details_and_trailing_metadata(transport: Transport) -> None:
    class Aborting(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing", (("why", "gone"), ("raw-bin", b"\0\xff")))

    stub = await transport.join(Aborting())

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert failed.value.details() == "no such thing"
    trailing = failed.value.trailing_metadata()
    assert (trailing["why"], trailing["raw-bin"]) == ("gone", b"\0\xff")


async def test_an_abort_after_responses_comes_after_them(transport: Transport) -> None:
    class Aborting(Echo):
        async def one_to_many(self, request: Any, context: Any) -> AsyncIterator[Any]:
            yield text("a")
            yield text("b")
            await context.abort(grpc.StatusCode.ABORTED, "enough")

    stub = await transport.join(Aborting())
    received = []

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for response in stub.one_to_many(text("")):
            received.append(response.value)  # noqa: PERF401 - what came before the error counts

    assert received == ["a", "b"]
    assert failed.value.code() is grpc.StatusCode.ABORTED


async def test_set_code_and_set_details_end_the_call(transport: Transport) -> None:
    class Setting(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            context.set_code(grpc.StatusCode.OUT_OF_RANGE)
            context.set_details("too far")
            context.set_trailing_metadata((("limit", "3"),))
            return text("ignored")

    stub = await transport.join(Setting())

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.OUT_OF_RANGE, "too far")
    assert failed.value.trailing_metadata()["limit"] == "3"


async def test_an_unexpected_exception_is_unknown(transport: Transport) -> None:
    class Broken(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            raise RuntimeError("a bug")

    stub = await transport.join(Broken())

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert failed.value.code() is grpc.StatusCode.UNKNOWN
    assert failed.value.details() == "Unexpected <class 'RuntimeError'>: a bug"


async def test_an_unknown_method_is_unimplemented(transport: Transport) -> None:
    stub = await transport.join(Echo())

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.unknown(text("a"))

    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_metadata_goes_both_ways(transport: Transport) -> None:
    class Answering(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            given = [(key, value) for key, value in context.invocation_metadata() if key.startswith("my-")]
            await context.send_initial_metadata((("first", "1"),))
            context.set_trailing_metadata((("last", "2"), ("last-bin", b"\1")))
            return text(repr(given))

    stub = await transport.join(Answering())
    call = stub.one_to_one(text("a"), metadata=(("my-key", "x"), ("my-key", "y"), ("my-bin", b"\0")))

    assert (await call.initial_metadata())["first"] == "1"
    assert (await call).value == repr([("my-key", "x"), ("my-key", "y"), ("my-bin", b"\0")])
    trailing = await call.trailing_metadata()
    assert (trailing["last"], trailing["last-bin"]) == ("2", b"\1")


async def test_initial_metadata_comes_before_the_first_response(transport: Transport) -> None:
    go_on = asyncio.Event()

    class Slow(Echo):
        async def one_to_many(self, request: Any, context: Any) -> AsyncIterator[Any]:
            await context.send_initial_metadata((("first", "1"),))
            await go_on.wait()
            yield text("a")

    stub = await transport.join(Slow())
    call = stub.one_to_many(text(""))

    async with within():
        assert (await call.initial_metadata())["first"] == "1"
        go_on.set()
        assert [response.value async for response in call] == ["a"]


class Waiting(Echo):
    """Waits until it is cancelled, and says that it was."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.remaining: float | None = None

    async def one_to_one(self, request: Any, context: Any) -> Any:
        await self._wait(context)

    async def one_to_many(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield text("a")
        await self._wait(context)

    async def many_to_one(self, requests: Any, context: Any) -> Any:
        await self._wait(context)

    async def many_to_many(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        yield text("a")
        await self._wait(context)

    async def _wait(self, context: Any) -> None:
        self.remaining = context.time_remaining()
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def test_a_deadline_ends_the_call_on_both_sides(transport: Transport) -> None:
    waiting = Waiting()
    stub = await transport.join(waiting)
    await transport.channel.channel_ready()

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"), timeout=0.3)

    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert waiting.remaining is not None
    # A socket carries the deadline as rounded milliseconds.
    assert 0 < waiting.remaining < 0.31
    await soon(waiting.cancelled)


async def test_a_deadline_ends_a_stream_of_responses(transport: Transport) -> None:
    waiting = Waiting()
    stub = await transport.join(waiting)
    await transport.channel.channel_ready()
    call = stub.one_to_many(text("a"), timeout=0.3)

    first = await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.read()

    assert first.value == "a"
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await soon(waiting.cancelled)


async def test_without_a_deadline_no_time_is_told(transport: Transport) -> None:
    class Telling(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            return text(repr(context.time_remaining()))

    stub = await transport.join(Telling())

    assert (await stub.one_to_one(text("a"))).value == "None"


@pytest.mark.parametrize("method", ["one_to_one", "many_to_one"])
async def test_cancelling_a_call_cancels_its_servicer(transport: Transport, method: str) -> None:
    waiting = Waiting()
    stub = await transport.join(waiting)
    call = _begin(stub, method)
    await soon(waiting.entered)

    assert call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert not call.cancel()
    await soon(waiting.cancelled)


@pytest.mark.parametrize("method", ["one_to_many", "many_to_many"])
async def test_cancelling_a_stream_cancels_its_servicer(transport: Transport, method: str) -> None:
    waiting = Waiting()
    stub = await transport.join(waiting)
    call = _begin(stub, method)
    await call.read()
    await soon(waiting.entered)

    assert call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call.read()
    await soon(waiting.cancelled)


async def test_cancelling_the_task_that_awaits_cancels_the_servicer(transport: Transport) -> None:
    waiting = Waiting()
    stub = await transport.join(waiting)

    async def ask() -> None:
        await stub.one_to_one(text("a"))

    task = asyncio.create_task(ask())
    await soon(waiting.entered)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await soon(waiting.cancelled)


async def test_a_dropped_call_goes_on(transport: Transport) -> None:
    go_on, done = asyncio.Event(), asyncio.Event()

    class Slow(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            await go_on.wait()
            done.set()
            return request

    stub = await transport.join(Slow())
    await transport.channel.channel_ready()
    stub.one_to_one(text("a"))
    gc.collect()
    go_on.set()

    await soon(done)


def _begin(stub: EchoStub, method: str) -> Any:
    return getattr(stub, method)(text("a")) if method.startswith("one") else getattr(stub, method)()


async def test_done_callbacks_run_on_both_sides(transport: Transport) -> None:
    server_done, client_done = asyncio.Event(), asyncio.Event()

    class Calling(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            context.add_done_callback(lambda _: server_done.set())
            return request

    stub = await transport.join(Calling())
    call = stub.one_to_one(text("a"))
    call.add_done_callback(lambda ended: client_done.set() if ended is call else None)
    await call

    await soon(server_done)
    await soon(client_done)
    assert call.done()


async def test_a_fast_servicer_waits_for_a_slow_reader(transport: Transport) -> None:
    written = 0
    message = "x" * (MAX_BYTES // 2)

    class Flooding(Echo):
        async def one_to_many(self, request: Any, context: Any) -> AsyncIterator[Any]:
            nonlocal written
            for _ in range(1000):
                yield text(message)
                written += 1

    stub = await transport.join(Flooding())
    call = stub.one_to_many(text(""))
    await call.read()
    for _ in range(200):
        await stub.one_to_one(text("a"))

    assert written < 900
    assert call.cancel()


async def test_a_fast_client_waits_for_a_slow_servicer(transport: Transport) -> None:
    go_on = asyncio.Event()
    written = 0

    class Slow(Echo):
        async def many_to_one(self, requests: Any, context: Any) -> Any:
            await go_on.wait()
            return text(str(len([request async for request in requests])))

    async def flood() -> AsyncIterator[Any]:
        nonlocal written
        for _ in range(1000):
            yield text("x" * (MAX_BYTES // 2))
            written += 1

    stub = await transport.join(Slow())
    call = stub.many_to_one(flood())
    for _ in range(200):
        await stub.one_to_one(text("a"))
    written_before = written
    go_on.set()

    assert written_before < 900
    assert (await call).value == "1000"


async def test_a_servicer_may_answer_before_the_requests_end(transport: Transport) -> None:
    class Hasty(Echo):
        async def many_to_one(self, requests: Any, context: Any) -> Any:
            return await anext(aiter(requests))

    stub = await transport.join(Hasty())
    call = stub.many_to_one()
    await call.write(text("a"))

    async with within():
        assert (await call).value == "a"
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(text("b"))


async def test_a_request_over_the_limit_is_refused(transport: Transport) -> None:
    stub = await transport.join(Echo())

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("x" * (MAX_BYTES + 1)))

    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_response_over_the_limit_is_refused(transport: Transport) -> None:
    class Large(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            return text("x" * (MAX_BYTES + 1))

    stub = await transport.join(Large())

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


_SECRET: contextvars.ContextVar[str] = contextvars.ContextVar("secret", default="none")


async def test_context_variables_of_the_caller_do_not_reach_the_servicer(transport: Transport) -> None:
    class Telling(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            found = _SECRET.get()
            _SECRET.set("the servicer's")
            return text(found)

    stub = await transport.join(Telling())
    _SECRET.set("the caller's")

    assert (await stub.one_to_one(text("a"))).value == "none"
    assert _SECRET.get() == "the caller's"


async def test_many_calls_run_at_the_same_time(transport: Transport) -> None:
    everybody = asyncio.Barrier(50)

    class Meeting(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            await everybody.wait()
            return request

    stub = await transport.join(Meeting())

    async with within():
        responses = await asyncio.gather(*(stub.one_to_one(text(str(number))) for number in range(50)))

    assert [response.value for response in responses] == [str(number) for number in range(50)]


async def test_stopping_with_grace_lets_a_call_end(transport: Transport) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            entered.set()
            await go_on.wait()
            return request

    stub = await transport.join(Slow())
    call = stub.one_to_one(text("a"))
    await soon(entered)
    stopping = asyncio.create_task(transport.server.stop(5))
    await asyncio.sleep(0)
    go_on.set()

    assert (await call).value == "a"
    await stopping


async def test_stopping_without_grace_ends_a_call(transport: Transport) -> None:
    waiting = Waiting()
    stub = await transport.join(waiting)
    call = stub.one_to_one(text("a"))
    await soon(waiting.entered)

    await transport.server.stop(None)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    await soon(waiting.cancelled)


async def test_after_a_stop_calls_are_unavailable(transport: Transport) -> None:
    stub = await transport.join(Echo())
    await stub.one_to_one(text("a"))
    await transport.server.stop(None)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_channel_is_ready_once_the_server_serves(transport: Transport) -> None:
    await transport.join(Echo())

    async with within():
        await transport.channel.channel_ready()

    assert transport.channel.get_state() is grpc.ChannelConnectivity.READY


async def test_a_closed_channel_refuses_calls(transport: Transport) -> None:
    stub = await transport.join(Echo())
    await transport.channel.close()

    with pytest.raises(grpc.aio.UsageError):
        await stub.one_to_one(text("a"))


async def test_waiting_for_the_connection_of_a_failed_call_raises_its_error(transport: Transport) -> None:
    stub = await transport.join(Echo())

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.unknown(text("a")).wait_for_connection()

    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
