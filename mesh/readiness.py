"""Readiness that tells the truth: a process is ready while everything that it depends on answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

Probe = Callable[[], Awaitable[None]]
"""Asks one dependency whether it works; raises if it does not."""

_LOGGER: Final = logging.getLogger(__name__)
_STARTING: Final = "not probed yet"
_DRAINING: Final = "draining"


class Readiness:
    """Asks the probes again and again, and keeps `grpc.health.v1` up to date with what they say.

    Not ready from the start until every probe has succeeded once, and for good once `drain` was called.
    """

    def __init__(self, interval_seconds: float = 2.0, probe_timeout_seconds: float = 1.0) -> None:
        """A probe that takes longer than `probe_timeout_seconds` has failed."""
        self._interval_seconds = interval_seconds
        self._probe_timeout_seconds = probe_timeout_seconds
        self._probes: dict[str, Probe] = {}
        self._failures: dict[str, str] = {"process": _STARTING}
        self._draining = False
        self._health = _Health()
        self._poller: asyncio.Task[None] | None = None

    def add_probe(self, name: str, probe: Probe) -> None:
        """Depend on this; `name` says in `failures` what does not work."""
        if name in self._probes:
            raise ValueError(f"expected one probe named {name}, found a second")
        self._probes[name] = probe

    def add_to_server(self, server: grpc.aio.Server, services: Iterable[str] = ()) -> None:
        """Serve `grpc.health.v1` there, for the process as a whole and for each of these services."""
        self._health.services.update(services)
        codec: Any = (health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString)
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(self._health.check, *codec),
            "Watch": grpc.unary_stream_rpc_method_handler(self._health.watch, *codec),
        }
        server.add_registered_method_handlers("grpc.health.v1.Health", handlers)

    @property
    def ready(self) -> bool:
        """Tell whether everything worked when it was asked last, and the process is not draining."""
        return not self._failures and not self._draining

    @property
    def failures(self) -> Mapping[str, str]:
        """Return what does not work, by name of probe, and why."""
        return {"process": _DRAINING} if self._draining else dict(self._failures)

    async def poll(self) -> bool:
        """Ask every probe once, all at the same time, and return whether the process is ready."""
        names = tuple(self._probes)
        answers = await asyncio.gather(*(self._ask(self._probes[name]) for name in names))
        failures = {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}
        if failures != self._failures and failures:
            _LOGGER.warning("not ready: %s", "; ".join(f"{name}: {why}" for name, why in failures.items()))
        self._failures = failures
        self._health.tell(self.ready)
        return self.ready

    async def start(self) -> None:
        """Poll once now, and then every `interval_seconds` until `stop`."""
        self._health.tell(self.ready)
        await self.poll()
        self._poller = asyncio.create_task(self._keep_polling())

    async def stop(self) -> None:
        """Poll no more, and end the streams of those who watch."""
        self.end_watches()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait((self._poller,))
            self._poller = None

    def drain(self) -> None:
        """Be not ready from now on, whatever the probes say."""
        self._draining = True
        self._health.tell(self.ready)

    def end_watches(self) -> None:
        """End the streams of those who watch: otherwise a server that stops with grace would wait for them in vain."""
        self._health.end_watches()

    async def _keep_polling(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.poll()

    async def _ask(self, probe: Probe) -> str | None:
        try:
            async with asyncio.timeout(self._probe_timeout_seconds):
                await probe()
        except TimeoutError:
            return f"no answer in {self._probe_timeout_seconds:g} s"
        except Exception as failed:  # whatever it is, it is the answer to the question whether this works
            return f"{type(failed).__name__}: {failed}"
        return None


class _Health:
    """The servicer of `grpc.health.v1`. All services of a process are ready together."""

    def __init__(self) -> None:
        self.services = {""}
        self._serving = False
        self._ended = False
        self._changed = asyncio.Event()

    def tell(self, serving: bool) -> None:
        """Set what checks and watches answer."""
        if serving is not self._serving:
            self._serving = serving
            self._announce()

    def end_watches(self) -> None:
        """Let every watch end, now and in future."""
        self._ended = True
        self._announce()

    async def check(
        self, request: health_pb2.HealthCheckRequest, context: RpcContext
    ) -> health_pb2.HealthCheckResponse:
        """Answer once. NOT_FOUND if the service is not one of ours."""
        if request.service not in self.services:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"expected a service of this process, found {request.service}"
            )
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def watch(
        self, request: health_pb2.HealthCheckRequest, _: RpcContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Answer now and at every change."""
        told: int | None = None
        while not self._ended:
            changed = self._changed
            status = self._status(request.service)
            if status != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
                # The status may have changed while the answer was under way; then it is told at once.
                continue
            await changed.wait()

    def _status(self, service: str) -> Any:
        if service not in self.services:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        return health_pb2.HealthCheckResponse.SERVING if self._serving else health_pb2.HealthCheckResponse.NOT_SERVING

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
