"""What a start names to a definition, and how long the answer is remembered."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from engine.app.definition_changes import ChangeState
from engine.app.definitions import DefinitionCache, DefinitionCacheLimits, StartTarget
from engine.app.unit_of_work import DefinitionSource
from engine.kernel.definition import Definition
from engine.kernel.errors import Called, MissingDefinition, Refused
from engine.storage import tables
from mesh.testing.statements import note_statements
from tests.engine.app.repositories import (
    REGISTRY,
    World,
    bpmn,
    message_start,
    process,
    sqlite_database,
    world_on,
)


@pytest.fixture
def world() -> Iterator[World]:
    with sqlite_database() as database:
        yield world_on(database)


async def status_of(world: World, **target: object) -> str:
    with pytest.raises(Refused) as found:
        await world.definitions.resolve_start(**target)  # type: ignore[arg-type]
    return found.value.status


async def test_a_start_names_its_definition_by_id_key_version_or_message(world: World) -> None:
    await world.deploy_model(message_start("go"))
    first = world.definition_id()
    await world.deploy_model(message_start("go"))
    second = world.definition_id()
    resolve = world.definitions.resolve_start

    assert await resolve(definition_id=first) == StartTarget(first)
    assert await resolve(key="leave") == StartTarget(second)
    assert await resolve(key="leave", version=1) == StartTarget(first)
    assert await resolve(message="go") == StartTarget(second, "start")


async def test_what_does_not_exist_is_not_found(world: World) -> None:
    await world.deploy_model(message_start("go"))

    for target in ({"definition_id": "x"}, {"key": "x"}, {"key": "leave", "version": 2}, {"message": "x"}):
        assert await status_of(world, **target) == "NOT_FOUND"
    for target in ({"key": "leave", "tenant_id": "t"}, {"message": "go", "tenant_id": "t"}):
        assert await status_of(world, **target) == "NOT_FOUND"


async def test_none_or_several_targets_are_refused(world: World) -> None:
    assert await status_of(world) == "INVALID_ARGUMENT"
    assert await status_of(world, key="leave", message="go") == "INVALID_ARGUMENT"


async def test_a_tenant_falls_back_to_the_default_one_if_asked_to(world: World) -> None:
    await world.deploy_model(message_start("go"))
    shared = world.definition_id()
    await world.deploy_model(bpmn(process()), tenant_id="own")
    resolve = world.definitions.resolve_start

    assert await resolve(key="leave", tenant_id="t", default_tenant="") == StartTarget(shared)
    assert await resolve(message="go", tenant_id="t", default_tenant="") == StartTarget(shared, "start")
    assert await resolve(key="leave", tenant_id="own", default_tenant="") == StartTarget(
        world.definition_id(tenant_id="own")
    )


async def test_a_suspended_definition_starts_nothing(world: World) -> None:
    await world.deploy_model(message_start("go"))
    await world.definitions.resolve_start(key="leave")
    suspended = world.definition_id()

    await world.changes.change_state(ChangeState(definition_id=suspended, suspend=True))

    for target in ({"definition_id": suspended}, {"key": "leave"}, {"key": "leave", "version": 1}, {"message": "go"}):
        assert await status_of(world, **target) == "FAILED_PRECONDITION"
    world.definitions.load(MissingDefinition(called=Called(key="leave")))
    with pytest.raises(Refused):
        world.definitions.called(Called(key="leave"))
    assert world.definitions.by_id(suspended).id == suspended


async def test_the_kernel_is_told_what_to_load(world: World) -> None:
    deployment = await world.deploy_model(bpmn(process()))
    definitions: DefinitionSource = world.definitions
    lookups: tuple[Callable[[], Definition], ...] = (
        lambda: definitions.by_id(world.definition_id()),
        lambda: definitions.called(Called(key="leave")),
        lambda: definitions.called(Called(key="leave", deployment_id=deployment.id)),
    )

    for lookup in lookups:
        world.definitions.changed()
        world.definitions._compiled._entries.clear()
        with pytest.raises(MissingDefinition) as missing:
            lookup()
        definitions.load(missing.value)
        found = lookup()
        assert (found.id, found.version, found.deployment_id) == (world.definition_id(), 1, deployment.id)


async def test_a_call_looks_in_its_deployment_then_at_its_tenant_then_at_no_tenant_s(world: World) -> None:
    shared = await world.deploy_model(bpmn(process()))
    await world.deploy_model(bpmn(process()))
    own = await world.deploy_model(bpmn(process()), tenant_id="own")

    def found(**more: Any) -> tuple[str, int]:
        call = Called(key="leave", **more)
        world.definitions.load(MissingDefinition(called=call))
        definition = world.definitions.called(call)
        return definition.deployment_id, definition.version

    assert found(deployment_id=shared.id) == (shared.id, 1)
    assert found(deployment_id="another")[1] == 2
    assert found(tenant_id="own", or_shared=True) == (own.id, 1)
    assert found(tenant_id="t", or_shared=True)[1] == 2
    with pytest.raises(Refused) as refused:
        found(tenant_id="t")
    assert refused.value.status == "NOT_FOUND"


async def test_loading_what_there_is_not_is_refused(world: World) -> None:
    for missing in (
        MissingDefinition(definition_id="x"),
        MissingDefinition(called=Called(key="x")),
        MissingDefinition(called=Called(key="x", tenant_id="t", deployment_id="y", or_shared=True)),
    ):
        with pytest.raises(Refused) as found:
            world.definitions.load(missing)
        assert found.value.status == "NOT_FOUND"


async def test_a_resolved_definition_is_at_hand(world: World) -> None:
    await world.deploy_model(bpmn(process()))

    target = await world.definitions.resolve_start(key="leave")

    assert world.definitions.by_id(target.definition_id).key == "leave"


async def test_a_deployment_of_another_process_is_seen_once_the_look_is_old(world: World) -> None:
    other = world_on(world.database)
    await world.deploy_model(bpmn(process()))
    first = await world.definitions.resolve_start(key="leave")

    await other.deploy_model(bpmn(process()))
    at_once = await world.definitions.resolve_start(key="leave")
    world.clock.advance(timedelta(seconds=1))
    later = await world.definitions.resolve_start(key="leave")

    assert at_once == first
    assert later == StartTarget(world.definition_id())
    assert later != first


async def test_a_new_key_of_another_process_is_seen_at_once(world: World) -> None:
    other = world_on(world.database)
    assert await status_of(world, key="leave") == "NOT_FOUND"

    await other.deploy_model(bpmn(process()))

    assert await world.definitions.resolve_start(key="leave") == StartTarget(world.definition_id())


async def test_a_known_start_asks_the_database_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.deploy_model(bpmn(process()))
    known = await world.definitions.resolve_start(key="leave")

    def fail(*_: object) -> None:
        raise AssertionError("expected no question to the database")

    monkeypatch.setattr(world.store, "read", fail)
    monkeypatch.setattr(asyncio, "to_thread", fail)

    assert await world.definitions.resolve_start(key="leave") == known
    assert await world.definitions.resolve_start(definition_id=known.definition_id) == known


async def test_an_unchanged_stamp_keeps_what_is_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.deploy_model(bpmn(process()))
    target = await world.definitions.resolve_start(key="leave")
    world.clock.advance(timedelta(seconds=5))
    asked: list[str] = []
    read = world.store.read

    def counted(ask: object) -> object:
        asked.append("question")
        return read(ask)  # type: ignore[arg-type]

    monkeypatch.setattr(world.store, "read", counted)

    assert await world.definitions.resolve_start(key="leave") == target
    assert asked == ["question"]


async def test_compiled_definitions_are_bounded_in_number_and_age(world: World) -> None:
    for key in "abc":
        await world.deploy_model(bpmn(process(key)))
    limits = DefinitionCacheLimits(definitions=2, seconds=60)
    cache = DefinitionCache(world.store, REGISTRY, limits, lambda: world.clock.now().timestamp())
    ids = [world.definition_id(key) for key in "abc"]

    for definition_id in ids:
        cache.compiled(definition_id)
    with pytest.raises(MissingDefinition):
        cache.by_id(ids[0])
    assert cache.by_id(ids[2]).key == "c"
    world.clock.advance(timedelta(seconds=61))
    with pytest.raises(MissingDefinition):
        cache.by_id(ids[2])


async def test_a_warm_cache_has_the_latest_versions(world: World) -> None:
    for key in ("a", "b", "a"):
        await world.deploy_model(bpmn(process(key)))
    fresh = world_on(world.database)

    assert fresh.definitions.warm() == 2

    assert fresh.definitions.by_id(world.definition_id("a")).version == 2
    assert fresh.definitions.by_id(world.definition_id("b")).version == 1


async def test_a_definition_that_is_refused_by_now_keeps_no_other_from_being_warm(world: World) -> None:
    for key in ("a", "b"):
        await world.deploy_model(bpmn(process(key)))
    outdated = bpmn(process("a")).replace(b"</process>", b'<teleport id="t"/></process>')
    broken = world.store.read(lambda reader: reader.latest("a", ""))
    assert broken is not None
    with world.database.engine.begin() as connection:
        of_a = tables.resource.c.deployment_id == broken.deployment_id
        connection.execute(update(tables.resource).where(of_a).values(bytes=outdated))
    fresh = world_on(world.database)

    assert fresh.definitions.warm() == 1

    with pytest.raises(Refused, match="teleport"):
        fresh.definitions.compiled(world.definition_id("a"))


async def test_no_statement_of_the_repository_reads_a_whole_table(world: World) -> None:
    asked: set[tuple[str, tuple[object, ...]]] = set()

    def note(statement: str, parameters: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and isinstance(parameters, tuple):
            asked.add((statement, parameters))

    end = note_statements(world.database, note)
    deployment = await world.deploy_model(message_start("go"), name="n", skip_duplicate=True)
    newest = await world.deploy_model(message_start("go"), name="n", skip_duplicate=True, category="c")
    await world.deploy_model(message_start("come"), name="m", skip_duplicate=True)
    definition_id = world.definition_id()
    for target in ({"key": "leave"}, {"message": "come"}, {"key": "leave", "version": 1}):
        await world.definitions.resolve_start(**target)
    for suspend in (True, False):
        ask = ChangeState(definition_id=definition_id, suspend=suspend, include_instances=True)
        await world.changes.change_state(ask)
    await world.changes.run_due()
    await world.deployments.delete(deployment.id, cascade=True)
    end()

    assert newest == deployment
    with world.database.engine.connect() as connection:
        plans = {
            statement: [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in asked
        }
    assert len(plans) > 20
    scans = {statement: plan for statement, plan in plans.items() if any(step.startswith("SCAN") for step in plan)}
    assert {statement for statement in scans if "SCAN CONSTANT ROW" not in scans[statement]} == set()
