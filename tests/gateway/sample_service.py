"""A small service behind the edge: real gRPC on loopback, with the messages of `sample/sample.proto`."""

import asyncio
import functools
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_tools import protoc

from gateway.effects.descriptors import pool_of, read_contract
from gateway.model.contract import Contract
from gateway.rpc.reflection import add_reflection

SERVICE = "sample.v1.Items"
_REPOSITORY = Path(__file__).parents[2]


@functools.cache
def sample_contract() -> Contract:
    """Compile the sample and read it as the real contract is read."""
    google = Path(protoc.__file__).parent / "_proto"
    googleapis = Path(error_details_pb2.__file__).parents[2]
    sources = Path(__file__).parent / "sample"
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "sample.pb"
        include = [f"-I{path}" for path in (sources, _REPOSITORY / "proto", google, googleapis)]
        status = protoc.main(["protoc", *include, "--include_imports", f"-o{out}", str(sources / "sample.proto")])
        assert status == 0
        return read_contract(out.read_bytes())


@functools.cache
def message(name: str) -> Any:
    """The class of a message of the sample."""
    return message_factory.GetMessageClass(pool_of_sample().FindMessageTypeByName(name))


@functools.cache
def pool_of_sample() -> Any:
    return pool_of(sample_contract())


def status_of(code: grpc.StatusCode, text: str, reason: str) -> bytes:
    """`grpc-status-details-bin` as services send it."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain="sample", metadata={"message": "not this one"})
    packed = any_pb2.Any()
    packed.Pack(info)
    return status_pb2.Status(code=code.value[0], message=text, details=[packed]).SerializeToString()


class SampleServer:
    """The service on a loopback port. `name` is told in answers, so that a test sees who answered."""

    def __init__(self, port: int, name: str = "one") -> None:
        self.port = port
        self.name = name
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.time_remaining: float | None = None
        self.keys = b'{"keys": []}'
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self._health = health.aio.HealthServicer()
        self._server: Any = None

    async def start(self) -> None:
        self._server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 32 * 1024 * 1024)]
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_reflection(self._server, (SERVICE, health.SERVICE_NAME), pool_of_sample())
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        assert self._server.add_insecure_port(f"127.0.0.1:{self.port}") == self.port
        await self._server.start()

    async def leave(self) -> None:
        """Tell health checks that no new call is wanted here, and go on serving."""
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self, grace_seconds: float | None = None) -> None:
        await self._server.stop(grace_seconds)

    def _handlers(self) -> dict[str, Any]:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        methods = {
            "Get": (self._get, "GetRequest"),
            "Create": (self._echo, "Item"),
            "Update": (self._echo, "Item"),
            "Delete": (self._delete, "GetRequest"),
            "Upload": (self._upload, "UploadRequest"),
            "Download": (self._download, "GetRequest"),
            "Keys": (self._keys, "GetRequest"),
            "Login": (self._echo, "Item"),
        }
        handlers = {name: self._handler(unary, method, kind) for name, (method, kind) in methods.items()}
        handlers["Watch"] = self._handler(stream, self._watch, "GetRequest")
        handlers["Changes"] = self._handler(stream, self._watch, "GetRequest")
        handlers["CreateMany"] = self._handler(stream, self._create_many, "CreateManyRequest")
        return handlers

    def _handler(self, make: Any, method: Any, request: str) -> Any:
        return make(
            method,
            request_deserializer=message(f"sample.v1.{request}").FromString,
            response_serializer=lambda answer: answer.SerializeToString(),
        )

    def _note(self, rpc: str, context: Any) -> None:
        self.seen.append((rpc, {key: str(value) for key, value in context.invocation_metadata()}))

    async def _get(self, request: Any, context: Any) -> Any:
        self._note("Get", context)
        self.time_remaining = context.time_remaining()
        if request.id == "slow":
            self.entered.set()
            await self.release.wait()
        if request.id.startswith("fail-"):
            code = grpc.StatusCode[request.id.removeprefix("fail-")]
            text = f'no "{request.id}" — {{"details":[{{"reason":"forged"}}]}}'
            details = status_of(code, text, "because-of-this")
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            await context.abort(code, text)
        if request.id == "bare-failure":
            await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")
        return message("sample.v1.Item")(id=request.id, name=self.name, amount=7)

    async def _echo(self, request: Any, context: Any) -> Any:
        self._note("Echo", context)
        if request.name == "taken":
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "taken")
        return request

    async def _delete(self, request: Any, context: Any) -> Any:
        self._note("Delete", context)
        if request.id == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "missing")
        return message("google.protobuf.Empty")()

    async def _upload(self, request: Any, context: Any) -> Any:
        self._note("Upload", context)
        return message("sample.v1.Item")(
            id=request.tenant_id, name=request.file.content_type, amount=len(request.file.data)
        )

    async def _download(self, request: Any, context: Any) -> Any:
        self._note("Download", context)
        if request.id == "picture":
            return message("google.api.HttpBody")(content_type="image/png", data=b"\x89PNG\r\n\x1a\n\x00\xff")
        return message("google.api.HttpBody")(content_type="application/xml", data="<a>ä</a>".encode())

    async def _keys(self, request: Any, context: Any) -> Any:
        self._note("Keys", context)
        return message("google.api.HttpBody")(content_type="application/json", data=self.keys)

    async def _watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._note("Watch", context)
        if request.id == "none":
            return
        if request.id == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "missing")
        for amount in (1, 2):
            yield message("sample.v1.Item")(id=request.id, amount=amount)

    async def _create_many(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._note("CreateMany", context)
        for item in request.items:
            yield item
