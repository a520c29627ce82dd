"""The front door of notify: settings, a bus and identity's channel in; servicers, a consumer and two workers out.

notify = NotifyService(settings, bus, identity=channels.to("identity"))
notify.add_to(server.registrar)
server.readiness.add_probe("notify", notify.probe)
await notify.start()
...
await notify.stop()
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import grpc
from flowloom.notify.v1 import (
    notification_service_pb2_grpc,
    preference_service_pb2_grpc,
    template_service_pb2_grpc,
)
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from mesh.addresses import Resolver, resolve
from mesh.bus.ports import EventBus, Position, Subscription
from mesh.bus.sql import SqlDeadLetters
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.clock import Clock, SystemClock
from mesh.db.database import open_database
from mesh.errors import FailedPrecondition, Unavailable
from mesh.ids import IdSource
from mesh.outbox import in_database
from notify.app.erasing import Erasing
from notify.app.notifications import Notifications
from notify.app.planning import Planner
from notify.app.ports import Channel, Directory
from notify.app.preferences import UserPreferences
from notify.app.recording import Recorder
from notify.app.sending import Sender
from notify.app.templates import TemplateChoice, Templates
from notify.effects.consumer import Consumer
from notify.effects.directory import CachedDirectory, IdentityLookup, NoDirectory
from notify.effects.mail import open_mail
from notify.effects.rendering import TemplateProcess
from notify.effects.web_services import open_services
from notify.effects.webhook import Webhooks
from notify.jobs.measuring import Measured, Metrics
from notify.jobs.pruning import INTERVAL_SECONDS, Pruning
from notify.jobs.working import Worker
from notify.model.names import CHANNELS, EVENTS, MAIL, WEBHOOK
from notify.model.schedule import zone_of
from notify.rpc.notification_service import NotificationServicer
from notify.rpc.preference_service import PreferenceServicer
from notify.rpc.template_service import TemplateServicer
from notify.settings import NotifySettings
from notify.storage import tables
from notify.storage.connection import Connection
from notify.storage.deliveries import DeliveryRows
from notify.storage.erasing import RecipientRows
from notify.storage.migrate import MIGRATIONS
from notify.storage.notices import NoticeStore
from notify.storage.queries import Queries
from notify.storage.recording import RecordingStore
from notify.storage.requests import Answers
from notify.storage.templates import PreferenceRows, TemplateRows

__all__ = ["SERVICES", "NotifyService", "NotifySettings"]

SERVICES: Final = (
    "flowloom.notify.v1.NotificationService",
    "flowloom.notify.v1.PreferenceService",
    "flowloom.notify.v1.TemplateService",
)


class NotifyService:
    """All of notify in one object. The bus, the channel and the caches are their owner's to stop, after notify."""

    def __init__(
        self,
        settings: NotifySettings,
        bus: EventBus,
        *,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
        identity: grpc.aio.Channel | None = None,
        caches: Caches | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        """Nothing is opened yet. Without `identity`, people are only reached at addresses that they prefer.

        Raises ValueError for a database URL of another kind, or a setting that names no channel or time zone.
        """
        _check(settings)
        self._settings = settings
        self._bus = bus
        self._clock = clock or SystemClock()
        self._database = open_database(settings.database)
        self._connection = Connection(self._database)
        self._queries = Queries(self._database)
        self._subscription: Subscription | None = None
        self.dead_letters = SqlDeadLetters(self._database, tables.dead_letter, settings.group)
        self._metrics = Metrics(self._measured, registry)
        self._channels = self._open_channels(resolver)
        self._renderers = (TemplateProcess(settings.template), TemplateProcess(settings.template))
        self._directory = _directory(settings, identity, caches)
        self._answers = Answers(self._connection, self._clock)
        self._deliveries = DeliveryRows(self._connection, self._answers, self._clock, settings.sending.lease_seconds)
        self._templates = TemplateRows(self._database, self._answers)
        self._build_workers()
        self._build_servicers()

    def _open_channels(self, resolver: Resolver) -> Mapping[str, Channel]:
        settings, seconds = self._settings, self._settings.sending.send_seconds
        services, self._service_threads = open_services(settings.service, seconds)
        return {
            MAIL: open_mail(settings.mail, seconds),
            WEBHOOK: Webhooks(settings.webhook, self._clock, seconds, resolver),
            **services,
        }

    def _build_workers(self) -> None:
        settings, new_id = self._settings, IdSource().root
        choice = TemplateChoice(self._templates, settings)
        self._sender = Sender(
            self._deliveries,
            self._channels,
            choice,
            self._renderers[0],
            settings.sending,
            settings.mail.domain,
            self._clock,
            new_id,
            self._metrics.outcome,
        )
        poll_seconds = settings.sending.poll_seconds
        self._sending = Worker("sending of deliveries", self._sender.turn, poll_seconds)
        planner = Planner(
            NoticeStore(self._connection),
            self._directory,
            self._channels,
            settings,
            self._clock,
            new_id,
            self._sending.wake,
        )
        self._planning = Worker("planning of notices", planner.turn, poll_seconds)
        pruning = Pruning(self._deliveries.prune, self._answers.prune, self._clock, settings.retention_seconds)
        self._pruning = Worker("pruning of deliveries", pruning.turn, INTERVAL_SECONDS)
        self._measuring = Worker("measuring of notify", self._metrics.turn, settings.lag_interval_seconds)
        self.recorder = Recorder(
            RecordingStore(self._connection), timedelta(seconds=settings.due_soon_seconds), self._planning.wake
        )

    def _build_servicers(self) -> None:
        settings = self._settings
        preferences = PreferenceRows(self._database, self._answers)
        notifications = Notifications(
            self._deliveries,
            self._queries,
            preferences,
            self._directory,
            self._channels,
            settings,
            self._clock,
            IdSource().root,
            self._sending.wake,
        )
        # A renderer of its own: a template that somebody tries keeps no message waiting.
        templates = Templates(
            self._templates,
            TemplateChoice(self._templates, settings),
            self._renderers[1],
            settings,
            self._clock,
        )
        erasing = Erasing(RecipientRows(self._connection, self._answers))
        users = UserPreferences(preferences, self._directory, self._channels, settings, self._clock)
        self._servicers = (
            NotificationServicer(notifications, erasing, settings.mail.domain),
            TemplateServicer(templates),
            PreferenceServicer(users),
        )

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve the contract there."""
        notifications, templates, preferences = self._servicers
        notification_service_pb2_grpc.add_NotificationServiceServicer_to_server(notifications, server)
        template_service_pb2_grpc.add_TemplateServiceServicer_to_server(templates, server)
        preference_service_pb2_grpc.add_PreferenceServiceServicer_to_server(preferences, server)

    async def start(self) -> None:
        """Bring the tables up to date and begin to take events, from where notify's own database ends.

        Raises FailedPrecondition if migrations are missing that we may not run, Unavailable if the database is away.
        """
        await self._migrate()
        self._subscription = await self._bus.subscribe(
            self._settings.topic,
            self._settings.group,
            Consumer(self.recorder.record),
            self.dead_letters,
            self._settings.bus,
            applied_sequence=await self._applied_sequence(),
        )
        for worker in self._workers:
            worker.start()

    async def stop(self) -> None:
        """Let the batch and the deliveries under way end, take no more, and close everything."""
        if self._subscription is not None:
            await self._subscription.stop()
            self._subscription = None
        for worker in self._workers:
            await worker.stop()
        await self._sender.drain()
        for channel in self._channels.values():
            await channel.close()
        await asyncio.to_thread(self._service_threads.shutdown)
        for renderer in self._renderers:
            await renderer.close()
        await self._connection.close()
        self._database.close()

    async def probe(self) -> None:
        """Raise Unavailable unless the database answers, events are taken, and the workers work."""
        await self._running().probe()
        for worker in (self._planning, self._sending):
            if worker.failure:
                raise Unavailable("worker-waits", f"expected notify to be at work, found: {worker.failure}")
        await in_database(self._database, lambda connection: connection.execute(select(1)).scalar_one())

    async def wait_until(self, sequence: int) -> None:
        """Return once the message of this sequence was taken."""
        await self._running().wait_until(sequence)

    async def position(self) -> Position:
        """Where notify stands on the bus."""
        return await self._running().position()

    async def replay(self, root_id: str) -> int:
        """Take the parked messages of a root anew; returns how many succeeded."""
        return await self._running().replay(root_id)

    def wake(self) -> None:
        """Look for what is due now; a clock that was moved by hand tells nobody else."""
        self._planning.wake()
        self._sending.wake()

    @property
    def _workers(self) -> tuple[Worker, ...]:
        return (self._planning, self._sending, self._pruning, self._measuring)

    async def _measured(self) -> Measured:
        position = await self.position()
        notices, deliveries = await self._queries.waiting()
        return Measured(
            lag_messages=position.behind,
            held_messages=position.held,
            waiting_notices=notices,
            waiting_deliveries=deliveries,
        )

    async def _migrate(self) -> None:
        if self._settings.migrate:
            await asyncio.to_thread(MIGRATIONS.upgrade, self._database)
            return
        present, wanted = await asyncio.to_thread(lambda: (MIGRATIONS.current(self._database), MIGRATIONS.head()))
        if present != wanted:
            message = f"expected notify's tables at step {wanted}, found {present or 'none'}"
            raise FailedPrecondition("migrations-missing", message)

    async def _applied_sequence(self) -> int:
        """The highest sequence whose effects are here: parked messages are counted, they are here in their way."""
        statement = select(func.coalesce(func.max(tables.applied.c.sequence), 0))
        parked = select(func.coalesce(func.max(tables.dead_letter.c.sequence), 0)).where(
            tables.dead_letter.c.consumer_group == self._settings.group
        )
        return await in_database(
            self._database,
            lambda connection: max(
                int(connection.execute(statement).scalar_one()), int(connection.execute(parked).scalar_one())
            ),
        )

    def _running(self) -> Subscription:
        if self._subscription is None:
            raise Unavailable("notify-not-started", "expected notify to be at work, found it not started")
        return self._subscription


def _check(settings: NotifySettings) -> None:
    """What a wrong setting would only show when somebody is to be told something."""
    zone_of(settings.time_zone)
    for name, known, given in (
        ("channels", CHANNELS, settings.channels),
        ("muted_events", EVENTS, settings.muted_events),
    ):
        unknown = [word for word in given if word not in known]
        if unknown:
            raise ValueError(f"expected {name} to be some of {', '.join(known)}, found {', '.join(unknown)}")
    if settings.sending.send_seconds >= settings.sending.lease_seconds:
        raise ValueError(
            f"expected sending_send_seconds below sending_lease_seconds, found {settings.sending.send_seconds:g} and "
            f"{settings.sending.lease_seconds:g}: who has the lease must be done before it ends"
        )


def _directory(settings: NotifySettings, identity: grpc.aio.Channel | None, caches: Caches | None) -> Directory:
    if identity is None:
        return NoDirectory()
    kept = caches or Caches(CacheSettings(), alone=True)
    return CachedDirectory(IdentityLookup(identity), kept, settings.directory_seconds, settings.max_recipients)
