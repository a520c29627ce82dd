"""A service with one method of each kind, registered and called the way generated code does it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from mesh.local_channel import LocalChannel, LocalServer

SERVICE = "test.v1.EchoService"


def text(value: str) -> StringValue:
    return StringValue(value=value)


class Echo:
    """Behaviours are attributes, so that a test replaces the one that it is about."""

    async def one_to_one(self, request: StringValue, context: Any) -> StringValue:
        return text(request.value.upper())

    async def one_to_many(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        for letter in request.value:
            yield text(letter)

    async def many_to_one(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return text("".join([request.value async for request in requests]))

    async def many_to_many(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield text(request.value.upper())


def add_echo_to_server(echo: Any, server: Any) -> None:
    codec: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers: dict[str, Any] = {
        "OneToOne": grpc.unary_unary_rpc_method_handler(echo.one_to_one, **codec),
        "OneToMany": grpc.unary_stream_rpc_method_handler(echo.one_to_many, **codec),
        "ManyToOne": grpc.stream_unary_rpc_method_handler(echo.many_to_one, **codec),
        "ManyToMany": grpc.stream_stream_rpc_method_handler(echo.many_to_many, **codec),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


class EchoStub:
    def __init__(self, channel: Any) -> None:
        codec = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
            "_registered_method": True,
        }
        self.one_to_one = channel.unary_unary(f"/{SERVICE}/OneToOne", **codec)
        self.one_to_many = channel.unary_stream(f"/{SERVICE}/OneToMany", **codec)
        self.many_to_one = channel.stream_unary(f"/{SERVICE}/ManyToOne", **codec)
        self.many_to_many = channel.stream_stream(f"/{SERVICE}/ManyToMany", **codec)
        self.unknown = channel.unary_unary(f"/{SERVICE}/Nowhere", **codec)


MAX_BYTES = 64 * 1024


class Transport:
    """Joins a servicer and a stub, over a socket or inside the process."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._ends: list[Any] = []
        self.server: Any = None
        self.channel: Any = None

    async def join(
        self, echo: Any, server_interceptors: Sequence[Any] = (), client_interceptors: Sequence[Any] = ()
    ) -> EchoStub:
        if self.kind == "local":
            self.server = LocalServer(server_interceptors, MAX_BYTES)
            add_echo_to_server(echo, self.server)
            self.channel = LocalChannel(self.server, client_interceptors, MAX_BYTES)
            await self.server.start()
        else:
            limit = [("grpc.max_receive_message_length", MAX_BYTES)]
            self.server = grpc.aio.server(interceptors=server_interceptors, options=limit)
            add_echo_to_server(echo, self.server)
            port = self.server.add_insecure_port("127.0.0.1:0")
            await self.server.start()
            self.channel = grpc.aio.insecure_channel(
                f"127.0.0.1:{port}", options=limit, interceptors=client_interceptors
            )
        return EchoStub(self.channel)

    async def close(self) -> None:
        if self.channel is not None:
            await self.channel.close()
        if self.server is not None:
            await self.server.stop(None)


async def soon(event: asyncio.Event) -> None:
    """Wait for what must happen, and fail if it does not."""
    async with asyncio.timeout(5):
        await event.wait()


@contextlib.asynccontextmanager
async def within(seconds: float = 5.0) -> AsyncIterator[None]:
    async with asyncio.timeout(seconds):
        yield
