"""The in-process server: where servicers are registered, and what takes the calls of the channels."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import grpc

from mesh.local import context as serving
from mesh.local.rpc import Ending, Metadatum, Rpc

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]

_UNKNOWN_METHOD: Final = Ending(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
_WRONG_KIND: Final = Ending(grpc.StatusCode.UNIMPLEMENTED, "The method streams otherwise than the client expects.")
_NOT_SERVING: Final = Ending(grpc.StatusCode.UNAVAILABLE, "The in-process server is not serving.")
_STOPPED: Final = Ending(grpc.StatusCode.UNAVAILABLE, "The in-process server stopped.")


class _Details(NamedTuple):
    method: str
    invocation_metadata: tuple[Metadatum, ...]


class LocalServer(grpc.aio.Server):
    """Plays the server for the generated `add_…Servicer_to_server`."""

    def __init__(
        self,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        max_receive_message_bytes: int | None = None,
    ) -> None:
        """The first interceptor is the outermost; `max_receive_message_bytes` limits each request, None does not."""
        self._interceptors = tuple(interceptors)
        self._max_bytes = max_receive_message_bytes
        self._handlers: dict[str, Handler] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self._tasks: dict[asyncio.Task[None], Rpc] = {}
        self._serving = False
        self._stopped = False
        self._changed = asyncio.Event()

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Serve what these handlers know, unless a registered method comes first."""
        self._generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Serve these methods of the service."""
        for method, handler in method_handlers.items():
            self._handlers[f"/{service_name}/{method}"] = handler

    def add_insecure_port(self, address: str) -> int:
        """Refuse: this server has no ports."""
        raise grpc.aio.UsageError(f"expected no port of an in-process server, found {address}")

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:  # noqa: ARG002
        """Refuse: this server has no ports."""
        raise grpc.aio.UsageError(f"expected no port of an in-process server, found {address}")

    @property
    def serving(self) -> bool:
        """Tell whether calls are taken."""
        return self._serving

    async def start(self) -> None:
        """Take calls from now on."""
        if self._stopped:
            raise grpc.aio.UsageError("expected a server that was not stopped before")
        self._serving = True
        self._announce()

    async def stop(self, grace: float | None) -> None:
        """Take no more calls, give those under way `grace` seconds to end, and cancel what is left."""
        self._serving = False
        self._stopped = True
        self._announce()
        if grace and self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=grace)
        left = dict(self._tasks)
        for rpc in left.values():
            rpc.cut(_STOPPED)
        if left:
            await asyncio.wait(tuple(left))

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - gRPC's signature
        """Wait until the server was stopped and its last call ended; True if the time ran out first."""
        try:
            async with asyncio.timeout(timeout):
                while not self._stopped:
                    await self._changed.wait()
                while self._tasks:
                    await asyncio.wait(tuple(self._tasks))
        except TimeoutError:
            return True
        return False

    async def state_changed(self) -> None:
        """Wait until the server starts or stops."""
        await self._changed.wait()

    def take(self, rpc: Rpc) -> None:
        """Begin to serve a call in a context of its own: the servicer sees the caller's metadata and nothing else."""
        task = rpc.loop.create_task(self._serve(rpc), context=contextvars.Context())
        rpc.task = task
        self._tasks[task] = rpc
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _serve(self, rpc: Rpc) -> None:
        while not self._serving:
            if self._stopped or not rpc.wait_for_ready:
                rpc.answer(_NOT_SERVING)
                return
            await self._changed.wait()
        if self._interceptors:
            handler = await self._intercepted(rpc)
            if rpc.pending is not None:
                return
        else:
            handler = self._handlers.get(rpc.method) or self._generically(_Details(rpc.method, rpc.metadata))
        if handler is None:
            rpc.answer(_UNKNOWN_METHOD)
        elif handler.request_streaming != (rpc.requests is not None) or handler.response_streaming != (
            rpc.responses is not None
        ):
            rpc.answer(_WRONG_KIND)
        else:
            await serving.run(rpc, handler, self._max_bytes)

    async def _intercepted(self, rpc: Rpc) -> Handler | None:
        async def proceed(position: int, details: grpc.HandlerCallDetails) -> Handler | None:
            if position == len(self._interceptors):
                return self._handlers.get(details.method) or self._generically(details)
            continuation = cast("Any", partial(proceed, position + 1))
            return await self._interceptors[position].intercept_service(continuation, details)

        try:
            return await proceed(0, cast("grpc.HandlerCallDetails", _Details(rpc.method, rpc.metadata)))
        except Exception as bug:
            serving.report(rpc, bug)
            return None

    def _generically(self, details: Any) -> Handler | None:
        for generic in self._generic:
            handler = generic.service(details)
            if handler is not None:
                return handler
        return None
