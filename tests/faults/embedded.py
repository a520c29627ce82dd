"""An engine in this process, behind in-process channels, quiet unless it is asked: no job runs by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
from flowloom.engine.v1 import deployment_pb2, task_pb2, variable_pb2
from flowloom.engine.v1 import external_worker_service_pb2_grpc as workers_grpc
from flowloom.engine.v1 import management_service_pb2 as management_pb
from flowloom.engine.v1 import management_service_pb2_grpc as management_grpc
from flowloom.engine.v1 import repository_service_pb2 as repository_pb
from flowloom.engine.v1 import repository_service_pb2_grpc as repository_grpc
from flowloom.engine.v1 import runtime_service_pb2 as runtime_pb
from flowloom.engine.v1 import runtime_service_pb2_grpc as runtime_grpc
from flowloom.engine.v1 import task_service_pb2 as task_pb
from flowloom.engine.v1 import task_service_pb2_grpc as task_grpc
from google.protobuf import json_format

from engine.app.writers import GroupCommitSettings
from engine.jobs.settings import JobSettings
from engine.service import EngineService, EngineSettings
from engine.settings import DefinitionSettings, LimitSettings
from mesh.clock import Clock, ManualClock
from mesh.db.database import Database, DatabaseSettings, Synchronous
from mesh.guard import GuardedServer
from mesh.ids import IdSource
from mesh.local_channel import LocalChannel, LocalServer
from mesh.rpc_errors import refusal_in

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
QUIET_JOBS = JobSettings(manual_jobs=True)
ONE_WRITER = GroupCommitSettings(writers=1, delivery_poll_seconds=3600.0)


def settings_for(
    url: str,
    *,
    commit: GroupCommitSettings = ONE_WRITER,
    jobs: JobSettings = QUIET_JOBS,
    limits: LimitSettings | None = None,
    **database: Any,
) -> EngineSettings:
    """Settings under which nothing happens unasked. Only the death of the process is survived, not a power cut."""
    return EngineSettings(
        database=DatabaseSettings(url=url, sqlite_synchronous=Synchronous.NORMAL, **database),
        commit=commit,
        jobs=jobs,
        limits=limits or LimitSettings(),
        definitions=DefinitionSettings(fresh_seconds=3600.0),
    )


@dataclass(slots=True)
class Embedded:
    """An engine and the stubs that reach it."""

    service: EngineService
    clock: Clock
    local: LocalServer = field(default_factory=LocalServer)
    channel: LocalChannel = field(init=False)

    def __post_init__(self) -> None:
        self.service.add_to(GuardedServer((self.local,)))
        self.channel = LocalChannel(self.local)

    @property
    def database(self) -> Database:
        """The engine's database, whose statements a hook can watch."""
        return self.service._database

    @property
    def runtime(self) -> runtime_grpc.RuntimeServiceStub:
        return runtime_grpc.RuntimeServiceStub(self.channel)

    @property
    def tasks(self) -> task_grpc.TaskServiceStub:
        return task_grpc.TaskServiceStub(self.channel)

    @property
    def repository(self) -> repository_grpc.RepositoryServiceStub:
        return repository_grpc.RepositoryServiceStub(self.channel)

    @property
    def management(self) -> management_grpc.ManagementServiceStub:
        return management_grpc.ManagementServiceStub(self.channel)

    @property
    def workers(self) -> workers_grpc.ExternalWorkerServiceStub:
        return workers_grpc.ExternalWorkerServiceStub(self.channel)

    async def begin(self) -> None:
        """Start, and wait until what a former process left over was looked for."""
        await self.service.start()
        await self.local.start()
        await asyncio.sleep(0)
        await self.service._commit.transact(lambda _: None)

    async def end(self) -> None:
        """Stop in good order."""
        await self.channel.close()
        await self.local.stop(None)
        await self.service.stop()

    # --- what tests ask again and again -----------------------------------------------------------------------------

    async def deploy(self, *documents: str, request_id: str = "") -> deployment_pb2.Deployment:
        """Deploy documents together."""
        uploads = [
            repository_pb.ResourceUpload(name=f"process-{n}.bpmn20.xml", bytes=document.encode())
            for n, document in enumerate(documents)
        ]
        request = repository_pb.CreateDeploymentRequest(resources=uploads, name="test", request_id=request_id)
        return await self.repository.CreateDeployment(request)

    async def start(self, key: str, *, request_id: str = "", business_key: str = "", **values: Any) -> str:
        """Start an instance and return its id."""
        request = runtime_pb.StartProcessInstanceRequest(
            process_definition_key=key,
            business_key=business_key,
            variables=variables(**values),
            request_id=request_id,
        )
        return str((await self.runtime.StartProcessInstance(request)).id)

    async def open_tasks(self, instance_id: str) -> list[task_pb2.Task]:
        """The open tasks of an instance, by name."""
        found = await self.tasks.ListTasks(task_pb.ListTasksRequest(process_instance_id=instance_id, size=1000))
        return sorted(found.data, key=lambda task: (task.name, task.id))

    async def task(self, instance_id: str, name: str = "") -> str:
        """The id of the only open task (of that name) of an instance."""
        (task,) = [task for task in await self.open_tasks(instance_id) if not name or task.name == name]
        return str(task.id)

    async def complete(self, task_id: str, *, request_id: str = "", **values: Any) -> None:
        """Complete a task."""
        request = task_pb.CompleteTaskRequest(task_id=task_id, variables=variables(**values), request_id=request_id)
        await self.tasks.CompleteTask(request)

    async def execution_at(self, instance_id: str, activity_id: str) -> str:
        """The id of the only execution at an element."""
        request = runtime_pb.ListExecutionsRequest(process_instance_id=instance_id, activity_id=activity_id)
        (execution,) = (await self.runtime.ListExecutions(request)).data
        return str(execution.id)

    async def count_instances(self) -> int:
        """How many instances run."""
        return int((await self.runtime.ListProcessInstances(runtime_pb.ListProcessInstancesRequest(size=1))).total)

    async def run_jobs(self) -> int:
        """Execute what is due; returns how many jobs."""
        return int((await self.management.RunJobs(management_pb.RunJobsRequest(max_jobs=100))).executed)

    async def findings(self) -> list[str]:
        """What the engine's own check has to say against its database."""
        answer = await self.management.CheckConsistency(management_pb.CheckConsistencyRequest())
        return [str(finding) for finding in answer.findings]


def variables(**values: Any) -> list[variable_pb2.Variable]:
    """Variables of the contract, without types."""
    found = []
    for name, value in values.items():
        variable = variable_pb2.Variable(name=name)
        json_format.ParseDict(value, variable.value)
        found.append(variable)
    return found


def build(settings: EngineSettings, clock: Clock | None = None) -> Embedded:
    """Wire an engine; nothing is opened yet."""
    clock = clock or ManualClock(START)
    # Ids tell the time too, the same one.
    ids = IdSource(clock.now_ms) if isinstance(clock, ManualClock) else IdSource()
    return Embedded(EngineService(settings, clock=clock, ids=ids), clock)


@contextlib.asynccontextmanager
async def running(settings: EngineSettings, clock: Clock | None = None) -> AsyncIterator[Embedded]:
    """An engine that was started and will be stopped."""
    engine = build(settings, clock)
    await engine.begin()
    try:
        yield engine
    finally:
        await engine.end()


@contextlib.contextmanager
def refused(code: str, reason: str = "", *, naming: str = "") -> Iterator[None]:
    """Expect a call to be refused with this code (and reason), its message naming something."""
    try:
        yield
    except grpc.aio.AioRpcError as failed:
        refusal = refusal_in(failed)
        found = (failed.code().name, refusal.reason if refusal is not None and reason else "")
        assert found == (code, reason), f"{failed.code().name}: {failed.details()}"
        assert naming in (failed.details() or ""), f"expected '{naming}' to be named, found: {failed.details()}"
    else:
        raise AssertionError(f"expected {code}, found no refusal")
