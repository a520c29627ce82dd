"""The engine's front door: settings in, a service that can be registered, started, probed and stopped.

Everything is wired here, by constructor; nothing else of the engine knows more than its own ports.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Final, cast

import grpc
from flowloom.engine.v1 import (
    external_worker_service_pb2_grpc,
    form_data_service_pb2_grpc,
    management_service_pb2_grpc,
    repository_service_pb2_grpc,
    runtime_service_pb2_grpc,
    saga_service_pb2_grpc,
    task_service_pb2_grpc,
)
from flowloom.events.v1 import dead_letter_service_pb2_grpc
from prometheus_client import CollectorRegistry

from engine.app.archives import DeploymentLimits
from engine.app.asking import AskedCommands, AskedStandaloneTasks, NoGroups, UserGroups
from engine.app.batch import World
from engine.app.correlation import Correlation
from engine.app.dead_letters import DeadLetterDeeds
from engine.app.definition_changes import DefinitionChanges
from engine.app.definitions import DefinitionCache, DefinitionCacheLimits
from engine.app.deployments import Deployments
from engine.app.external_streams import JobStreams
from engine.app.external_work import ExternalWork
from engine.app.form_data import FormDataOf
from engine.app.form_deployments import FormDeployments
from engine.app.form_submissions import FormSubmissions
from engine.app.group_commit import GroupCommit
from engine.app.instance_changes import InstanceChanges
from engine.app.operations import EngineFacts, JobOperations, ManualControl, capabilities_of
from engine.app.relaying import Relay
from engine.app.sagas.completion import Completions, Participants
from engine.app.sagas.operations import SagaOperations
from engine.app.sagas.orchestrator import Orchestrator
from engine.app.sagas.ports import Performer
from engine.app.sagas.settings import SagaSettings
from engine.app.sagas.submissions import SubmissionSagas, SubmissionSteps
from engine.app.signalling import Signalling
from engine.app.standalone import TaskCommands
from engine.app.starting import Starting
from engine.app.task_remarks import TaskRemarks
from engine.app.unit_of_work import UnitOfWork
from engine.app.variable_changes import ExecutionVariables, TaskVariables
from engine.bpmn.xml import ModelLimits
from engine.effects.business_events import BusinessEvents, history_headers
from engine.effects.events import encode_events
from engine.effects.forms import GrpcForms, Metadata
from engine.effects.http_requests import HttpRequests
from engine.effects.saga_participants import RpcParticipants
from engine.effects.scripts import LANGUAGES, JavaScript, ScriptLimits
from engine.jobs.executor import JobExecutor
from engine.jobs.forms import FormSettling
from engine.jobs.outside import OutsideWork
from engine.jobs.pruning import OutboxPruning
from engine.jobs.relaying import OutboxRelay
from engine.jobs.sagas import SagaExecutor
from engine.kernel import registry as kernel_registry
from engine.rpc.batch_stream import StreamTerms
from engine.rpc.context import CallersRights
from engine.rpc.dead_letter_service import DeadLetterService
from engine.rpc.external_worker_service import ExternalWorkerService
from engine.rpc.form_data_service import FormDataService
from engine.rpc.management_service import ManagementService
from engine.rpc.repository_service import RepositoryService
from engine.rpc.runtime_service import RuntimeService
from engine.rpc.saga_service import SagaService
from engine.rpc.task_service import TaskService
from engine.service.caching import cached_lists, shared_definitions
from engine.service.settings import EngineSettings, command_limits
from engine.settings import LimitSettings
from engine.storage.codec import decode_value
from engine.storage.comments import CommentRows
from engine.storage.leases import LeaseStore
from engine.storage.migrate import MIGRATIONS
from engine.storage.outbox_reader import (
    TOPIC,
    bus_offsets,
    business_offsets,
    business_reader,
    has_read,
    outbox_reader,
)
from engine.storage.pruning import RELAY, prune_business_events, prune_outbox
from engine.storage.queries.service import SqlQueries
from engine.storage.relay_facts import RelayFacts
from engine.storage.relay_tables import dead_letter
from engine.storage.repository.store import SqlRepository
from engine.storage.sagas.store import SqlSagas
from engine.storage.small_writes import SmallWrites
from engine.storage.standalone_tasks import StandaloneTaskRows
from engine.storage.unit_of_work import SqlUnitOfWork
from mesh.bus.desk import SeveralDesks
from mesh.bus.embedded import EmbeddedBus
from mesh.bus.embedded_topics import EmbeddedTopics
from mesh.bus.ports import DeadLetterDesk, EventBus
from mesh.bus.sql import SqlDeadLetters
from mesh.bus.topics import BUSINESS, SAGA_PREFIX
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.clock import Clock
from mesh.db.database import open_database
from mesh.errors import Unavailable
from mesh.ids import IdSource, shard_of

__all__ = ["EngineService", "EngineSettings", "FormsNeed"]

WRITERS_ON_MYSQL: Final = 4
"""Two for commands, two for what is done aside: due jobs, leases, sagas."""
BUSINESS_GROUP: Final = "business"
"""The group that derives business events where there is no broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormsNeed:
    """Where the forms service answers; `credentials` are the engine's own, for whoever may not prepare submissions."""

    channel: grpc.aio.Channel
    credentials: Callable[[], Metadata] = tuple


class EngineService:
    """The engine in one process: `start`, `add_to` a server, `stop`. `bus` carries what it publishes.

    With a broker that is the one given, which is its owner's to stop; without, the engine's own, over its outbox.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        clock: Clock,
        registry: CollectorRegistry | None = None,
        draining: asyncio.Event | None = None,
        ids: IdSource | None = None,
        groups: UserGroups | None = None,
        caches: Caches | None = None,
        forms: FormsNeed | None = None,
        broker: EventBus | None = None,
    ) -> None:
        """Wire everything; nothing is opened yet. `draining` ends long streams when the server stops.

        `groups` tells the groups of users who are not the caller; without it they are in none. `caches` are the
        process's own; without them nothing is shared with other processes. Without `forms`, forms are resources of
        deployments, and what is written into them are variables. `broker`: the bus between processes; its owner stops
        it.
        """
        caches = caches or Caches(CacheSettings(), alone=True)
        self._groups = groups or NoGroups()
        self._rights = CallersRights(tasks_restricted=settings.tasks.restricted)
        ids = ids or IdSource()
        elements = kernel_registry.load()
        self._database = open_database(settings.database)
        self._migrated = False
        retention = timedelta(seconds=settings.jobs.request_retention_seconds)
        store = SqlRepository(self._database, now=clock.now, new_id=ids.root, retention=retention)
        kept = settings.definitions
        self._shared = shared_definitions(caches, kept.kept_seconds, lambda: self._definitions.look_again())
        self._definitions = DefinitionCache(
            store,
            elements,
            DefinitionCacheLimits(definitions=kept.kept, seconds=kept.kept_seconds, fresh_seconds=kept.fresh_seconds),
            shared=self._shared,
        )
        scripts = JavaScript(
            ScriptLimits(
                script_seconds=settings.scripts.seconds,
                script_memory_bytes=settings.scripts.memory_bytes,
                script_source_bytes=settings.scripts.source_bytes,
            )
        )
        self._participants = Participants()
        owner = f"engine-{ids.root()}"
        world = World(
            definitions=self._definitions,
            scripts=scripts,
            ids=ids,
            shard_of=shard_of,
            clock=clock,
            encode_events=encode_events,
            limits=command_limits(settings.limits),
            completions=self._completions(settings.sagas, owner, ids) if settings.sagas.completion else None,
        )
        self._commit = GroupCommit(
            lambda: SqlUnitOfWork(self._database),
            world,
            settings.commit,
            writers=1 if self._database.is_sqlite else WRITERS_ON_MYSQL,
        )
        self._asked = AskedCommands(self._commit, self._rights)
        self._queries = SqlQueries(
            self._database, self._definitions.compiled, clock, settings.database.readers, self._rights
        )
        self._wire_events(settings, clock, registry, broker)
        self._open_tasks = cached_lists(settings.tasks, caches, self._queries, self._rights, ids.root)
        self.forms = GrpcForms(forms.channel, settings.forms, forms.credentials) if forms is not None else None
        self._terms = StreamTerms(window=settings.streams.in_flight, draining=draining or asyncio.Event())
        self._wire_repository(settings.limits, scripts, store, elements, clock, ids)
        self._wire_sagas(settings.sagas, clock, ids, owner, manual=settings.jobs.manual_jobs)
        self._wire_runtime(settings, clock, ids, retention)
        self._wire_jobs(settings, clock, ids, elements)
        if self._open_tasks is not None:
            self._commit.listen(self._open_tasks.committed, self._open_tasks.HEARS)
        self._commit.listen(lambda _: self._outbox.wake())
        self._commit.listen(self._executor.on_committed, self._executor.HEARS)
        self._commit.listen(self._streams.on_committed, self._streams.HEARS)
        self._commit.listen(self._saga_executor.on_committed)

    def _standalone_changed(self) -> None:
        self._outbox.wake()
        if self._open_tasks is not None:
            self._open_tasks.changed_somehow()

    def _completions(self, settings: SagaSettings, owner: str, ids: IdSource) -> Completions:
        # The orchestrator is wired later; until it is there nothing is committed.
        return Completions(
            self._participants,
            owner=owner,
            new_id=ids.root,
            lease=timedelta(seconds=settings.lease_seconds),
            has_room=lambda: self.orchestrator.room > 0,
        )

    def _wire_sagas(self, settings: SagaSettings, clock: Clock, ids: IdSource, owner: str, *, manual: bool) -> None:
        store = SqlSagas(self._commit.transact, encode_events=encode_events, new_id=ids.root, now=clock.now)
        self._saga_rpc = RpcParticipants()
        self._performers: dict[str, Performer] = {}
        self.orchestrator = Orchestrator(
            store=store,
            performers=self._performers,
            remote=self._saga_rpc,
            now=clock.now,
            new_id=ids.root,
            owner=owner,
            settings=settings,
        )
        self.orchestrator.on_published = self._outbox.wake
        self._saga_executor = SagaExecutor(
            orchestrator=self.orchestrator,
            store=store,
            participants=self._participants,
            now=clock.now,
            settings=settings,
            manual=manual,
        )
        operations = SagaOperations(
            store=store,
            orchestrator=self.orchestrator,
            participants=self._participants,
            now=clock.now,
            new_id=ids.root,
        )
        self._sagas = SagaService(operations, self._queries)

    def _wire_events(
        self, settings: EngineSettings, clock: Clock, registry: CollectorRegistry | None, broker: EventBus | None
    ) -> None:
        database = self._database
        self._now = clock.now
        reader = outbox_reader(database, history_headers)
        self._outbox = EmbeddedBus(TOPIC, reader, bus_offsets(database), clock=clock)
        self._group = RELAY if broker is not None else BUSINESS_GROUP
        self._facts = RelayFacts(database, self._group)
        self._relayed = broker is not None
        self._kept = timedelta(seconds=settings.relay.business_retention_seconds)
        offsets = business_offsets(database)
        own = EmbeddedTopics(
            self._outbox,
            {name: EmbeddedBus(name, business_reader(database, name), offsets, clock=clock) for name in BUSINESS},
            self._begin_relay,
            lambda topic: (
                EmbeddedBus(topic, business_reader(database, topic), offsets, clock=clock)
                if topic.startswith(SAGA_PREFIX)
                else None
            ),
        )
        self.bus: EventBus = broker or own
        self._relay = OutboxRelay(
            outbox=self._outbox,
            reader=reader,
            topic=TOPIC,
            group=self._group,
            ship=Relay(
                BusinessEvents(),
                self._facts,
                None if broker is None else broker.publish,
                lambda count: self._relay.shipped(count) if self._relayed else own.wake_derived(),
            ),
            dead_letters=SqlDeadLetters(database, dead_letter, self._group),
            now=clock.now,
            settings=settings.relay,
            registry=registry,
        )
        answers = SmallWrites(database, clock, timedelta(seconds=settings.jobs.request_retention_seconds))
        self._dead_letters = DeadLetterService(DeadLetterDeeds(self._desk), answers)

    def _desk(self) -> DeadLetterDesk:
        """All dead letters: those of the relay are kept here, also where a broker has the consumers."""
        return SeveralDesks(lambda: [self.bus.desk, self._outbox.desk]) if self._relayed else self.bus.desk

    async def _begin_relay(self) -> None:
        """Ship, or without a broker derive the business events: only once somebody has ever wanted them."""
        await self._relay.start()

    def _wire_repository(
        self,
        limits: LimitSettings,
        scripts: JavaScript,
        store: SqlRepository,
        elements: kernel_registry.Registry,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._changes = DefinitionChanges(
            store, self._definitions, self._commit, now=clock.now, new_id=ids.root, rights=self._rights
        )
        deployments = Deployments(
            store,
            self._definitions,
            self._asked,
            elements,
            now=clock.now,
            new_id=ids.root,
            limits=DeploymentLimits(
                deployment_files=limits.deployment_files,
                deployment_bytes=limits.deployment_bytes,
                model=ModelLimits(model_bytes=limits.model_bytes, model_depth=limits.model_depth),
            ),
            syntax_error=scripts.syntax_error,
            forms=FormDeployments(self.forms),
            rights=self._rights,
        )
        self._repository = RepositoryService(deployments, self._changes, self._definitions, self._queries, self._groups)

    def _wire_runtime(self, settings: EngineSettings, clock: Clock, ids: IdSource, retention: timedelta) -> None:
        asked = self._asked
        starting = Starting(asked, self._definitions, self._queries, ids.root, self._rights)
        self._commit.listen(starting.committed, starting.HEARS)
        writes = SmallWrites(self._database, clock, retention)
        standalone = StandaloneTaskRows(writes, ids, clock.now, encode_events)
        commands = TaskCommands(asked, AskedStandaloneTasks(standalone, self._rights), self._standalone_changed)
        submissions = self._wire_forms(settings, starting, commands, clock, ids)
        self._runtime = RuntimeService(
            starting,
            InstanceChanges(asked, self._definitions, self._queries, self._rights),
            ExecutionVariables(asked, self._queries),
            Signalling(asked, self._queries),
            Correlation(asked, self._queries, starting),
            self._queries,
            self._terms,
            submissions,
        )
        self._tasks = TaskService(
            commands,
            TaskVariables(commands, self._queries, self._rights),
            TaskRemarks(CommentRows(writes, ids, clock.now, encode_events), self._queries, self._outbox.wake),
            self._queries,
            self._terms,
            self._groups,
            submissions,
            self._open_tasks,
        )

    def _wire_forms(
        self, settings: EngineSettings, starting: Starting, commands: TaskCommands, clock: Clock, ids: IdSource
    ) -> FormSubmissions:
        compiled = self._definitions.compiled
        form_data = FormDataOf(self._queries, compiled, commands, starting, self.forms, clock.now, self._rights)
        self._form_data = FormDataService(form_data)
        submissions = FormSubmissions(
            self.forms,
            self._queries,
            commands,
            self._asked,
            starting,
            self._definitions,
            compiled,
            SubmissionSagas(self.orchestrator, clock.now),
            now=clock.now,
            new_id=ids.root,
        )
        if self.forms is not None:
            self._performers["forms"] = SubmissionSteps(self.forms, submissions.was_committed)
        self.settling: FormSettling | None = None
        if self.forms is not None:
            self.settling = FormSettling(
                self.forms, submissions.settle, self._queries.get_deployment, clock.now, settings.settling
            )
        return submissions

    def _wire_jobs(
        self,
        settings: EngineSettings,
        clock: Clock,
        ids: IdSource,
        elements: kernel_registry.Registry,
    ) -> None:
        leases = LeaseStore(self._database, self._commit.transact, new_id=ids.root, decode_value=decode_value)
        self._http = HttpRequests(settings.http)
        outside = OutsideWork(
            leases=leases,
            commands=self._commit,
            perform=self._http.report,
            now=clock.now,
            owner=f"engine-{ids.root()}",
            settings=settings.jobs,
        )
        self._pruning = OutboxPruning(self._prune, clock.now, settings.jobs)
        self._executor = JobExecutor(
            due=self._commit,
            definitions=self._changes,
            leases=leases,
            outside=outside,
            now=clock.now,
            settings=settings.jobs,
        )
        work = ExternalWork(commands=self._asked, leases=leases, now=clock.now, rights=self._rights)
        self._streams = JobStreams(work, now=clock.now)
        self._workers = ExternalWorkerService(work, self._streams, self._queries, self._terms)
        operations = JobOperations(queries=self._queries, commands=self._asked, runs=self._executor, now=clock.now)
        control = ManualControl(
            clock=clock,
            runs=self._executor,
            manual_jobs=settings.jobs.manual_jobs,
            on_clock_moved=self._wake,
        )
        limits = settings.limits
        facts = EngineFacts(
            name="flowloom",
            version=version("flowloom"),
            capabilities=capabilities_of(
                elements, sorted(LANGUAGES), {"steps": limits.steps, "variable_bytes": limits.variable_bytes}
            ),
        )
        self._management = ManagementService(operations, control, self._queries, facts)

    def _wake(self) -> None:
        self._executor.wake()
        self._streams.wake_all()

    async def start(self) -> None:
        """Bring the tables up to date, then start the writers and the executor. Raises the errors of the database."""
        await asyncio.to_thread(MIGRATIONS.upgrade, self._database)
        self._migrated = True
        self._shared.start()
        await asyncio.to_thread(self._definitions.warm)
        await self._commit.start()
        self._executor.start()
        if self._relayed or await self._has_derived():
            await self._begin_relay()
        await self._saga_executor.start()
        self._pruning.start()
        if self.settling is not None:
            self.settling.start()

    async def _has_derived(self) -> bool:
        """Tell whether business events were derived in a former life; their group must go on, or nothing is pruned."""
        return await asyncio.to_thread(has_read, self._database, self._group)

    async def _prune(self, before: datetime) -> int:
        def prune(unit: UnitOfWork) -> int:
            writer = cast("SqlUnitOfWork", unit).writer
            return prune_outbox(writer, before, relayed=self._relayed) + prune_business_events(
                writer, self._now() - self._kept
            )

        return await self._commit.transact(prune)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the servicers."""
        repository_service_pb2_grpc.add_RepositoryServiceServicer_to_server(self._repository, server)
        runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server(self._runtime, server)
        task_service_pb2_grpc.add_TaskServiceServicer_to_server(self._tasks, server)
        form_data_service_pb2_grpc.add_FormDataServiceServicer_to_server(self._form_data, server)
        management_service_pb2_grpc.add_ManagementServiceServicer_to_server(self._management, server)
        dead_letter_service_pb2_grpc.add_DeadLetterServiceServicer_to_server(self._dead_letters, server)
        saga_service_pb2_grpc.add_SagaServiceServicer_to_server(self._sagas, server)
        external_worker_service_pb2_grpc.add_ExternalWorkerServiceServicer_to_server(self._workers, server)

    async def probe(self) -> None:
        """Say whether the engine can work. Raises Unavailable if it cannot."""
        if not self._migrated or self._commit.is_away:
            raise Unavailable("database-away", "expected the engine's database to answer, found it does not")

    async def stop(self) -> None:
        """End in good order: what is under way is finished, what waits is carried out."""
        await self._shared.stop()
        if self.settling is not None:
            await self.settling.stop()
        await self._pruning.stop()
        await self._executor.stop()
        await self._saga_executor.stop()
        await self._commit.stop()
        await self._relay.stop()
        if not self._relayed:
            await self.bus.stop()
        await self._outbox.stop()
        await self._facts.close()
        await self._http.aclose()
        await self._saga_rpc.aclose()
        await asyncio.to_thread(self._queries.close)
        self._database.close()
