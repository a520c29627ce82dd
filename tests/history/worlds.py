"""A history with a real database, fed over the embedded bus by an engine in memory, asked through its contract."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flowloom.history.v1 import archive_service_pb2_grpc as archive_services
from flowloom.history.v1 import erasure_service_pb2_grpc as erasure_services
from flowloom.history.v1 import history_log_service_pb2_grpc as log_services
from flowloom.history.v1 import history_service_pb2 as pb
from flowloom.history.v1 import history_service_pb2_grpc as services
from flowloom.history.v1 import rebuild_service_pb2_grpc as rebuild_services
from flowloom.history.v1 import search_service_pb2_grpc as search_services
from flowloom.history.v1 import statistics_service_pb2_grpc as statistics_services

from engine.effects.events import encode_events
from engine.kernel import commands as cmd
from engine.kernel.events import Event
from engine.kernel.state import Tree
from engine.kernel.values import variables_of
from history.service import HistoryService, HistorySettings
from history.settings import TOPIC, HistoryDatabase
from history.storage import schema
from mesh.bus.embedded import EmbeddedBus
from mesh.bus.memory import MemoryOffsets, MemoryOutbox
from mesh.bus.message import Message
from mesh.bus.ports import GroupSettings
from mesh.clock import Clock
from mesh.db.database import DatabaseSettings, open_database
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from tests.engine.kernel.harness import MemoryEngine

SECONDS = 20.0
QUICK = GroupSettings(
    retry_seconds=0.001, away_seconds=0.001, linger_seconds=0.0, poll_seconds=0.01, gap_patience_seconds=0.0
)


class ToldEngine(MemoryEngine):
    """An engine in memory whose commands become messages, one each, as the outbox has them."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        super().__init__()
        self.outbox = outbox
        self.user_id = ""
        self.sequence = 0
        """Of the last message."""
        self._commands = 0

    def _decide(self, root_id: str, command: cmd.Command) -> Any:
        found = super()._decide(root_id, command)
        self.tell(root_id, found[0])
        return found

    def tell(self, root_id: str, events: Sequence[Event]) -> None:
        self._commands += 1
        command_id = f"command-{self._commands}"
        tree = self.trees.get(root_id)
        tenant_id = "" if tree is None else tree.instances[root_id].tenant_id
        payload = encode_events(root_id, command_id, tenant_id, self.now, events, user_id=self.user_id)
        self.publish(
            Message(topic=TOPIC, key=root_id, event_id=command_id, sequence=0, payload=payload, occurred_at=self.now)
        )

    def publish(self, message: Message) -> int:
        self.sequence = self.outbox.begin(message)
        self.outbox.commit(self.sequence)
        return self.sequence

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def set_variables(self, tree: Tree, **values: Any) -> None:
        self.run(tree.root_id, cmd.SetVariables(execution_id=tree.root_id, variables=variables_of(values)))


@dataclass
class World:
    """What survives a restart of history: the outbox with its offsets, and the database."""

    url: str

    def __post_init__(self) -> None:
        self.outbox = MemoryOutbox()
        self.offsets = MemoryOffsets()
        self.engine = ToldEngine(self.outbox)
        self._running: Running | None = None

    async def start(self, bus: GroupSettings = QUICK, clock: Clock | None = None, **more: Any) -> "Running":
        """Start history, after a crash anew."""
        self.offsets.owners.clear()
        settings = HistorySettings(database=HistoryDatabase(url=self.url), bus=bus, **more)
        self._running = Running(self, settings, clock)
        await self._running.start()
        return self._running

    async def contents(self, *without: str) -> Mapping[str, list[tuple[Any, ...]]]:
        """All rows of all tables of history, but of these."""

        def read() -> dict[str, list[tuple[Any, ...]]]:
            database = open_database(DatabaseSettings(url=self.url))
            with database.engine.connect() as connection:
                found = {
                    table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
                    for table in schema.metadata.sorted_tables
                    if table.name not in without
                }
            database.close()
            return found

        return await asyncio.to_thread(read)

    async def close(self) -> None:
        if self._running is not None:
            await self._running.stop()


class Running:
    """One life of the history process."""

    def __init__(self, world: World, settings: HistorySettings, clock: Clock | None = None) -> None:
        self.world = world
        self.bus = EmbeddedBus(TOPIC, world.outbox, world.offsets.for_process(), append=world.outbox.append)
        self.service = HistoryService(settings, self.bus, clock=clock)
        self._server = LocalServer()
        self.service.add_to(GuardedServer((self._server,)))
        channel = LocalChannel(self._server)
        self.stub: services.HistoryServiceAsyncStub = services.HistoryServiceStub(channel)  # type: ignore[assignment,arg-type]
        self.logs: Any = log_services.HistoryLogServiceStub(channel)  # type: ignore[arg-type]
        self.statistics: Any = statistics_services.StatisticsServiceStub(channel)  # type: ignore[arg-type]
        self.archive: Any = archive_services.ArchiveServiceStub(channel)  # type: ignore[arg-type]
        self.erasures: Any = erasure_services.ErasureServiceStub(channel)  # type: ignore[arg-type]
        self.rebuilds: Any = rebuild_services.RebuildServiceStub(channel)  # type: ignore[arg-type]
        self.search: Any = search_services.SearchServiceStub(channel)  # type: ignore[arg-type]
        self._stopped = False

    async def start(self) -> None:
        await self._server.start()
        await self.service.start()

    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await self.service.stop()
            await self.bus.stop()
            await self._server.stop(None)

    async def caught_up(self) -> None:
        """Return once history took all that the engine said."""
        async with asyncio.timeout(SECONDS):
            await self.service.wait_until(self.world.engine.sequence)

    async def activities(self, instance_id: str = "", **filters: Any) -> list[pb.HistoricActivityInstance]:
        """Without sequence flows, in order of start."""
        request = pb.ListHistoricActivityInstancesRequest(process_instance_id=instance_id or None, size=1000, **filters)
        found = await self.stub.ListHistoricActivityInstances(request)
        return [row for row in found.data if row.activity_type != "sequenceFlow"]

    async def instances(self, **filters: Any) -> list[pb.HistoricProcessInstance]:
        return [*(await self.stub.ListHistoricProcessInstances(pb.ListHistoricProcessInstancesRequest(**filters))).data]

    async def tasks(self, **filters: Any) -> list[pb.HistoricTaskInstance]:
        return [*(await self.stub.ListHistoricTaskInstances(pb.ListHistoricTaskInstancesRequest(**filters))).data]

    async def variables(self, **filters: Any) -> list[pb.HistoricVariableInstance]:
        request = pb.ListHistoricVariableInstancesRequest(**filters)
        return [*(await self.stub.ListHistoricVariableInstances(request)).data]


def values_of(found: Sequence[pb.HistoricVariableInstance]) -> Mapping[str, Any]:
    """Names and JSON values."""
    from google.protobuf.json_format import MessageToDict

    return {row.variable.name: MessageToDict(row.variable.value) for row in found}
