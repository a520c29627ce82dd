"""What a start answers, put together from its own events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.app.definitions import DefinitionCache
from engine.app.queries import ProcessInstanceView, RuntimeQueries
from engine.app.starting import StartAsk, Starting
from engine.kernel.definition import Definition
from engine.kernel.errors import MissingDefinition, Refused
from engine.kernel.values import variables_of
from mesh.ids import IdSource
from tests.engine.rpc.world import (
    CALLING,
    CATCH_MESSAGE,
    CATCH_SIGNAL,
    ONE_TASK,
    RECEIVE,
    STRAIGHT,
    Mesh,
    bpmn,
    running,
    sequence,
)

PARALLEL = bpmn(
    "parallel",
    '<startEvent id="s"/><sequenceFlow id="f0" sourceRef="s" targetRef="g"/><parallelGateway id="g"/>'
    '<sequenceFlow id="f1" sourceRef="g" targetRef="a"/><userTask id="a"/>'
    '<sequenceFlow id="f2" sourceRef="g" targetRef="b"/><userTask id="b"/>',
)
INNER = '<startEvent id="s"/><sequenceFlow id="f" sourceRef="s" targetRef="t"/><userTask id="t"/>'
INSIDE = bpmn("inside", sequence(f'<subProcess id="e1">{INNER}</subProcess>'))
SEVERAL = bpmn(
    "several",
    sequence(
        '<userTask id="e1"><multiInstanceLoopCharacteristics isSequential="false">'
        "<loopCardinality>3</loopCardinality></multiInstanceLoopCharacteristics></userTask>"
    ),
)
LATER = bpmn("later", sequence('<userTask id="e1" flowable:async="true"/>'))
ERROR = bpmn("error", sequence('<serviceTask id="e1" flowable:expression="${missing.value}"/>'))


class NoQueries:
    """Refuses to be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"expected no query, found {name}")


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """The services of an engine of one's own."""
    async with running(tmp_path) as found:
        yield found


def starting(mesh: Mesh, queries: Any, *, hears: bool = True) -> Starting:
    found = Starting(mesh.group, mesh.definitions, queries, IdSource().root)
    if hears:
        mesh.group.listen(found.committed)
    return found


async def seen(queries: RuntimeQueries, view: ProcessInstanceView) -> ProcessInstanceView:
    return await queries.get_process_instance(view.id, include_process_variables=True)


@pytest.mark.parametrize(
    ("key", "documents"),
    [
        ("one", [ONE_TASK]),
        ("receive", [RECEIVE]),
        ("catching", [CATCH_MESSAGE]),
        ("listening", [CATCH_SIGNAL]),
        ("parallel", [PARALLEL]),
        ("inside", [INSIDE]),
        ("several", [SEVERAL]),
        ("later", [LATER]),
        ("calling", [CATCH_MESSAGE, CALLING]),
    ],
)
async def test_the_answer_is_what_a_query_finds_though_none_was_made(
    mesh: Mesh, key: str, documents: list[str]
) -> None:
    await mesh.deploy(*documents)
    ask = StartAsk(
        key=key,
        business_key="b",
        name="n",
        user_id="u",
        variables=variables_of({"a": 1, "b": [1]}),
        return_variables=True,
    )

    found = await starting(mesh, NoQueries()).start(ask)

    assert found.view == await seen(mesh.queries, found.view)
    assert not found.ended


async def test_an_instance_that_has_ended_is_told_with_its_last_variables(mesh: Mesh) -> None:
    changing = sequence('<serviceTask id="e1" flowable:expression="${a + 1}" flowable:resultVariableName="a"/>')
    await mesh.deploy(bpmn("changing", changing))
    ask = StartAsk(key="changing", variables=variables_of({"a": 1}), return_variables=True)

    found = await starting(mesh, NoQueries()).start(ask)

    assert (found.ended, found.view.state) == (True, "completed")
    assert [(v.name, v.variable.value) for v in found.view.variables] == [("a", 2)]


async def test_a_start_that_was_not_heard_of_is_looked_up(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    ask = StartAsk(key="one", variables=variables_of({"a": 1}), return_variables=True)

    found = await starting(mesh, mesh.queries, hears=False).start(ask)

    assert found.view == await seen(mesh.queries, found.view)


async def test_what_is_not_found_any_more_has_ended(mesh: Mesh) -> None:
    await mesh.deploy(STRAIGHT)

    found = await starting(mesh, mesh.queries, hears=False).start(StartAsk(key="straight"))

    assert (found.ended, found.view.process_definition_key) == (True, "straight")


async def test_a_refused_start_can_be_asked_again(mesh: Mesh) -> None:
    await mesh.deploy(ERROR)
    ask = StartAsk(key="error", request_id="r")
    service = starting(mesh, NoQueries())

    with pytest.raises(Refused, match="missing"):
        await service.start(ask)
    await mesh.deploy(ONE_TASK.replace('id="one"', 'id="error"'))

    assert not (await service.start(ask)).ended


async def test_a_business_status_is_part_of_the_answer(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    found = await starting(mesh, NoQueries()).start(StartAsk(key="one", business_status="late", request_id="r"))

    assert found.view == msgspec.structs.replace(await seen(mesh.queries, found.view), variables=())
    assert found.view.business_status == "late"


class Forgetful:
    """Definitions of which memory keeps none."""

    def __init__(self, definitions: DefinitionCache) -> None:
        self._definitions = definitions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._definitions, name)

    def by_id(self, definition_id: str) -> Definition:
        raise MissingDefinition(definition_id=definition_id)


async def test_a_definition_that_memory_no_longer_keeps_is_loaded_for_the_answer(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    forgetful = Starting(mesh.group, Forgetful(mesh.definitions), NoQueries(), IdSource().root)
    mesh.group.listen(forgetful.committed)

    found = await forgetful.start(StartAsk(key="one"))

    assert found.view.process_definition_key == "one"
