"""A whole engine and a whole forms service, each behind its contract, as `flowloom up` puts them together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from flowloom.engine.v1 import form_data_service_pb2 as pb
from flowloom.engine.v1 import (
    form_data_service_pb2_grpc,
    process_instance_pb2,
    repository_service_pb2,
    repository_service_pb2_grpc,
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    saga_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    variable_pb2,
)
from flowloom.forms.v1 import (
    form_repository_service_pb2,
    form_repository_service_pb2_grpc,
    form_service_pb2,
    form_service_pb2_grpc,
)
from google.protobuf.json_format import MessageToDict, ParseDict

from engine.effects.forms import FormsCallSettings
from engine.service import EngineService, EngineSettings, FormsNeed
from engine.settings import TaskSettings
from forms.service import FormsService, FormsSettings
from forms.settings import FormsDatabase
from mesh.access import Principal
from mesh.access.contract import Rule
from mesh.access.control import OpenAccess
from mesh.clock import ManualClock, SystemClock
from mesh.db.database import DatabaseSettings
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer

SERVICE_TOKEN = ("authorization", "Bearer the-engine")


class Interrupting(grpc.aio.UnaryUnaryClientInterceptor):
    """Stands between engine and forms: what it raises before or after a method is what the engine gets."""

    def __init__(self) -> None:
        self.before: dict[str, Exception] = {}
        self.after: dict[str, BaseException] = {}
        self.asked: list[str] = []

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        found = details.method if isinstance(details.method, str) else details.method.decode()
        method = found.rpartition("/")[2]
        self.asked.append(method)
        if method in self.before:
            raise self.before[method]
        answer = await continuation(details, request)
        if method in self.after:
            await answer
            raise self.after[method]
        return answer


class Somebody(OpenAccess):
    """An `Access` whose caller the test chooses; the engine itself is known by its token."""

    def __init__(self) -> None:
        super().__init__()
        self.principal = Principal(privileges=frozenset(("*",)))

    def rule(self, method: str) -> Rule:
        return Rule(method=method, public=False)

    async def admit(self, rule: Rule, metadata: Iterable[Any]) -> Principal:
        if SERVICE_TOKEN in [tuple(each) for each in metadata]:
            return Principal(user_id="service:engine", privileges=frozenset(("*",)), is_service=True)
        return self.principal


class World:
    """Both services, with stubs to all that tests ask."""

    def __init__(self, folder: Path, *, with_forms: bool = True) -> None:
        self.clock = ManualClock(SystemClock().now())
        self.between = Interrupting()
        self._server = LocalServer()
        self.somebody = Somebody()
        guarded = GuardedServer((self._server,), access=self.somebody)
        channel: Any = LocalChannel(self._server)
        to_forms: Any = LocalChannel(self._server, (self.between,))
        need = FormsNeed(channel=to_forms, credentials=lambda: (SERVICE_TOKEN,)) if with_forms else None
        self.engine = EngineService(
            EngineSettings(
                tasks=TaskSettings(restricted=True),
                database=DatabaseSettings(url=f"sqlite:///{folder / 'engine.db'}"),
                forms=FormsCallSettings(tries=1),
            ),
            clock=self.clock,
            forms=need,
        )
        self.forms_service = FormsService(
            FormsSettings(database=FormsDatabase(url=f"sqlite:///{folder / 'forms.db'}")), clock=self.clock
        )
        self.engine.add_to(guarded)
        self.forms_service.add_to(guarded)
        self.repository: Any = repository_service_pb2_grpc.RepositoryServiceStub(channel)
        self.runtime: Any = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        self.tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        self.sagas: Any = saga_service_pb2_grpc.SagaServiceStub(channel)
        self.form_data: Any = form_data_service_pb2_grpc.FormDataServiceStub(channel)
        self.forms: Any = form_service_pb2_grpc.FormServiceStub(channel)
        self.form_repository: Any = form_repository_service_pb2_grpc.FormRepositoryServiceStub(channel)

    async def start(self) -> None:
        await self._server.start()
        await self.forms_service.start()
        await self.engine.start()

    async def stop(self) -> None:
        await self.engine.stop()
        await self.forms_service.stop()
        await self._server.stop(None)

    def be(self, user_id: str, *privileges: str, tenant_id: str = "") -> None:
        """From now on somebody else asks."""
        self.somebody.principal = Principal(
            user_id=user_id, tenant_id=tenant_id, privileges=frozenset(privileges or ("*",))
        )

    def later(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    async def deploy(self, *, tenant_id: str = "", request_id: str = "", **files: Any) -> Any:
        """Deploy files, named by extension: `leave__bpmn`, `leave__form`; forms may be dictionaries."""
        resources = [
            repository_service_pb2.ResourceUpload(
                name=name.replace("__", "."), bytes=(json.dumps(data) if isinstance(data, dict) else data).encode()
            )
            for name, data in files.items()
        ]
        return await self.repository.CreateDeployment(
            repository_service_pb2.CreateDeploymentRequest(
                name="leave", resources=resources, tenant_id=tenant_id, request_id=request_id
            )
        )

    async def run(self, key: str = "leave", **more: Any) -> process_instance_pb2.ProcessInstance:
        found = await self.runtime.StartProcessInstance(
            runtime_service_pb2.StartProcessInstanceRequest(
                process_definition_key=key,
                variables=variables(more.pop("variables", {})),
                start_form_variables=variables(more.pop("form", {})),
                **more,
            )
        )
        assert isinstance(found, process_instance_pb2.ProcessInstance)
        return found

    async def task(self, instance_id: str = "") -> task_pb2.Task:
        found = await self.tasks.ListTasks(task_service_pb2.ListTasksRequest(process_instance_id=instance_id or None))
        (task,) = found.data
        assert isinstance(task, task_pb2.Task)
        return task

    async def open_tasks(self) -> int:
        return int((await self.tasks.ListTasks(task_service_pb2.ListTasksRequest())).total)

    async def complete(self, task_id: str, form_id: str, values: Mapping[str, Any], **more: Any) -> None:
        await self.tasks.ExecuteTaskAction(
            task_service_pb2.ExecuteTaskActionRequest(
                task_id=task_id,
                action="complete",
                form_definition_id=form_id,
                variables=variables(values),
                **more,
            )
        )

    async def values(self, instance_id: str) -> dict[str, Any]:
        request = runtime_service_pb2.ListProcessInstanceVariablesRequest(process_instance_id=instance_id)
        stream = self.runtime.ListProcessInstanceVariables(request)
        return {each.name: (each.type, MessageToDict(each.value)) async for each in stream}

    async def form_id(self, key: str = "leave", **more: Any) -> str:
        request = form_repository_service_pb2.ResolveFormRequest(form_key=key, **more)
        return str((await self.form_repository.ResolveForm(request)).definition.id)

    async def submissions(self, **filters: Any) -> list[dict[str, Any]]:
        request = form_service_pb2.ListFormInstancesRequest(**filters)
        return [MessageToDict(each) for each in (await self.forms.ListFormInstances(request)).data]

    async def form_of(self, task_id: str) -> dict[str, Any]:
        found = await self.form_data.GetTaskForm(pb.GetTaskFormRequest(task_id=task_id))
        return dict(MessageToDict(found))


def variables(values: Mapping[str, Any]) -> list[variable_pb2.Variable]:
    return [ParseDict({"name": name, "value": value}, variable_pb2.Variable()) for name, value in values.items()]


def process(key: str = "leave", start: str = "", task: str = "") -> str:
    """Start event, two user tasks one after the other, end event; attributes and children go into the elements."""
    return (
        '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn" '
        f'targetNamespace="t"><process id="{key}" isExecutable="true">'
        f"<startEvent id='start' {_split(start)[0]}>{_split(start)[1]}</startEvent>"
        '<sequenceFlow id="f1" sourceRef="start" targetRef="ask"/>'
        f"<userTask id='ask' name='Ask' {_split(task)[0]}>{_split(task)[1]}</userTask>"
        '<sequenceFlow id="f2" sourceRef="ask" targetRef="after"/><userTask id="after" name="After"/>'
        '<sequenceFlow id="f3" sourceRef="after" targetRef="end"/><endEvent id="end"/></process></definitions>'
    )


def _split(text: str) -> tuple[str, str]:
    """Attributes before `|`, extension elements behind it."""
    attributes, _, inside = text.partition("|")
    return attributes, f"<extensionElements>{inside}</extensionElements>" if inside else ""


async def eventually(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - nobody announces what is waited for
            await asyncio.sleep(0.01)
