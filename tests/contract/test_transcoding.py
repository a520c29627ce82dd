"""A real Envoy reads the descriptor set and reaches every method by each of its REST bindings."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.protobuf.message import Message

from mesh.testing.ports import free_port
from tests.contract.described import DESCRIPTORS, VARIABLE, Binding, Rpc, message_class, rpcs

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

EXTENSION = "type.googleapis.com/envoy.extensions"
NOTHING: tuple[Message, ...] = ()
BODIES = {
    "": b"",
    "*": b"{}",
    "variables": b'[{"name": "a"}, {"name": "b"}]',
    "variable": b"{}",
    "file": b"<xml/>",
    "picture": b"<svg/>",
}


class Recorder(grpc.GenericRpcHandler):
    """Answers every method of the contract with an empty message and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Message]] = []
        self._rpcs = {rpc.path: rpc for rpc in rpcs()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        rpc = self._rpcs.get(handler_call_details.method)
        if rpc is None:
            return None
        request, response = message_class(rpc.method.input_type), message_class(rpc.method.output_type)

        async def answer(asked: Message, _: object) -> Message:
            self.asked.append((str(rpc), asked))
            return response()

        async def answer_none(asked: Message, _: object) -> AsyncIterator[Message]:
            self.asked.append((str(rpc), asked))
            for message in NOTHING:
                yield message

        make: Callable[..., grpc.RpcMethodHandler[Any, Any]] = (
            grpc.unary_stream_rpc_method_handler if rpc.proto.server_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(
            answer_none if rpc.proto.server_streaming else answer,
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def configuration(port: int, backend_port: int) -> dict[str, Any]:
    transcoder = {
        "@type": f"{EXTENSION}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(DESCRIPTORS),
        "services": sorted({rpc.service for rpc in rpcs()}),
        "convert_grpc_status": True,
        "print_options": {"always_print_primitive_fields": True},
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }
    manager = {
        "@type": f"{EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "contract",
        "stream_idle_timeout": "5s",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "transcoder", "typed_config": transcoder},
            {"name": "router", "typed_config": {"@type": f"{EXTENSION}.filters.http.router.v3.Router"}},
        ],
    }
    http2 = {
        "@type": f"{EXTENSION}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    backend = {
        "name": "backend",
        "type": "STATIC",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(backend_port)}}]}],
        },
    }
    listener = {
        "address": address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [backend]}}


class Edge:
    """REST in front of a recorder."""

    def __init__(self, client: httpx.AsyncClient, recorder: Recorder) -> None:
        self._client = client
        self._recorder = recorder

    async def call(self, verb: str, url: str, body: bytes = b"") -> tuple[httpx.Response, str, Message | None]:
        self._recorder.asked.clear()
        response = await self._client.request(verb, url, content=body or None)
        method, asked = self._recorder.asked[0] if self._recorder.asked else ("", None)
        return response, method, asked

    async def asked(self, verb: str, url: str, body: str = "") -> dict[str, Any]:
        """What the method was asked, as JSON."""
        response, _, asked = await self.call(verb, url, body.encode())
        assert asked is not None, response.text
        as_json: dict[str, Any] = json_format.MessageToDict(asked)
        return as_json


async def until_it_answers(client: httpx.AsyncClient, envoy: asyncio.subprocess.Process) -> None:
    ended = asyncio.create_task(envoy.wait())
    async with asyncio.timeout(20):
        while True:
            try:
                await client.get("/")
            except httpx.TransportError:
                # Between two attempts, see whether it has given up.
                done, _ = await asyncio.wait({ended}, timeout=0.05)
                assert not done, "Envoy refused the descriptor set"
            else:
                ended.cancel()
                return


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    recorder = Recorder()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((recorder,))
    backend_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    port = free_port()
    config = tmp_path_factory.mktemp("envoy") / "envoy.json"
    config.write_text(json.dumps(configuration(port, backend_port)))
    binary = Path(sys.executable).parent / "envoy"
    options = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "error", "-c", str(config))
    envoy = await asyncio.create_subprocess_exec(binary, *options)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            await until_it_answers(client, envoy)
            yield Edge(client, recorder)
    finally:
        envoy.terminate()
        await envoy.wait()
        await server.stop(None)


def filled(binding: Binding) -> tuple[str, dict[str, str]]:
    """The URL of a binding with a value for each variable, and those values."""
    values = {
        name: {"*": f"proc:1:{name}", "**": "folder/file.bpmn"}.get(pattern, pattern)
        for name, pattern in binding.variables.items()
    }
    return VARIABLE.sub(lambda found: values[found[1]], binding.template), values


def arrived(rpc: Rpc, values: dict[str, str], method: str, asked: Message | None) -> bool:
    return method == str(rpc) and all(getattr(asked, name) == value for name, value in values.items())


async def test_every_binding_reaches_its_method_with_the_values_of_its_path(edge: Edge) -> None:
    lost = []
    for rpc in rpcs():
        for binding in rpc.bindings:
            url, values = filled(binding)
            response, method, asked = await edge.call(binding.verb, url, BODIES[binding.body])
            if response.status_code != 200 or not arrived(rpc, values, method, asked):
                lost.append(f"{binding.verb} {url}: expected {rpc}, found {response.status_code} {method}")

    assert lost == []


async def test_an_empty_stream_is_an_empty_array(edge: Edge) -> None:
    response, _, _ = await edge.call("GET", "/process-api/runtime/tasks/1/variables")

    assert response.json() == []


async def test_an_empty_list_has_flowables_envelope(edge: Edge) -> None:
    response, _, _ = await edge.call("GET", "/process-api/runtime/tasks")

    assert response.json() == {"data": [], "start": 0, "sort": "", "order": "", "size": 0}


async def test_a_value_of_null_is_not_an_absent_value(edge: Edge) -> None:
    asked = await edge.asked(
        "POST", "/process-api/runtime/process-instances", '{"variables": [{"name": "a", "value": null}, {"name": "b"}]}'
    )

    assert asked["variables"] == [{"name": "a", "value": None}, {"name": "b"}]


async def test_a_bare_array_of_variables_goes_with_a_request_id_in_the_query(edge: Edge) -> None:
    asked = await edge.asked(
        "POST", "/process-api/runtime/process-instances/7/variables?requestId=r", '[{"name": "a", "value": {"b": [1]}}]'
    )

    assert asked == {
        "processInstanceId": "7",
        "requestId": "r",
        "variables": [{"name": "a", "value": {"b": [1.0]}}],
    }


async def test_an_unknown_filter_is_refused(edge: Edge) -> None:
    response, method, _ = await edge.call("GET", "/process-api/runtime/tasks?nope=1")

    assert (response.status_code, method) == (400, "")


async def test_filters_in_the_query_have_flowables_names(edge: Edge) -> None:
    asked = await edge.asked(
        "GET",
        "/process-api/runtime/tasks?candidateGroupIn=a&candidateGroupIn=b&active=true&minimumPriority=3"
        "&dueBefore=2026-01-01T00:00:00Z&nameLike=%25x&size=0",
    )

    assert asked == {
        "active": True,
        "candidateGroupIn": ["a", "b"],
        "dueBefore": "2026-01-01T00:00:00Z",
        "minimumPriority": 3,
        "nameLike": "%x",
        "size": 0,
    }
