"""An engine with sagas, and participants that keep their effects in a database of their own, behind a barrier."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from flowloom.engine.v1 import management_service_pb2 as management_pb
from flowloom.engine.v1 import saga_service_pb2 as pb
from flowloom.engine.v1.saga_service_pb2_grpc import SagaServiceStub
from flowloom.saga.v1 import saga_participant_service_pb2 as participant_pb
from flowloom.saga.v1.saga_participant_service_pb2_grpc import (
    SagaParticipantServiceServicer,
    add_SagaParticipantServiceServicer_to_server,
)
from google.protobuf import json_format
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, event, insert, select

from engine.app.sagas.settings import SagaSettings
from engine.jobs.settings import JobSettings
from engine.service import EngineService, EngineSettings
from engine.settings import DefinitionSettings
from mesh.clock import SystemClock
from mesh.db.database import DatabaseSettings, Synchronous
from mesh.saga_barrier import COMPENSATE, EXECUTE, LateExecution, SagaBarrier, barrier_table
from tests.faults.embedded import Embedded

SECONDS = 8.0
QUICK = SagaSettings(retry_seconds=0.01, look_seconds=0.05, lease_seconds=1.0, fresh_seconds=0.05, grace_seconds=0.2)
metadata = MetaData()
BARRIER = barrier_table(metadata)
EFFECTS = Table(
    "effect",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("participant", String(64)),
    Column("saga_id", String(64)),
    Column("step_id", String(128)),
    Column("action", String(16)),
)


def own_database(path: Path) -> Engine:
    """The participants' database."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")

    metadata.create_all(engine)
    return engine


class Participant(SagaParticipantServiceServicer):
    """Does its steps for real: an effect is a row. `fault` is asked before and after each effect, and may raise."""

    def __init__(self, name: str, database: Engine) -> None:
        self.name = name
        self._database = database
        self._barrier = SagaBarrier(BARRIER)
        self.calls: list[tuple[str, str]] = []
        self.data: dict[str, Any] = {}
        self.pending = False
        self.before: Callable[[str, int], None] = lambda action, attempt: None
        self.after: Callable[[str, int], None] = lambda action, attempt: None

    async def Execute(self, request: participant_pb.ExecuteRequest, context: Any) -> participant_pb.ExecuteResponse:
        self.data = json_format.MessageToDict(request.data)
        if await self._do(request, EXECUTE, context) and self.pending:
            return participant_pb.ExecuteResponse(pending=True)
        response = participant_pb.ExecuteResponse()
        response.result.update({"by": self.name})
        return response

    async def Compensate(
        self, request: participant_pb.CompensateRequest, context: Any
    ) -> participant_pb.CompensateResponse:
        await self._do(request, COMPENSATE, context)
        return participant_pb.CompensateResponse(pending=self.pending)

    async def _do(self, request: Any, action: str, context: Any) -> bool:
        self.calls.append((action, request.step_id))
        assert request.request_id == f"{request.saga_id}/{request.step_id}/{action}"
        try:
            self.before(action, request.attempt)
            await asyncio.to_thread(self._act, request.saga_id, request.step_id, action)
            self.acted(request, action)
        except LateExecution as late:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(late))
        except Refusal as refusal:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(refusal))
        except Trouble as trouble:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(trouble))
        return True

    def acted(self, request: Any, action: str) -> None:
        """Called behind an effect; may raise."""
        self.after(action, request.attempt)

    def _act(self, saga_id: str, step_id: str, action: str) -> None:
        with self._database.begin() as connection:
            # SQLite begins with a read lock by itself; two that both want to write would refuse each other.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            passage = self._barrier.enter(
                connection, saga_id=saga_id, step_id=step_id, action=action, now=SystemClock().now()
            )
            if passage.must_act:
                connection.execute(
                    insert(EFFECTS).values(participant=self.name, saga_id=saga_id, step_id=step_id, action=action)
                )


class Trouble(Exception):
    """What may heal."""


class Refusal(Exception):
    """What will not."""


def always(error: Exception, action: str = EXECUTE) -> Callable[[str, int], None]:
    """A fault that never heals."""

    def fault(found: str, _: int) -> None:
        if found == action:
            raise error

    return fault


def first(times: int, action: str = EXECUTE) -> Callable[[str, int], None]:
    """A fault that heals after so many attempts."""

    def fault(found: str, attempt: int) -> None:
        if found == action and attempt <= times:
            raise Trouble("not yet")

    return fault


@dataclass(slots=True)
class World:
    """An engine, its participants, and what a test asks."""

    engine: Embedded
    participants: dict[str, Participant]
    effects_database: Engine
    address: str
    ports: list[str] = field(default_factory=list)

    @property
    def sagas(self) -> Any:
        return SagaServiceStub(self.engine.channel)

    async def register(self, name: str, position: int = 0, **more: Any) -> pb.SagaParticipant:
        """Let a participant take part in completions."""
        fields: dict[str, Any] = ({"target": self.address} if "topic" not in more else {}) | more
        request = pb.RegisterSagaParticipantRequest(name=name, position=position, **fields)
        registered: pb.SagaParticipant = await self.sagas.RegisterSagaParticipant(request)
        return registered

    async def until(self, saga_id: str, *states: str) -> pb.Saga:
        """Wait until a saga is in one of the states."""
        async with asyncio.timeout(SECONDS):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    found: pb.Saga = await self.sagas.GetSaga(pb.GetSagaRequest(saga_id=saga_id))
                    if found.state in states:
                        return found
                await asyncio.sleep(0.01)

    async def until_step(self, saga_id: str, step_id: str) -> pb.Saga:
        """Wait until a saga stands at a step and waits for a word."""
        async with asyncio.timeout(SECONDS):
            while True:
                found: pb.Saga = await self.sagas.GetSaga(pb.GetSagaRequest(saga_id=saga_id))
                if found.step_id == step_id and found.HasField("due_date"):
                    return found
                await asyncio.sleep(0.01)

    async def log(self, saga_id: str) -> list[tuple[str, str]]:
        """The steps and states of a log."""
        found = await self.sagas.ListSagaLog(pb.ListSagaLogRequest(saga_id=saga_id, size=1000))
        assert [line.number for line in found.data] == list(range(1, len(found.data) + 1))
        return [(line.step_id, line.state) for line in found.data]

    def effects(self, saga_id: str = "") -> list[tuple[str, str, str]]:
        """What participants did, in order: participant, step and action."""
        with self.effects_database.connect() as connection:
            rows = connection.execute(select(EFFECTS).order_by(EFFECTS.c.number)).all()
        return [(row.participant, row.step_id, row.action) for row in rows if saga_id in ("", row.saga_id)]

    def repeated(self) -> list[Any]:
        """Effects that happened more than once."""
        with self.effects_database.connect() as connection:
            rows = connection.execute(select(EFFECTS)).all()
        counted = Counter((row.participant, row.saga_id, row.step_id, row.action) for row in rows)
        return [key for key, count in counted.items() if count > 1]

    async def findings(self) -> list[str]:
        """What `flowloom check` has to say."""
        report = await self.engine.management.CheckConsistency(management_pb.CheckConsistencyRequest())
        return [f"{found.rule}: {found.message}" for found in report.findings]


class Router(SagaParticipantServiceServicer):
    """All participants at one address, told apart by the step's name."""

    def __init__(self, participants: dict[str, Participant]) -> None:
        self._participants = participants

    async def Execute(self, request: Any, context: Any) -> Any:
        return await self._participants[request.step_name].Execute(request, context)

    async def Compensate(self, request: Any, context: Any) -> Any:
        return await self._participants[request.step_name].Compensate(request, context)


def settings_for(url: str, sagas: SagaSettings) -> EngineSettings:
    """Settings of an engine whose sagas do not wait long."""
    return EngineSettings(
        database=DatabaseSettings(url=url, sqlite_synchronous=Synchronous.NORMAL),
        jobs=JobSettings(),
        definitions=DefinitionSettings(fresh_seconds=3600.0),
        sagas=sagas,
    )


@contextlib.asynccontextmanager
async def serving(participants: dict[str, Participant], port: int = 0) -> AsyncIterator[str]:
    """The participants' server, and its address."""
    server = grpc.aio.server()
    add_SagaParticipantServiceServicer_to_server(Router(participants), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def running(tmp_path: Path, *names: str, url: str = "", sagas: SagaSettings = QUICK) -> AsyncIterator[World]:
    """An engine and its participants."""
    database = own_database(tmp_path / "effects.db")
    participants = {name: Participant(name, database) for name in names}
    settings = settings_for(url or f"sqlite:///{tmp_path}/engine.db", sagas)
    async with serving(participants) as address:
        engine = Embedded(EngineService(settings, clock=SystemClock()), SystemClock())
        await engine.begin()
        try:
            yield World(engine, participants, database, address)
        finally:
            await engine.end()
            database.dispose()
