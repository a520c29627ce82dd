"""What stands around every servicer method: it is checked who calls, refusals become statuses, bugs become incidents,
calls are counted.

The guard is put on when a servicer is registered, not looked up for every call as an interceptor is: an interceptor of
`grpc.aio` costs each call a chain of coroutines and a new handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
from google.protobuf.message import DecodeError

from mesh.access.control import Access, OpenAccess
from mesh.access.principal import enter
from mesh.access.watching import StreamWatch, watch
from mesh.errors import DomainError, InvalidArgument, Unavailable, Unimplemented
from mesh.ids import IdSource
from mesh.rpc_errors import CODES, refuse
from mesh.telemetry import call_context

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]

_LOGGER: Final = logging.getLogger(__name__)
_OK: Final = grpc.StatusCode.OK


class Observer(Protocol):
    """Is told of every call when it has ended; must be quick and must not raise."""

    def __call__(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Take note of a call of `/package.Service/Method`."""
        ...


def unobserved(method: str, code: grpc.StatusCode, seconds: float) -> None:
    """Take no note."""


class GuardedServer(grpc.aio.Server):
    """Plays the server for `add_…Servicer_to_server`: guards the methods and registers them with each of its targets.

    A service that is reached both over a socket and in process is registered once, here, with both servers as targets.
    """

    def __init__(
        self,
        targets: Sequence[grpc.aio.Server],
        observe: Observer = unobserved,
        new_incident: Callable[[], str] | None = None,
        access: Access | None = None,
    ) -> None:
        """`new_incident` gives the id by which a bug is found in the log; by default a time-ordered one.

        `access` is asked before each call; without it everybody may do everything.
        """
        self._targets = tuple(targets)
        self._methods = _Methods()
        self._observe = observe
        self._new_incident = new_incident or IdSource().root
        self._access = access or OpenAccess()
        self.gate = Gate()
        self.services: list[str] = []
        """Full names of the registered services, in order."""
        for target in self._targets:
            target.add_generic_rpc_handlers((self._methods,))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Register handlers that look methods up by themselves. Raises AccessUndeclared as `access` says."""
        generic_rpc_handlers = tuple(generic_rpc_handlers)
        for handler in generic_rpc_handlers:
            # Those of generated code can be asked what they hold; another one's methods are checked when first called.
            for method in getattr(handler, "_method_handlers", ()):
                self._access.rule(method)
        guarded = [_GuardedGeneric(handler, self._guard) for handler in generic_rpc_handlers]
        for target in self._targets:
            target.add_generic_rpc_handlers(guarded)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Register the methods of one service. Raises AccessUndeclared as `access` says."""
        self.services.append(service_name)
        for name, handler in method_handlers.items():
            method = f"/{service_name}/{name}"
            self._methods.add(method, self._guard(method, handler))

    def add_insecure_port(self, address: str) -> int:
        """Refuse: ports belong to the targets."""
        raise grpc.aio.UsageError(f"expected the port {address} to be opened at a target")

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:  # noqa: ARG002
        """Refuse: ports belong to the targets."""
        raise grpc.aio.UsageError(f"expected the port {address} to be opened at a target")

    async def start(self) -> None:
        """Start every target."""
        for target in self._targets:
            await target.start()

    async def stop(self, grace: float | None) -> None:
        """Stop all targets at once, with this grace in seconds."""
        await asyncio.gather(*(target.stop(grace) for target in self._targets))

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - gRPC's signature
        """Wait until every target has ended; True if the time ran out first."""
        return any(await asyncio.gather(*(target.wait_for_termination(timeout) for target in self._targets)))

    def _guard(self, method: str, handler: Handler) -> Handler:
        return guarded_handler(method, handler, self._observe, self._new_incident, self.gate, self._access)


def guarded_handler(
    method: str,
    handler: Handler,
    observe: Observer,
    new_incident: Callable[[], str],
    gate: Gate | None = None,
    access: Access | None = None,
) -> Handler:
    """Return the handler with the guard around its behaviour. `method` is its path, `/package.Service/Method`.

    Raises AccessUndeclared if `access` knows no rule for the method.
    """
    guard = _Guard(method, observe, new_incident, gate, access)
    found: Any = handler
    reads = found.request_deserializer
    codec = (reads if found.request_streaming or reads is None else _reader(reads), found.response_serializer)
    if not found.response_streaming:
        if found.request_streaming:
            return grpc.stream_unary_rpc_method_handler(guard.unary(found.stream_unary), *codec)
        return grpc.unary_unary_rpc_method_handler(guard.unary(found.unary_unary), *codec)
    if found.request_streaming:
        return grpc.stream_stream_rpc_method_handler(guard.streaming(found.stream_stream), *codec)
    return grpc.unary_stream_rpc_method_handler(guard.streaming(found.unary_stream), *codec)


class _Unreadable:
    """Stands for a request whose bytes are no such message, or nested deeper than messages may be."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


def _reader(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Read a request; what cannot be read is left to the guard, as gRPC would make an internal error of it."""

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError as error:
            return _Unreadable(str(error))

    return read


def _unreadable(request: _Unreadable) -> InvalidArgument:
    why = request.why.rpartition(": ")[2]
    if "MaxDepth" in why:
        why = "it is nested deeper than 100 messages (limit: message_depth; a JSON value takes two for each level)"
    return InvalidArgument("malformed-request", f"expected a request that can be read, found that {why}")


class _Methods(grpc.GenericRpcHandler):
    """All registered methods behind one look-up.

    They are not registered with gRPC itself: `grpc.aio` waits for the next call of each method that it knows with
    `asyncio.wait`, and so walks through all of them for every call that comes (hundreds, in a process of all services).
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def add(self, method: str, handler: Handler) -> None:
        self._handlers[method] = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        return self._handlers.get(handler_call_details.method)


class _GuardedGeneric(grpc.GenericRpcHandler):
    def __init__(self, inner: grpc.GenericRpcHandler, guard: Callable[[str, Handler], Handler]) -> None:
        self._inner = inner
        self._guard = guard
        self._guarded: dict[str, tuple[Any, Handler]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        found = self._inner.service(handler_call_details)
        if found is None:
            return None
        method = handler_call_details.method
        kept = self._guarded.get(method)
        if kept is None or kept[0] is not found:
            kept = self._guarded[method] = (found, self._guard(method, found))
        return kept[1]


class Gate:
    """Counts the calls under way and, once closed, lets no further one in.

    gRPC's own stop may cancel a call that the core has taken and no handler has seen; a caller cannot tell that from
    one that was cancelled halfway. Behind a closed gate it is told UNAVAILABLE instead: nothing was done.
    """

    __slots__ = ("_idle", "is_closed", "under_way")

    def __init__(self) -> None:
        self.is_closed = False
        self.under_way = 0
        self._idle = asyncio.Event()

    def leave(self) -> None:
        """One call less."""
        self.under_way -= 1
        if self.is_closed and not self.under_way:
            self._idle.set()

    def close(self) -> None:
        """Let nobody in from now on."""
        self.is_closed = True
        if not self.under_way:
            self._idle.set()

    async def until_idle(self) -> None:
        """Wait until the last call has left a closed gate."""
        await self._idle.wait()


def _closed() -> Unavailable:
    return Unavailable("draining", "expected a server that takes calls, found it shutting down")


class _Guard:
    """The guard of one method."""

    __slots__ = ("_access", "_gate", "_method", "_new_incident", "_observe", "_rule")

    def __init__(
        self,
        method: str,
        observe: Observer,
        new_incident: Callable[[], str],
        gate: Gate | None = None,
        access: Access | None = None,
    ) -> None:
        self._access = access or OpenAccess()
        self._rule = self._access.rule(method)
        self._gate = gate or Gate()
        self._method = method
        self._observe = observe
        self._new_incident = new_incident

    def unary(self, behaviour: Any) -> Any:
        """Guard a behaviour that returns its one response."""
        if not inspect.iscoroutinefunction(behaviour):
            behaviour = self._of_a_plain_function(behaviour)
        method, observe, gate = self._method, self._observe, self._gate
        admit, rule = self._access.admit, self._rule

        async def guarded(request: Any, context: RpcContext) -> Any:
            began = perf_counter()
            call_context.set(context)
            gate.under_way += 1
            try:
                if gate.is_closed:
                    raise _closed()
                enter(await admit(rule, context.invocation_metadata() or ()))
                if type(request) is _Unreadable:
                    raise _unreadable(request)
                response = await behaviour(request, context)
            except BaseException as raised:
                await self._end(context, raised, began)
                raise
            finally:
                gate.leave()
            observe(method, _as_code(context.code()), perf_counter() - began)
            return response

        return guarded

    def streaming(self, behaviour: Any) -> Any:
        """Guard a behaviour that yields its responses, or writes them to the context."""
        if not inspect.isasyncgenfunction(behaviour):
            return self.unary(behaviour)
        method, observe, gate = self._method, self._observe, self._gate
        access, rule = self._access, self._rule

        async def guarded(request: Any, context: RpcContext) -> AsyncIterator[Any]:
            began = perf_counter()
            call_context.set(context)
            gate.under_way += 1
            watched: StreamWatch | None = None
            try:
                if gate.is_closed:
                    raise _closed()
                metadata = context.invocation_metadata() or ()
                enter(await access.admit(rule, metadata))
                watched = watch(access, rule, metadata)
                if type(request) is _Unreadable:
                    raise _unreadable(request)
                async with contextlib.aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        yield response
            except BaseException as raised:
                await self._end(context, raised if watched is None else watched.instead_of(raised), began)
                raise
            finally:
                if watched is not None:
                    watched.stop()
                gate.leave()
            observe(method, _as_code(context.code()), perf_counter() - began)

        return guarded

    def _of_a_plain_function(self, behaviour: Any) -> Any:
        # A method that the servicer does not override is a plain function of the generated base class, which raises.
        async def awaited(request: Any, context: RpcContext) -> Any:
            try:
                return behaviour(request, context)
            except NotImplementedError:
                raise Unimplemented("method-not-implemented", f"{self._method} is not implemented") from None

        return awaited

    async def _end(self, context: RpcContext, raised: BaseException, began: float) -> None:
        """Take note of the call, and abort it for what was raised; returns if the exception itself is to go on."""
        code = _code_of(context, raised)
        self._observe(self._method, code, perf_counter() - began)
        if isinstance(raised, DomainError):
            await refuse(context, raised)
        if code is grpc.StatusCode.INTERNAL and isinstance(raised, Exception):
            incident = self._new_incident()
            _LOGGER.error("%s failed", self._method, exc_info=raised, extra={"incident_id": incident})
            # What went wrong may quote data that the caller must not see: they get the id, the log has the rest.
            await context.abort(code, f"internal error, incident {incident}")


def _code_of(context: RpcContext, raised: BaseException) -> grpc.StatusCode:
    if isinstance(raised, DomainError):
        return CODES[raised.status]
    if isinstance(raised, (asyncio.CancelledError, GeneratorExit)):
        return grpc.StatusCode.CANCELLED
    if isinstance(raised, grpc.aio.AbortError):
        return _as_code(context.code())
    return grpc.StatusCode.INTERNAL


def _as_code(found: grpc.StatusCode | None) -> grpc.StatusCode:
    # A context whose code nobody set answers None, in spite of its declared type.
    return _OK if found is None else found
