"""The gRPC server of a process: one port, guarded methods, health, reflection, and an end that drops no request."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc

from mesh.access.control import Access, OpenAccess
from mesh.guard import GuardedServer, Observer, unobserved
from mesh.local_channel import LocalServer
from mesh.readiness import Readiness
from mesh.reflection import add_reflection
from mesh.settings import setting

if TYPE_CHECKING:
    RpcContext: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_LOGGER: Final = logging.getLogger(__name__)

MAX_RECEIVE_MESSAGE_BYTES: Final = 32 * 1024 * 1024
MAX_SEND_MESSAGE_BYTES: Final = 64 * 1024 * 1024
LAST_WORDS_SECONDS: Final = 0.5
"""How long the transport gets to deliver the last answers once no call is under way any more."""
MIN_CLIENT_PING_SECONDS: Final = 10.0
"""How often a client may ask whether the connection lives; one that asks more often is disconnected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the server listens, what it takes, and how it ends."""

    host: str = setting("127.0.0.1", doc="Address to listen on; a loopback one while access is off.")
    port: int = setting(0, doc="Port to listen on; 0 takes a free one.", minimum=0, maximum=65535)
    observation_port: int = setting(
        0, doc="Port of /metrics, /live and /ready; 0 takes a free one.", minimum=0, maximum=65535
    )
    max_receive_message_bytes: int = setting(
        MAX_RECEIVE_MESSAGE_BYTES, doc="The largest request taken; larger ones are RESOURCE_EXHAUSTED.", minimum=1024
    )
    max_send_message_bytes: int = setting(MAX_SEND_MESSAGE_BYTES, doc="The largest response sent.", minimum=1024)
    keepalive_seconds: float = setting(60.0, doc="How long a silent connection is left alone before a ping.", minimum=1)
    keepalive_timeout_seconds: float = setting(20.0, doc="How long a ping may go unanswered.", minimum=1)
    lame_duck_seconds: float = setting(2.0, doc="How long requests are still taken after readiness is withdrawn.")
    grace_seconds: float = setting(20.0, doc="How long requests under way may take once no more are taken.")
    probe_interval_seconds: float = setting(2.0, doc="How often dependencies are asked whether they work.")
    probe_timeout_seconds: float = setting(1.0, doc="How long a dependency may take to answer that.")

    def options(self) -> tuple[tuple[str, int], ...]:
        """Return the options of gRPC's core that say the same."""
        return (
            # Two processes on one port would share its connections silently; the second must fail to start instead.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.max_receive_message_bytes),
            ("grpc.max_send_message_length", self.max_send_message_bytes),
            ("grpc.keepalive_time_ms", round(self.keepalive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout_seconds * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", round(MIN_CLIENT_PING_SECONDS * 1000)),
        )


class MeshServer:
    """A socket server and an in-process one that serve the same guarded methods.

    Register servicers with `registrar`; co-hosted clients take `LocalChannel(server.local)`; everybody else the port.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        observe: Observer | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        descriptor_set: bytes | None = None,
        access: Access | None = None,
    ) -> None:
        """`observe` is told of every call; `interceptors` see each call first; `descriptor_set` is for reflection.

        `access` decides who may call. Without it everybody may, so the server must listen where nobody else comes:
        raises RuntimeError for an address that is not a loopback one.
        """
        self._is_open = access is None or isinstance(access, OpenAccess)
        if self._is_open and not is_loopback(settings.host):
            raise RuntimeError(
                f"expected to listen on loopback only while access is off (FLOWLOOM_ACCESS_MODE), found {settings.host}"
            )
        self._settings = settings
        self._descriptor_set = descriptor_set
        self._socket = grpc.aio.server(interceptors=tuple(interceptors), options=settings.options())
        self.local = LocalServer(interceptors, settings.max_receive_message_bytes)
        targets = (self._socket, self.local)
        self.registrar = GuardedServer(targets, observe or unobserved, access=access)
        self.readiness = Readiness(settings.probe_interval_seconds, settings.probe_timeout_seconds)
        self.draining = asyncio.Event()
        """Set when no more calls are taken: servicers end their long streams then, or the stop waits for the grace."""
        self._port: int | None = None
        self._drained: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Return `host:port`. Raises RuntimeError before the start."""
        if self._port is None:
            raise RuntimeError("expected a started server, found one without a port")
        return f"{self._settings.host}:{self._port}"

    async def start(self) -> str:
        """Listen, serve, and ask the probes for the first time; return `host:port`.

        Raises RuntimeError if the port is taken.
        """
        if self._is_open:
            _LOGGER.warning("access is off: whoever reaches %s may do everything", self._settings.host)
        services = tuple(self.registrar.services)
        self.readiness.add_to_server(self.registrar, services)
        if self._descriptor_set is not None:
            add_reflection(self.registrar, self._descriptor_set)
        self._port = self._socket.add_insecure_port(f"{self._settings.host}:{self._settings.port}")
        await self.registrar.start()
        await self.readiness.start()
        return self.address

    async def drain(self) -> None:
        """End without dropping a request; a second call waits for the first one.

        Withdraw readiness, go on serving for `lame_duck_seconds` while balancers notice, then take no more and give
        what is under way `grace_seconds`.
        """
        if self._drained is None:
            self._drained = asyncio.create_task(self._drain())
        await asyncio.shield(self._drained)

    async def _drain(self) -> None:
        _LOGGER.info("draining")
        self.readiness.drain()
        await asyncio.sleep(self._settings.lame_duck_seconds)
        self.draining.set()
        self.readiness.end_watches()
        self.registrar.gate.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.grace_seconds):
                await self.registrar.gate.until_idle()
        await self.registrar.stop(LAST_WORDS_SECONDS)
        await self.readiness.stop()

    async def stop(self) -> None:
        """End now: cancel what is under way."""
        self.readiness.drain()
        self.draining.set()
        await self.registrar.stop(None)
        await self.readiness.stop()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def until_signalled(signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> signal.Signals:
    """Wait for one of the signals and return it; while waiting, they do not end the process."""
    loop = asyncio.get_running_loop()
    received: asyncio.Future[signal.Signals] = loop.create_future()

    def take(which: signal.Signals) -> None:
        if not received.done():
            received.set_result(which)

    for which in signals:
        loop.add_signal_handler(which, take, which)
    try:
        return await received
    finally:
        for which in signals:
            loop.remove_signal_handler(which)
