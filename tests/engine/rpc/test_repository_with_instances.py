"""The repository beside the group commit: what becomes of instances, starts and calls when definitions change."""

import asyncio

import pytest
from sqlalchemy import select, update

from engine.app.archives import File
from engine.app.definition_changes import ChangeState, DefinitionChanges
from engine.app.deployments import Deploy
from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.storage import tables
from engine.storage.repository import SqlRepository
from mesh.ids import IdSource
from tests.engine.rpc.world import CALLING, CATCH_MESSAGE, ONE_TASK, Mesh


async def deploy(mesh: Mesh, model: str) -> str:
    """Deploy one model and return the deployment's id."""
    ask = Deploy(files=[File("model.bpmn20.xml", model.encode())])
    return (await mesh.deployments.deploy(ask)).id


async def start(mesh: Mesh, key: str) -> str:
    target = await mesh.definitions.resolve_start(key=key)
    return str((await mesh.group.submit(cmd.StartProcess(definition_id=target.definition_id)))["process_instance_id"])


def changes_of(mesh: Mesh) -> DefinitionChanges:
    ids = IdSource()
    store = SqlRepository(mesh.database, now=mesh.clock.now, new_id=ids.root)
    return DefinitionChanges(store, mesh.definitions, mesh.group, now=mesh.clock.now, new_id=ids.root)


def states(mesh: Mesh) -> dict[str, str]:
    """State by instance id."""
    with mesh.database.engine.connect() as connection:
        return {row.id: row.state for row in connection.execute(select(tables.instance.c.id, tables.instance.c.state))}


async def test_cascade_deletes_instances_and_the_trees_that_called_them(mesh: Mesh) -> None:
    called = await deploy(mesh, CATCH_MESSAGE)
    await deploy(mesh, CALLING)
    await deploy(mesh, ONE_TASK)
    for key in ("catching", "calling", "calling"):
        await start(mesh, key)
    other = await start(mesh, "one")

    with pytest.raises(Refused) as refused:
        await mesh.deployments.delete(called, cascade=False)
    await mesh.deployments.delete(called, cascade=True)

    assert refused.value.reason == "deployment-in-use"
    assert states(mesh) == {other: "active"}


async def test_instances_are_suspended_and_activated_with_their_definition(mesh: Mesh) -> None:
    await deploy(mesh, ONE_TASK)
    found = [await start(mesh, "one") for _ in range(3)]
    definition_id = (await mesh.definitions.resolve_start(key="one")).definition_id
    changes = changes_of(mesh)
    seen = []

    for suspend in (True, False):
        ask = ChangeState(definition_id=definition_id, suspend=suspend, include_instances=True)
        await changes.change_state(ask)
        seen.append(states(mesh))

    assert seen == [dict.fromkeys(found, "suspended"), dict.fromkeys(found, "active")]


async def test_a_suspension_by_another_process_holds_although_the_cache_does_not_know_it_yet(mesh: Mesh) -> None:
    await deploy(mesh, ONE_TASK)
    await start(mesh, "one")
    with mesh.database.engine.begin() as connection:
        connection.execute(update(tables.process_definition).values(suspended=True))

    with pytest.raises(Refused) as refused:
        await start(mesh, "one")

    assert (refused.value.status, refused.value.reason) == ("FAILED_PRECONDITION", "definition-suspended")
    assert len(states(mesh)) == 1


async def test_starts_and_a_deletion_at_the_same_time_leave_no_instance_without_a_definition(mesh: Mesh) -> None:
    deployment = await deploy(mesh, ONE_TASK)

    starts = asyncio.gather(*(start(mesh, "one") for _ in range(30)), return_exceptions=True)
    outcomes, deletion = await asyncio.gather(
        starts, mesh.deployments.delete(deployment, cascade=False), return_exceptions=True
    )

    started = [outcome for outcome in outcomes if isinstance(outcome, str)]  # type: ignore[union-attr]
    assert sorted(states(mesh)) == sorted(started)
    assert (deletion is None) == (not started)


async def test_a_call_loads_a_definition_that_is_not_at_hand(mesh: Mesh) -> None:
    await deploy(mesh, CALLING)
    await deploy(mesh, CATCH_MESSAGE)

    await start(mesh, "calling")

    assert len(states(mesh)) == 2
