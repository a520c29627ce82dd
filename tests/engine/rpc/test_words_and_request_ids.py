"""Words that no column holds, and request ids that come twice for different things, on both kinds of database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from flowloom.engine.v1 import runtime_service_pb2 as runtime
from flowloom.engine.v1 import task_pb2
from flowloom.engine.v1 import task_service_pb2 as tasks

from mesh.testing.mariadb import MariaDb, running_mariadb
from tests.engine.rpc.world import Mesh, refusing, running, variables

LONG = "ü" * 256
MODEL = """<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn"
  targetNamespace="t"><process id="words" isExecutable="true"><startEvent id="s"/>
  <userTask id="a" name="${title}"/><sequenceFlow id="f" sourceRef="s" targetRef="a"/></process></definitions>"""

Change = Callable[[Mesh, str, str], Awaitable[object]]


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    """A MariaDB for all tests here; each takes a database of its own."""
    with running_mariadb() as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
async def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Mesh]:
    """The services of an engine of one's own, with the model."""
    url = request.getfixturevalue("server").create_database() if request.param == "mariadb" else ""
    async with running(tmp_path, url) as found:
        await found.deploy(MODEL)
        yield found


async def start(mesh: Mesh, title: str = "Sign", **more: str) -> str:
    request = runtime.StartProcessInstanceRequest(
        process_definition_key="words", variables=variables(title=title), **more
    )
    return (await mesh.runtime.StartProcessInstance(request)).id


async def task_of(mesh: Mesh, instance_id: str) -> task_pb2.Task:
    return (await mesh.tasks.ListTasks(tasks.ListTasksRequest(process_instance_id=instance_id))).data[0]


CHANGES: dict[str, Change] = {
    "business key": lambda mesh, _i, _t: start(mesh, business_key=LONG),
    "instance name": lambda mesh, i, _: mesh.runtime.UpdateProcessInstance(
        runtime.UpdateProcessInstanceRequest(process_instance_id=i, name=LONG)
    ),
    "assignee": lambda mesh, _, t: mesh.tasks.ClaimTask(tasks.ClaimTaskRequest(task_id=t, assignee=LONG)),
    "task category": lambda mesh, _, t: mesh.tasks.UpdateTask(tasks.UpdateTaskRequest(task_id=t, category=LONG)),
    "candidate": lambda mesh, _, t: mesh.tasks.CreateTaskIdentityLink(
        tasks.CreateTaskIdentityLinkRequest(task_id=t, user=LONG, type="candidate")
    ),
    "link type": lambda mesh, _, t: mesh.tasks.CreateTaskIdentityLink(
        tasks.CreateTaskIdentityLinkRequest(task_id=t, user="kermit", type="x" * 65)
    ),
    "signal name": lambda mesh, _i, _t: mesh.runtime.SendSignal(runtime.SendSignalRequest(signal_name=LONG)),
    "standalone task": lambda mesh, _i, _t: mesh.tasks.CreateTask(tasks.CreateTaskRequest(name=LONG)),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_word_that_no_column_holds_is_refused_and_nothing_has_changed(mesh: Mesh, what: str) -> None:
    instance_id = await start(mesh)
    before = await task_of(mesh, instance_id)

    with refusing("INVALID_ARGUMENT", "text-too-long"):
        await CHANGES[what](mesh, instance_id, before.id)

    assert await task_of(mesh, instance_id) == before
    assert (await mesh.tasks.ListTasks(tasks.ListTasksRequest())).total == 1


async def test_a_word_that_the_model_makes_too_long_is_refused_as_the_models_fault(mesh: Mesh) -> None:
    with refusing("FAILED_PRECONDITION", "text-too-long"):
        await start(mesh, title=LONG)


async def test_the_longest_words_are_kept(mesh: Mesh) -> None:
    instance_id = await start(mesh, title=LONG[1:], business_key=LONG[1:])

    assert (await task_of(mesh, instance_id)).name == LONG[1:]


async def test_a_request_id_is_good_for_one_request_only(mesh: Mesh) -> None:
    instance_id = await start(mesh)
    task = await task_of(mesh, instance_id)
    await mesh.tasks.ClaimTask(tasks.ClaimTaskRequest(task_id=task.id, assignee="kermit", request_id="r"))

    with refusing("INVALID_ARGUMENT", "request-id-reused"):
        await mesh.tasks.CompleteTask(tasks.CompleteTaskRequest(task_id=task.id, request_id="r"))
    with refusing("INVALID_ARGUMENT", "request-id-reused"):
        await start(mesh, request_id="r")

    await mesh.tasks.ClaimTask(tasks.ClaimTaskRequest(task_id=task.id, assignee="kermit", request_id="r"))
    assert (await task_of(mesh, instance_id)).assignee == "kermit"


async def test_a_repetition_after_the_end_gets_the_first_answer(mesh: Mesh) -> None:
    instance_id = await start(mesh)
    task = await task_of(mesh, instance_id)
    complete = tasks.CompleteTaskRequest(task_id=task.id, request_id="c")

    first = await mesh.tasks.CompleteTask(complete)

    assert await mesh.tasks.CompleteTask(complete) == first
    with refusing("INVALID_ARGUMENT", "request-id-reused"):
        await mesh.tasks.ClaimTask(tasks.ClaimTaskRequest(task_id=task.id, assignee="kermit", request_id="c"))


async def test_a_request_id_of_a_standalone_task_is_good_for_it_only(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(tasks.CreateTaskRequest(name="Call", request_id="r"))

    with refusing("INVALID_ARGUMENT", "request-id-reused"):
        await mesh.tasks.CompleteTask(tasks.CompleteTaskRequest(task_id=task.id, request_id="r"))

    assert (await mesh.tasks.GetTask(tasks.GetTaskRequest(task_id=task.id))).id == task.id
