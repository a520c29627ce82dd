"""Refusals: their shape, and what of them arrives at the other end of a call."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from mesh.errors import DomainError, FieldViolation, InvalidArgument, NotFound, ResourceExhausted, Status, Unavailable
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from mesh.rpc_errors import CODES, DETAILS_KEY, refusal_in, status_of
from tests.mesh.echo import Echo, EchoStub, add_echo_to_server, text


def test_a_refusal_holds_reason_message_and_facts_as_text() -> None:
    refused = NotFound("task-not-found", "expected a task, found none", task_id=7)

    assert refused.status is Status.NOT_FOUND
    assert (refused.reason, refused.message, dict(refused.facts)) == (
        "task-not-found",
        "expected a task, found none",
        {"task_id": "7"},
    )
    assert str(refused) == "expected a task, found none"


def test_facts_cannot_be_changed() -> None:
    refused = NotFound("gone", "gone", task_id="7")

    with pytest.raises(TypeError):
        refused.facts["task_id"] = "8"  # type: ignore[index]


def test_a_refusal_survives_pickling() -> None:
    refused = InvalidArgument("bad", "bad", violations=[FieldViolation("a", "b")], retry_after_seconds=2.0, fact="x")

    copied = pickle.loads(pickle.dumps(refused))

    assert type(copied) is InvalidArgument
    assert vars(copied) | {"facts": dict(copied.facts)} == vars(refused) | {"facts": dict(refused.facts)}


def test_every_status_has_a_code_of_its_name_and_a_class() -> None:
    assert {status.name for status in Status} == {code.name for code in CODES.values()}
    assert {kind.status for kind in DomainError.__subclasses__()} == set(Status)


def test_unavailable_advises_when_to_ask_again() -> None:
    status = status_of(Unavailable("database-away", "the database does not answer"))
    retry = error_details_pb2.RetryInfo()

    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.seconds == 1


def test_a_huge_refusal_is_cut_to_what_metadata_can_carry() -> None:
    violations = [FieldViolation(f"field{number}", "ä" * 1000) for number in range(100)]
    facts: dict[str, Any] = {f"fact{number}": "ö" * 1000 for number in range(100)}

    status = status_of(InvalidArgument("bad", "ü" * 10_000, violations=violations, **facts))

    # gRPC percent-encodes the message (three characters a byte) and base64-encodes the details.
    assert len(status.message.encode()) * 3 + status.ByteSize() * 4 / 3 < 8 * 1024
    assert status.message.endswith("…")


class Refusing(Echo):
    def __init__(self, raised: BaseException) -> None:
        self.raised = raised

    async def one_to_one(self, request: Any, context: Any) -> Any:
        context.set_trailing_metadata((("kept", "yes"),))
        raise self.raised

    async def one_to_many(self, request: Any, context: Any) -> Any:
        yield text("a")
        raise self.raised


class Guarded:
    """A guarded echo, over a socket or in process."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    async def join(self, echo: Any, kind: str) -> EchoStub:
        socket = grpc.aio.server()
        local = LocalServer()
        server = GuardedServer((socket, local), self._observe, lambda: "incident-1")
        add_echo_to_server(echo, server)
        port = socket.add_insecure_port("127.0.0.1:0")
        await server.start()
        self.server = server
        self.channel: Any = LocalChannel(local) if kind == "local" else grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        return EchoStub(self.channel)

    def _observe(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        self.ended.append((method.rpartition("/")[2], code.name))

    async def close(self) -> None:
        await self.channel.close()
        await self.server.stop(None)


@pytest.fixture
async def guarded() -> Any:
    made = Guarded()
    yield made
    await made.close()


both = pytest.mark.parametrize("kind", ["socket", "local"])


@both
async def test_a_refusal_arrives_with_all_that_it_holds(guarded: Guarded, kind: str) -> None:
    refused = ResourceExhausted(
        "too-many",
        "expected 3, found 4",
        violations=[FieldViolation("a.b", "too long")],
        retry_after_seconds=2.5,
        limit=3,
    )
    stub = await guarded.join(Refusing(refused), kind)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    arrived = refusal_in(failed.value)
    assert isinstance(arrived, ResourceExhausted)
    assert (arrived.reason, arrived.message, dict(arrived.facts)) == ("too-many", "expected 3, found 4", {"limit": "3"})
    assert arrived.violations == refused.violations
    assert arrived.retry_after_seconds == 2.5
    assert failed.value.trailing_metadata()["kept"] == "yes"
    assert guarded.ended == [("OneToOne", "RESOURCE_EXHAUSTED")]


@both
async def test_the_details_are_a_google_rpc_status(guarded: Guarded, kind: str) -> None:
    stub = await guarded.join(Refusing(NotFound("task-not-found", "gone", task_id="7")), kind)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    packed = failed.value.trailing_metadata()[DETAILS_KEY]
    assert isinstance(packed, bytes)
    status = status_pb2.Status.FromString(packed)
    info = error_details_pb2.ErrorInfo()
    assert status.code == 5
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == ("task-not-found", "flowloom", {"task_id": "7"})


@both
async def test_a_refusal_in_a_stream_comes_after_its_responses(guarded: Guarded, kind: str) -> None:
    stub = await guarded.join(Refusing(NotFound("gone", "gone")), kind)
    call = stub.one_to_many(text("a"))

    assert (await call.read()).value == "a"
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.read()

    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


@both
async def test_a_bug_is_internal_and_tells_only_an_incident(
    guarded: Guarded, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    stub = await guarded.join(Refusing(RuntimeError("password=secret")), kind)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert failed.value.details() == "internal error, incident incident-1"
    assert "secret" not in repr(failed.value.trailing_metadata())
    logged = [record for record in caplog.records if getattr(record, "incident_id", None) == "incident-1"]
    assert len(logged) == 1
    assert logged[0].exc_info is not None
    assert guarded.ended == [("OneToOne", "INTERNAL")]


@both
async def test_an_abort_passes_the_guard(guarded: Guarded, kind: str) -> None:
    class Aborting(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.DATA_LOSS, "as it is")

    stub = await guarded.join(Aborting(), kind)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.DATA_LOSS, "as it is")
    async with asyncio.timeout(10):  # the abort answers the caller before it comes back to the guard
        while not guarded.ended:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    assert guarded.ended == [("OneToOne", "DATA_LOSS")]


@both
async def test_a_method_that_is_not_overridden_is_unimplemented(guarded: Guarded, kind: str) -> None:
    class Bare(Echo):
        def one_to_one(self, request: Any, context: Any) -> Any:
            raise NotImplementedError("Method not implemented!")

    stub = await guarded.join(Bare(), kind)

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.one_to_one(text("a"))

    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


@both
async def test_good_calls_of_all_kinds_are_observed(guarded: Guarded, kind: str) -> None:
    stub = await guarded.join(Echo(), kind)

    await stub.one_to_one(text("a"))
    assert [response.value async for response in stub.one_to_many(text("ab"))] == ["a", "b"]
    assert (await stub.many_to_one(iter([text("x")]))).value == "x"
    assert [response.value async for response in stub.many_to_many(iter([text("x")]))] == ["X"]

    assert guarded.ended == [("OneToOne", "OK"), ("OneToMany", "OK"), ("ManyToOne", "OK"), ("ManyToMany", "OK")]


def test_an_error_of_another_kind_holds_no_refusal() -> None:
    failed = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "no route")

    assert refusal_in(failed) is None
