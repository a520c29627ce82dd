"""The services of the mesh: how each is built from its surroundings, in the order in which they start.

A builder reads its service's settings from the environment and gives it what it needs of this process. Nothing here
knows whether the service runs alone or with all others; adding a service to the mesh is one builder and one line.

Each service comes along with its builder's import: a process that runs one does not load the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import grpc
from prometheus_client import CollectorRegistry

from host.access import MeshAccess
from mesh.bus.ports import EventBus
from mesh.cache.two_level import Caches
from mesh.channels import Channels
from mesh.clock import Clock
from mesh.settings import load

if TYPE_CHECKING:
    from engine.service import FormsNeed


class Service(Protocol):
    """A service's front door."""

    async def start(self) -> None:
        """Open what it needs and begin its work."""
        ...

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register its servicers."""
        ...

    async def probe(self) -> None:
        """Raise Unavailable if it cannot work at present."""
        ...

    async def stop(self) -> None:
        """End in good order."""
        ...


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What a service is given of its process.

    `access` knows who may do what: whom identity tells of changes, and whom groups are asked of. `caches` are the
    process's own. `channels` lead to the other services, in process where they are co-hosted. `broker` is the bus
    between processes, if there is one. `bus` is what consumers read from: the broker, or else the engine's own where it
    is co-hosted, None where there is none.
    """

    environment: Mapping[str, str]
    clock: Clock
    registry: CollectorRegistry
    draining: asyncio.Event
    channels: Channels
    caches: Caches
    access: MeshAccess
    broker: EventBus | None = None
    bus: EventBus | None = None


Builder: TypeAlias = Callable[[Surroundings], Service]


def _engine(around: Surroundings) -> Service:
    from engine.service import EngineService, EngineSettings

    engine = EngineService(
        load(EngineSettings, around.environment, "FLOWLOOM_ENGINE_"),
        clock=around.clock,
        registry=around.registry,
        draining=around.draining,
        caches=around.caches,
        groups=around.access,
        broker=around.broker,
        forms=_forms_of(around),
    )
    around.bus = engine.bus
    return engine


def _forms_of(around: Surroundings) -> FormsNeed | None:
    """Where forms answers; None where it neither runs here nor has an address."""
    from engine.service import FormsNeed

    try:
        # As itself: whoever may complete a task may submit its form, and prepares no submission by hand.
        return FormsNeed(channel=around.channels.to("forms", as_service=True))
    except LookupError:
        return None


def _forms(around: Surroundings) -> Service:
    from forms.service import FormsService, FormsSettings

    return FormsService(load(FormsSettings, around.environment, "FLOWLOOM_FORMS_"), clock=around.clock)


def _history(around: Surroundings) -> Service:
    from history.service import HistoryService, HistorySettings

    settings = load(HistorySettings, around.environment, "FLOWLOOM_HISTORY_")
    return HistoryService(settings, _bus_for("history", around), clock=around.clock, registry=around.registry)


def _notify(around: Surroundings) -> Service:
    from notify.service import NotifyService, NotifySettings

    return NotifyService(
        load(NotifySettings, around.environment, "FLOWLOOM_NOTIFY_"),
        _bus_for("notify", around),
        clock=around.clock,
        registry=around.registry,
        identity=_channel_if_reachable("identity", around),
        caches=around.caches,
    )


def _channel_if_reachable(service: str, around: Surroundings) -> grpc.aio.Channel | None:
    """The channel to a service that one can do without."""
    try:
        return around.channels.to(service)
    except LookupError:
        return None


def _identity(around: Surroundings) -> Service:
    from identity.service import IdentityService, IdentitySettings

    # Tokens live by the computer's time, also where a test moves the engine's.
    settings = load(IdentitySettings, around.environment, "FLOWLOOM_IDENTITY_")
    return IdentityService(settings, invalidate=around.access.forget, registry=around.registry)


def _bus_for(service: str, around: Surroundings) -> EventBus:
    bus = around.bus or around.broker
    if bus is None:
        raise RuntimeError(
            f"expected FLOWLOOM_BUS_URL to name a broker (kafka://host:port), found none: {service} reads the engine's "
            "events, and without a broker it runs with the engine in one process (flowloom up)"
        )
    return bus


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """A service of the mesh: its builder and the port on which it listens when it runs alone."""

    build: Builder
    port: int


SERVICES: Final[Mapping[str, Hosted]] = MappingProxyType(
    {
        "engine": Hosted(build=_engine, port=3001),
        "identity": Hosted(build=_identity, port=3002),
        "forms": Hosted(build=_forms, port=3003),
        "notify": Hosted(build=_notify, port=3004),
        "history": Hosted(build=_history, port=3005),
    }
)
"""By folder, in the order of their start: whoever carries events before whoever reads them."""
