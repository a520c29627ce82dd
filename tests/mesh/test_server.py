"""The server of a process: health that tells the truth, reflection, drain, metrics."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, wrappers_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from prometheus_client import CollectorRegistry, generate_latest

from mesh.channels import Channels
from mesh.local_channel import LocalChannel
from mesh.observation_port import ObservationPort
from mesh.readiness import Readiness
from mesh.server import MeshServer, ServerSettings, until_signalled
from mesh.telemetry import JsonFormatter, RpcMetrics, bound, log_as_json, outgoing_metadata
from tests.mesh.echo import SERVICE, Echo, EchoStub, add_echo_to_server, soon, text, within

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
QUICK = ServerSettings(lame_duck_seconds=0.0, grace_seconds=5.0, probe_interval_seconds=60.0)


class Running:
    """A started server with an echo, and a channel to it."""

    def __init__(self, echo: Any, settings: ServerSettings = QUICK, **options: Any) -> None:
        self.server = MeshServer(settings, **options)
        add_echo_to_server(echo, self.server.registrar)
        self.channel: Any = None

    async def __aenter__(self) -> Running:
        self.channel = grpc.aio.insecure_channel(await self.server.start())
        self.stub = EchoStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self.server.stop()

    async def status(self, service: str = "") -> int:
        response = await self.health.Check(health_pb2.HealthCheckRequest(service=service))
        return int(response.status)


class Dependency:
    def __init__(self, works: bool = True) -> None:
        self.works = works

    async def __call__(self) -> None:
        if not self.works:
            raise ConnectionError("no answer")


async def test_one_registration_serves_the_socket_and_the_process() -> None:
    async with Running(Echo()) as running:
        over_socket = await running.stub.one_to_one(text("a"))
        in_process = await EchoStub(LocalChannel(running.server.local)).one_to_one(text("b"))

    assert (over_socket.value, in_process.value) == ("A", "B")


async def test_health_follows_the_dependencies() -> None:
    dependency = Dependency()
    running = Running(Echo())
    running.server.readiness.add_probe("database", dependency)
    async with running:
        works = await running.status(SERVICE)
        dependency.works = False
        await running.server.readiness.poll()
        fails = await running.status(SERVICE)
        failures = dict(running.server.readiness.failures)
        dependency.works = True
        await running.server.readiness.poll()
        works_again = await running.status()

    assert (works, fails, works_again) == (SERVING, NOT_SERVING, SERVING)
    assert failures == {"database": "ConnectionError: no answer"}


@pytest.mark.parametrize("method", ["OneToOne", "OneToMany"])
async def test_a_request_that_cannot_be_read_is_an_invalid_argument(method: str) -> None:
    async with Running(Echo()) as running:
        kind = running.channel.unary_unary if method == "OneToOne" else running.channel.unary_stream
        call = kind(f"/{SERVICE}/{method}")(b"\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if method == "OneToOne" else call.read())

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "expected a request that can be read" in str(caught.value.details())


async def test_a_server_whose_dependency_is_away_at_the_start_is_not_ready() -> None:
    running = Running(Echo())
    running.server.readiness.add_probe("database", Dependency(works=False))
    async with running:
        assert await running.status() == NOT_SERVING


async def test_the_probes_are_asked_again_and_again() -> None:
    asked = 0
    enough = asyncio.Event()

    async def probe() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            enough.set()

    readiness = Readiness(interval_seconds=0.001)
    readiness.add_probe("counted", probe)
    await readiness.start()

    await soon(enough)
    await readiness.stop()


async def test_a_probe_that_hangs_has_failed() -> None:
    readiness = Readiness(probe_timeout_seconds=0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    readiness.add_probe("database", hang)

    assert not await readiness.poll()
    assert readiness.failures == {"database": "no answer in 0.01 s"}


def test_nothing_is_ready_before_it_was_probed() -> None:
    assert not Readiness().ready


async def test_a_drain_withdraws_readiness_before_it_refuses_requests() -> None:
    settings = ServerSettings(lame_duck_seconds=0.3, grace_seconds=5.0)
    async with Running(Echo(), settings) as running:
        watch = running.health.Watch(health_pb2.HealthCheckRequest())
        before = (await watch.read()).status
        draining = asyncio.create_task(running.server.drain())
        async with within():
            after = (await watch.read()).status
            served = await running.stub.one_to_one(text("a"))
            # The watch does not hold the drain up: it is ended from the server's side.
            last = await watch.read()
            await draining

    assert (before, after, last) == (SERVING, NOT_SERVING, grpc.aio.EOF)
    assert served.value == "A"


async def test_health_of_an_unknown_service_is_not_found() -> None:
    async with Running(Echo()) as running:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await running.status("no.Such")
        watched = await running.health.Watch(health_pb2.HealthCheckRequest(service="no.Such")).read()

    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert watched.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def test_a_drain_lets_requests_under_way_end() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            entered.set()
            await go_on.wait()
            return request

    async with Running(Slow()) as running:
        call = running.stub.one_to_one(text("a"))
        await soon(entered)
        draining = asyncio.create_task(running.server.drain())
        await running.server.readiness.poll()
        go_on.set()
        async with within():
            assert (await call).value == "a"
            await draining

        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await running.stub.one_to_one(text("a"))
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_probe_that_works_does_not_undo_a_drain() -> None:
    readiness = Readiness()
    await readiness.poll()
    assert readiness.ready

    readiness.drain()
    await readiness.poll()

    assert not readiness.ready
    assert readiness.failures == {"process": "draining"}


async def test_two_servers_do_not_share_a_port() -> None:
    async with Running(Echo()) as running:
        port = int(running.server.address.rpartition(":")[2])
        second = MeshServer(ServerSettings(port=port))

        with pytest.raises(RuntimeError):
            await second.start()
        await second.stop()


async def test_a_signal_is_waited_for() -> None:
    waiting = asyncio.create_task(until_signalled((signal.SIGTERM,)))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)

    async with within():
        assert await waiting is signal.SIGTERM


def echo_descriptors() -> bytes:
    wrappers = descriptor_pb2.FileDescriptorProto.FromString(wrappers_pb2.DESCRIPTOR.serialized_pb)
    echo = descriptor_pb2.FileDescriptorProto(
        name="test/v1/echo.proto", package="test.v1", syntax="proto3", dependency=[wrappers.name]
    )
    service = echo.service.add(name="EchoService")
    service.method.add(
        name="OneToOne", input_type=".google.protobuf.StringValue", output_type=".google.protobuf.StringValue"
    )
    return descriptor_pb2.FileDescriptorSet(file=[echo, wrappers]).SerializeToString()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_answers_under_both_names(version: str) -> None:
    async with Running(Echo(), descriptor_set=echo_descriptors()) as running:
        ask = running.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = [
            ServerReflectionRequest(list_services=""),
            ServerReflectionRequest(file_containing_symbol=SERVICE),
            ServerReflectionRequest(file_containing_symbol=f"grpc.reflection.{version}.ServerReflection"),
            ServerReflectionRequest(file_containing_symbol="no.Such"),
        ]
        listed, found, own, missing = [response async for response in ask(iter(asked))]

    assert [service.name for service in listed.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        SERVICE,
    ]
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(file).name
        for file in found.file_descriptor_response.file_descriptor_proto
    ]
    assert files == ["test/v1/echo.proto", "google/protobuf/wrappers.proto"]
    assert own.file_descriptor_response.file_descriptor_proto
    assert missing.error_response.error_code == 5


async def test_a_descriptor_set_without_its_imports_is_refused() -> None:
    whole = descriptor_pb2.FileDescriptorSet.FromString(echo_descriptors())
    partial = descriptor_pb2.FileDescriptorSet(file=whole.file[:1]).SerializeToString()
    server = MeshServer(QUICK, descriptor_set=partial)

    with pytest.raises(ValueError, match=r"found no google/protobuf/wrappers\.proto"):
        await server.start()
    await server.stop()


async def test_calls_are_counted_and_timed() -> None:
    registry = CollectorRegistry()
    async with Running(Echo(), observe=RpcMetrics(registry)) as running:
        await running.stub.one_to_one(text("a"))
        await running.stub.one_to_one(text("b"))

    lines = generate_latest(registry).decode()
    labels = f'grpc_method="OneToOne",grpc_service="{SERVICE}"'
    assert f'grpc_server_handled_total{{grpc_code="OK",{labels}}} 2.0' in lines
    assert f"grpc_server_handling_seconds_count{{{labels}}} 2.0" in lines


def test_a_time_is_counted_in_its_bucket() -> None:
    registry = CollectorRegistry()
    metrics = RpcMetrics(registry)

    for seconds in (0.0004, 0.001, 0.7, 100.0):
        metrics("/a.B/C", grpc.StatusCode.OK, seconds)

    def up_to(bound_seconds: str) -> float | None:
        labels = {"grpc_service": "a.B", "grpc_method": "C", "le": bound_seconds}
        return registry.get_sample_value("grpc_server_handling_seconds_bucket", labels)

    assert [up_to(each) for each in ("0.0005", "0.001", "0.5", "1.0", "10.0", "+Inf")] == [1, 2, 2, 3, 3, 4]


@pytest.fixture
async def port() -> AsyncIterator[tuple[str, Readiness]]:
    readiness = Readiness()
    observed = ObservationPort(CollectorRegistry(), readiness)
    address = await observed.start()
    yield address, readiness
    await observed.stop()


async def get(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ")[1]), body


async def test_the_port_says_whether_the_process_is_ready(port: tuple[str, Readiness]) -> None:
    address, readiness = port

    before = await get(address, "/ready")
    await readiness.poll()
    after = await get(address, "/ready")

    assert before[0] == 503
    assert json.loads(before[1]) == {"ready": False, "failures": {"process": "not probed yet"}}
    assert after == (200, '{"ready": true, "failures": {}}')


async def test_the_port_answers_get_on_its_three_paths_only(port: tuple[str, Readiness]) -> None:
    address, _ = port

    assert (await get(address, "/live"))[0] == 200
    assert (await get(address, "/metrics?x=1"))[0] == 200
    assert (await get(address, "/elsewhere"))[0] == 404
    assert (await get(address, "/live", "POST"))[0] == 405


def one_line(record: logging.LogRecord) -> dict[str, str]:
    fields: dict[str, str] = json.loads(JsonFormatter().format(record))
    return fields


def a_record(**extra: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "engine", "levelname": "INFO", "msg": "took %d", "args": (3,), **extra})


def test_a_log_line_is_json_with_the_bound_ids() -> None:
    with bound(instance_id="i-1"):
        fields = one_line(a_record(incident_id="x"))

    assert fields.pop("time").endswith("+00:00")
    assert fields == {
        "level": "info",
        "logger": "engine",
        "message": "took 3",
        "instance_id": "i-1",
        "incident_id": "x",
    }
    assert "instance_id" not in one_line(a_record())


def test_a_traceback_stays_in_its_line() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = tuple(root.handlers), root.level
    handler = log_as_json(stream=stream)
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        logging.getLogger("engine").exception("failed")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        for old in handlers:
            root.addHandler(old)

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "ValueError: bad\nvalue" in json.loads(lines[0])["exception"]


@pytest.mark.parametrize("local", [True, False])
async def test_a_line_logged_in_a_call_names_its_request_and_trace(local: bool) -> None:
    lines: list[dict[str, str]] = []
    onwards: list[Any] = []

    class Logging(Echo):
        async def one_to_one(self, request: Any, context: Any) -> Any:
            lines.append(one_line(a_record()))
            onwards.append(outgoing_metadata())
            return request

    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with Running(Logging()) as running:
        stub = EchoStub(LocalChannel(running.server.local)) if local else running.stub
        await stub.one_to_one(text("a"), metadata=(("x-request-id", "r-1"), ("traceparent", trace)))

    assert lines[0]["request_id"] == "r-1"
    assert lines[0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert sorted(onwards[0]) == [("traceparent", trace), ("x-request-id", "r-1")]
    assert "request_id" not in one_line(a_record())


async def test_a_need_becomes_a_local_channel_if_the_service_is_co_hosted() -> None:
    async with Running(Echo()) as running:
        channels = Channels(local={"echo": running.server.local}, addresses={"echo": "127.0.0.1:1"})

        assert isinstance(channels.to("echo"), LocalChannel)
        assert channels.to("echo") is channels.to("echo")
        assert (await EchoStub(channels.to("echo")).one_to_one(text("a"))).value == "A"
        await channels.close()


async def test_a_need_becomes_a_socket_channel_if_there_is_an_address() -> None:
    async with Running(Echo()) as running:
        channels = Channels(addresses={"echo": running.server.address})

        assert not isinstance(channels.to("echo"), LocalChannel)
        assert (await EchoStub(channels.to("echo")).one_to_one(text("a"))).value == "A"
        await channels.close()


async def test_a_need_without_either_is_refused() -> None:
    with pytest.raises(LookupError, match="expected forms to be co-hosted or to have an address, found only: echo"):
        Channels(addresses={"echo": "x:1"}).to("forms")
