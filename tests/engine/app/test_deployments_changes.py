"""Suspending and activating definitions, now and later; categories and candidate starters."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from engine.app.definition_changes import HOLD, ChangeState
from engine.app.repository import Starter
from engine.kernel.errors import Refused
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.engine.app.repositories import (
    World,
    bpmn,
    database_at,
    process,
    sqlite_database,
    timer_start,
    world_on,
)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("MariaDB is not installed")
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "sqlite":
        with sqlite_database() as database:
            yield world_on(database)
    else:
        with database_at(request.getfixturevalue("mariadb").create_database()) as database:
            yield world_on(database)


def suspended(world: World) -> bool:
    (row,) = world.rows("process_definition")
    return bool(row["suspended"])


async def test_start_timers_rest_while_their_definition_is_suspended(world: World) -> None:
    await world.deploy_model(timer_start("<timeDuration>PT1H</timeDuration>"))
    seen = []

    for suspend in (True, False):
        await world.changes.change_state(ChangeState(definition_id=world.definition_id(), suspend=suspend))
        (job,) = world.rows("job")
        seen.append((suspended(world), bool(job["suspended"]), job["lane"]))

    assert seen == [(True, True, "suspended"), (False, False, "engine")]


async def test_the_state_that_is_there_already_is_refused(world: World) -> None:
    await world.deploy_model(bpmn(process()))
    definition_id = world.definition_id()

    with pytest.raises(Refused) as active:
        await world.changes.change_state(ChangeState(definition_id=definition_id, suspend=False))
    await world.changes.change_state(ChangeState(definition_id=definition_id, suspend=True))
    with pytest.raises(Refused) as second:
        await world.changes.change_state(ChangeState(definition_id=definition_id, suspend=True))
    with pytest.raises(Refused) as unknown:
        await world.changes.change_state(ChangeState(definition_id="x", suspend=True))

    assert (active.value.status, active.value.reason) == ("FAILED_PRECONDITION", "already-active")
    assert (second.value.status, second.value.reason) == ("FAILED_PRECONDITION", "already-suspended")
    assert unknown.value.status == "NOT_FOUND"


async def test_a_repeated_request_changes_nothing(world: World) -> None:
    await world.deploy_model(bpmn(process()))
    ask = ChangeState(definition_id=world.definition_id(), suspend=True, request_id="r")
    await world.changes.change_state(ask)
    await world.changes.change_state(ChangeState(definition_id=world.definition_id(), suspend=False))

    await world.changes.change_state(ask)

    assert not suspended(world)


async def test_instances_are_suspended_and_activated_along(world: World) -> None:
    await world.deploy_model(bpmn(process()))
    own = [world.instances.add(world.definition_id()) for _ in range(300)]
    other = world.instances.add("other")

    await world.changes.change_state(
        ChangeState(definition_id=world.definition_id(), suspend=True, include_instances=True)
    )
    first = world.instances.states()
    await world.changes.change_state(
        ChangeState(definition_id=world.definition_id(), suspend=False, include_instances=True)
    )

    assert first == {other: "active", **dict.fromkeys(own, "suspended")}
    assert set(world.instances.states().values()) == {"active"}
    assert world.rows("job") == []


async def test_a_key_is_suspended_in_all_its_versions(world: World) -> None:
    for _ in range(3):
        await world.deploy_model(bpmn(process()))
    await world.changes.change_state(ChangeState(definition_id=world.definition_id(), suspend=True))

    changed = await world.changes.change_state_by_key("leave", "", suspend=True)

    assert [definition_id.split(":")[1] for definition_id in changed] == ["2", "1"]
    assert all(row["suspended"] for row in world.rows("process_definition"))
    with pytest.raises(Refused) as again:
        await world.changes.change_state_by_key("leave", "", suspend=True)
    with pytest.raises(Refused) as unknown:
        await world.changes.change_state_by_key("leave", "t", suspend=True)
    assert (again.value.status, unknown.value.status) == ("FAILED_PRECONDITION", "NOT_FOUND")


async def test_a_change_at_a_date_happens_then(world: World) -> None:
    await world.deploy_model(bpmn(process()))
    world.instances.add(world.definition_id())
    at = world.clock.now() + timedelta(hours=1)

    await world.changes.change_state(
        ChangeState(definition_id=world.definition_id(), suspend=True, include_instances=True, at=at)
    )
    early = await world.changes.run_due(), suspended(world)
    (job,) = world.rows("job")
    world.clock.advance(timedelta(hours=1))
    late = await world.changes.run_due(), suspended(world)

    assert (early, late) == ((0, False), (1, True))
    assert (job["handler"], job["lane"], job["due_at"]) == ("suspend-processdefinition", "repository", at)
    assert set(world.instances.states().values()) == {"suspended"}
    assert world.rows("job") == []
    assert await world.changes.run_due() == 0


async def test_a_change_that_was_broken_off_is_finished_by_another_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.deploy_model(bpmn(process()))
    world.instances.add(world.definition_id())

    async def die(_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(world.instances, "submit", die)
    with pytest.raises(ConnectionError):
        await world.changes._carry_out(await _begun(world))
    other = world_on(world.database)
    other.clock.advance(HOLD)

    assert await other.changes.run_due() == 1

    assert set(world.instances.states().values()) == {"suspended"}
    assert world.rows("job") == []


async def _begun(world: World) -> str:
    ask = ChangeState(definition_id=world.definition_id(), suspend=True, include_instances=True)
    reply = world.changes._change_state(ask)
    assert await world.changes.run_due() == 0
    return str(reply["job"])


async def test_a_change_that_fails_is_tried_again_until_it_is_dead(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.deploy_model(bpmn(process()))
    world.instances.add(world.definition_id())
    at = world.clock.now() + timedelta(seconds=1)
    await world.changes.change_state(
        ChangeState(definition_id=world.definition_id(), suspend=True, include_instances=True, at=at)
    )

    async def refuse(_: object) -> None:
        raise Refused("RESOURCE_EXHAUSTED", "queue-full", "expected room, found none")

    monkeypatch.setattr(world.instances, "submit", refuse)
    waits = []
    for _ in range(3):
        (job,) = world.rows("job")
        waits.append((job["due_at"] - world.clock.now()).total_seconds())
        world.clock.advance(job["due_at"] - world.clock.now())
        assert await world.changes.run_due() == 0
    (job,) = world.rows("job")

    assert waits == [1, 2, 4]
    assert (bool(job["dead"]), job["retries"], job["error"]) == (True, 0, "expected room, found none")
    world.clock.advance(timedelta(days=1))
    assert await world.changes.run_due() == 0


async def test_a_category_is_replaced(world: World) -> None:
    await world.deploy_model(bpmn(process()))

    await world.changes.set_category(world.definition_id(), "new")

    (row,) = world.rows("process_definition")
    assert row["category"] == "new"
    with pytest.raises(Refused) as unknown:
        await world.changes.set_category("x", "new")
    assert unknown.value.status == "NOT_FOUND"


async def test_candidate_starters_are_added_once_and_removed(world: World) -> None:
    await world.deploy_model(bpmn(process()))
    own, kermit, managers = world.definition_id(), Starter(user_id="kermit"), Starter(group_id="managers")

    for starter in (kermit, managers, kermit):
        await world.changes.add_starter(own, starter)
    both = world.store.read(lambda reader: reader.starters(own))
    await world.changes.remove_starter(own, kermit)

    assert both == [kermit, managers]
    assert world.store.read(lambda reader: reader.starters(own)) == [managers]
    for definition_id, starter in ((own, kermit), ("x", managers)):
        with pytest.raises(Refused) as found:
            await world.changes.remove_starter(definition_id, starter)
        assert found.value.status == "NOT_FOUND"
    for nobody in (Starter(), Starter(user_id="a", group_id="b")):
        with pytest.raises(Refused) as found:
            await world.changes.add_starter(own, nobody)
        assert found.value.status == "INVALID_ARGUMENT"
