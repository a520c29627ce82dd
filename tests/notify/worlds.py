"""A notify with a real database, fed over the embedded bus by an engine in memory, with an identity at its side."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import grpc
from flowloom.identity.v1 import identity_service_pb2 as identity_pb
from flowloom.identity.v1 import identity_service_pb2_grpc as identity_services
from flowloom.identity.v1 import user_pb2
from flowloom.notify.v1 import (
    delivery_pb2,
    notification_service_pb2_grpc,
    preference_service_pb2_grpc,
    preferences_pb2,
    template_service_pb2_grpc,
)
from flowloom.notify.v1 import notification_service_pb2 as pb
from flowloom.notify.v1 import preference_service_pb2 as preference_pb
from prometheus_client import CollectorRegistry

from mesh.access import Principal
from mesh.access.contract import Rule
from mesh.bus.embedded import EmbeddedBus
from mesh.bus.memory import MemoryOffsets, MemoryOutbox
from mesh.bus.ports import GroupSettings
from mesh.clock import ManualClock
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from notify.service import NotifyService, NotifySettings
from notify.settings import TOPIC, MailSettings, NotifyDatabase, Security, SendingSettings
from tests.engine.kernel.harness import BEGINNING
from tests.history.worlds import ToldEngine
from tests.notify.smtp import MailServer

SECONDS = 60.0
QUICK = GroupSettings(retry_seconds=0.001, linger_seconds=0.0, poll_seconds=0.01, gap_patience_seconds=0.0)
SENDING = SendingSettings(poll_seconds=0.02, retry_seconds=10.0, tries=4)


async def eventually(holds: Callable[[], Any], what: str = "the condition") -> None:
    """Return once it holds; the clock of the test only says when to give up."""
    try:
        async with asyncio.timeout(SECONDS):
            while not (found := holds()) or (asyncio.iscoroutine(found) and not await found):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"expected {what} within {SECONDS} s") from None


class Identity(identity_services.IdentityServiceServicer):
    """Users and groups in memory, behind identity's contract."""

    def __init__(self) -> None:
        self.users: dict[str, user_pb2.User] = {}
        self.groups: dict[str, list[str]] = {}
        self.calls = 0
        self.is_away = False

    def add(self, user_id: str, *groups: str, **fields: Any) -> None:
        fields.setdefault("email", f"{user_id}@muppets.example")
        fields.setdefault("display_name", f"{user_id.title()} M.")
        self.users[user_id] = user_pb2.User(id=user_id, **fields)
        for group in groups:
            self.groups.setdefault(group, []).append(user_id)

    async def ListUsers(self, request: Any, context: Any) -> identity_pb.ListUsersResponse:
        await self._called(context)
        found = [self.users[key] for key in request.ids if key in self.users]
        return identity_pb.ListUsersResponse(data=found, total=len(found), size=len(found))

    async def ListGroupMembers(self, request: Any, context: Any) -> identity_pb.ListGroupMembersResponse:
        await self._called(context)
        if request.group_id not in self.groups:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such group")
        found = [self.users[key] for key in self.groups[request.group_id]]
        return identity_pb.ListGroupMembersResponse(data=found, total=len(found), size=len(found))

    async def _called(self, context: Any) -> None:
        self.calls += 1
        if self.is_away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")


@dataclass
class World:
    """What survives a restart of notify: outbox, offsets, database, identity, the mail server, the time."""

    url: str
    mail: MailServer
    identity: Identity = field(default_factory=Identity)

    def __post_init__(self) -> None:
        self.outbox = MemoryOutbox()
        self.offsets = MemoryOffsets()
        self.engine = ToldEngine(self.outbox)
        self.clock = ManualClock(BEGINNING)
        self.running: list[Running] = []

    def settings(self, **more: Any) -> NotifySettings:
        mail = MailSettings(host=self.mail.host, port=self.mail.port, security=Security.NONE, domain="flowloom.test")
        settings = NotifySettings(
            database=NotifyDatabase(url=self.url), bus=QUICK, mail=mail, sending=SENDING, directory_seconds=0.0
        )
        return replace(settings, **more)

    async def start(self, **more: Any) -> "Running":
        """Start notify, after a crash anew."""
        self.offsets.owners.clear()
        running = Running(self, self.settings(**more))
        self.running.append(running)
        await running.start()
        return running

    def later(self, **by: float) -> None:
        self.engine.later(**by)
        self.clock.advance(timedelta(**by))
        for running in self.running:
            running.service.wake()

    async def close(self) -> None:
        for running in self.running:
            await running.stop()


class Running:
    """One life of the notify process."""

    def __init__(self, world: World, settings: NotifySettings) -> None:
        self.world = world
        self.registry = CollectorRegistry()
        self.bus = EmbeddedBus(TOPIC, world.outbox, world.offsets.for_process(), append=world.outbox.append)
        self._identity = LocalServer()
        identity_services.add_IdentityServiceServicer_to_server(world.identity, self._identity)
        self.service = NotifyService(
            settings,
            self.bus,
            clock=world.clock,
            registry=self.registry,
            identity=LocalChannel(self._identity),  # type: ignore[arg-type]
        )
        self._server = LocalServer()
        self.service.add_to(GuardedServer((self._server,)))
        channel: Any = LocalChannel(self._server)
        self.notifications: Any = notification_service_pb2_grpc.NotificationServiceStub(channel)
        self.templates: Any = template_service_pb2_grpc.TemplateServiceStub(channel)
        self.preferences: Any = preference_service_pb2_grpc.PreferenceServiceStub(channel)
        self._stopped = False

    async def start(self) -> None:
        await self._identity.start()
        await self._server.start()
        await self.service.start()

    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await self.service.stop()
            await self.bus.stop()
            await self._server.stop(None)
            await self._identity.stop(None)

    async def caught_up(self) -> None:
        """Return once notify took all that the engine said."""
        self.bus.wake()
        async with asyncio.timeout(SECONDS):
            await self.service.wait_until(self.world.engine.sequence)

    async def settled(self) -> None:
        """Return once notify took all that the engine said and did all that is due."""
        await self.caught_up()
        now = self.world.clock.now()

        async def nothing_is_due() -> bool:
            notices, deliveries = await self.service._queries.due(now)
            return notices == deliveries == 0

        self.service.wake()
        await eventually(nothing_is_due, "nothing to be due")

    async def deliveries(self, **filters: Any) -> list[delivery_pb2.Delivery]:
        found = await self.notifications.ListDeliveries(pb.ListDeliveriesRequest(size=1000, **filters))
        return list(found.data)

    async def prefer(self, user_id: str, **fields: Any) -> preferences_pb2.Preferences:
        wanted = preferences_pb2.Preferences(**fields)
        request = preference_pb.UpdatePreferencesRequest(user_id=user_id, preferences=wanted)
        found: preferences_pb2.Preferences = await self.preferences.UpdatePreferences(request)
        return found

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def told(found: list[delivery_pb2.Delivery]) -> list[tuple[str, str, str]]:
    """Event, recipient and state of each, in order."""
    return sorted((one.event, one.recipient, one.state) for one in found)


class OneTenant:
    """Everybody is a user of this tenant with all privileges of notify."""

    def __init__(self, tenant_id: str) -> None:
        self._tenant_id = tenant_id

    def rule(self, method: str) -> Any:
        return Rule(method=method, public=True)

    async def admit(self, rule: Any, metadata: Any) -> Principal:
        return Principal(user_id="kermit", tenant_id=self._tenant_id, privileges=frozenset(("notify.*",)))
