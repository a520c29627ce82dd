"""gRPC, gRPC-Web, health and reflection through the port that serves REST."""

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from tests.gateway.edges import MAX_BODY_BYTES, Edge
from tests.gateway.sample_service import SERVICE, message

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def channel(edge: Edge) -> AsyncIterator[grpc.aio.Channel]:
    """A native client's channel to the edge."""
    async with grpc.aio.insecure_channel(edge.target) as opened:
        yield opened


def unary(channel: grpc.aio.Channel, name: str, answer: str = "sample.v1.Item") -> Any:
    return channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=message(answer).FromString,
    )


async def test_a_native_call_passes_untouched(channel: grpc.aio.Channel) -> None:
    answer = await unary(channel, "Get")(message("sample.v1.GetRequest")(id="7"))

    assert (answer.id, answer.name) == ("7", "one")


async def test_a_native_call_of_a_method_with_a_rest_status_is_plain_grpc(channel: grpc.aio.Channel) -> None:
    await unary(channel, "Delete", "google.protobuf.Empty")(message("sample.v1.GetRequest")(id="7"))
    created = await unary(channel, "Create")(message("sample.v1.Item")(id="8"))

    assert created.id == "8"


async def test_a_native_error_keeps_code_text_and_details(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await unary(channel, "Get")(message("sample.v1.GetRequest")(id="fail-FAILED_PRECONDITION"))

    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details().startswith('no "fail-FAILED_PRECONDITION"')
    details = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(details).details[0].Unpack(info)
    assert info.reason == "because-of-this"


async def test_a_native_stream_passes(channel: grpc.aio.Channel) -> None:
    call = channel.unary_stream(
        f"/{SERVICE}/Watch",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=message("sample.v1.Item").FromString,
    )(message("sample.v1.GetRequest")(id="5"))

    assert [item.amount async for item in call] == [1, 2]


async def test_the_limit_of_rest_bodies_does_not_end_native_calls(channel: grpc.aio.Channel) -> None:
    long_name = "x" * (2 * MAX_BODY_BYTES)

    answer = await unary(channel, "Create")(message("sample.v1.Item")(name=long_name))

    assert len(answer.name) == len(long_name)


async def test_a_deadline_reaches_the_service_and_the_client_learns_of_its_end(
    edge: Edge, channel: grpc.aio.Channel
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await unary(channel, "Get")(message("sample.v1.GetRequest")(id="slow"), timeout=0.2)

    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert edge.server.time_remaining is not None
    assert edge.server.time_remaining < 1.0


async def test_a_service_that_is_not_routed_is_unimplemented(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/sample.v1.Nobody/Get")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"")

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "{" not in (refused.value.details() or "")


async def test_health_is_asked_through_the_port(channel: grpc.aio.Channel) -> None:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_services_and_gives_their_files(channel: grpc.aio.Channel, version: str) -> None:
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(iter(requests))

    services, files = [answer async for answer in call]

    assert SERVICE in {service.name for service in services.list_services_response.service}
    assert files.file_descriptor_response.file_descriptor_proto


def web_frames(body: bytes) -> list[tuple[int, bytes]]:
    """The frames of a gRPC-Web answer: flag (128: trailers) and content."""
    frames = []
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        frames.append((flag, body[5 : 5 + length]))
        body = body[5 + length :]
    return frames


async def web_call(edge: Edge, item_id: str, content_type: str = "application/grpc-web+proto") -> Any:
    request = message("sample.v1.GetRequest")(id=item_id).SerializeToString()
    frame = struct.pack(">BI", 0, len(request)) + request
    if "-text" in content_type:
        frame = base64.b64encode(frame)
    headers = {"content-type": content_type, "accept": content_type, "x-grpc-web": "1"}
    return await edge.client.post(f"/{SERVICE}/Get", content=frame, headers=headers)


async def test_a_browser_calls_over_grpc_web(edge: Edge) -> None:
    answer = await web_call(edge, "7")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    (flag, data), (trailer_flag, trailers) = web_frames(answer.content)
    assert (flag, trailer_flag) == (0, 128)
    assert message("sample.v1.Item").FromString(data).id == "7"
    assert b"grpc-status:0" in trailers


async def test_a_browser_that_needs_text_gets_text(edge: Edge) -> None:
    answer = await web_call(edge, "7", "application/grpc-web-text+proto")

    (_, data), _ = web_frames(base64.b64decode(answer.content))
    assert message("sample.v1.Item").FromString(data).id == "7"


async def test_an_error_over_grpc_web_is_not_dressed_as_rest(edge: Edge) -> None:
    answer = await web_call(edge, "bare-failure")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/grpc-web")
    status = answer.headers.get("grpc-status") or answer.content.decode(errors="replace")
    assert "5" in status
    assert b"exception" not in answer.content
