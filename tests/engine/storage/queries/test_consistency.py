"""The consistency check finds each kind of damage, and nothing in a sound database."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from engine.storage import tables
from mesh.errors import InvalidArgument, NotFound
from tests.engine.storage.queries.world import ASYNC, CALLED, CALLER, LOOP, REVIEW, WORKER, ReadWorld
from tests.engine.storage.support import ONE_TASK

Damage = Callable[[ReadWorld, dict[str, str]], None]


async def _populate(world: ReadWorld) -> dict[str, str]:
    """One instance of each process; returns their ids by key."""
    for model in (ONE_TASK, REVIEW, LOOP, CALLED, CALLER, WORKER, ASYNC):
        world.bench.define(model)
    keys = ("one", "review", "loop", "caller", "worker", "later")
    found = {key: await world.bench.start(key, due=None) for key in keys}
    local = {"own": Variable("integer", 1)}
    execution_id = world.execution_at(found["one"], "task")
    await world.bench.group.submit(cmd.SetVariables(execution_id=execution_id, variables=local, local=True))
    return found


def _run(world: ReadWorld, *statements: Any) -> None:
    with world.database.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def _tokens(world: ReadWorld, instance_id: str, old: str, new: str) -> None:
    column = tables.instance.c.tokens
    with world.database.engine.begin() as connection:
        tokens = connection.execute(select(column).where(tables.instance.c.id == instance_id)).scalar_one()
        assert old in tokens
        connection.execute(
            update(tables.instance)
            .where(tables.instance.c.id == instance_id)
            .values(tokens=tokens.replace(old, new, 1))
        )


async def _rules(world: ReadWorld) -> set[str]:
    report = await world.queries.check_consistency()
    assert report.complete
    assert report.consistent is (not report.findings)
    return {finding.rule for finding in report.findings}


async def test_sound_database_has_no_findings(world: ReadWorld) -> None:
    await _populate(world)

    report = await world.queries.check_consistency()

    assert report.findings == ()
    assert (report.consistent, report.instances_checked) == (True, 7)


async def test_completing_and_suspending_leaves_it_sound(world: ReadWorld) -> None:
    found = await _populate(world)
    await world.bench.complete(world.bench.task_of(found["one"]))
    await world.bench.complete(world.bench.task_of(found["review"]))
    await world.bench.group.submit(cmd.SuspendInstance(instance_id=found["worker"]))
    await world.bench.group.submit(cmd.DeleteInstance(instance_id=found["caller"]))
    for row in world.bench.rows(tables.task, instance_id=found["loop"])[:2]:
        await world.bench.complete(row["id"])

    assert await _rules(world) == set()


def _drop(table: Any, key: str) -> Damage:
    return lambda world, found: _run(world, delete(table).where(table.c.instance_id == found[key]))


def _set(table: Any, key: str, **values: Any) -> Damage:
    return lambda world, found: _run(world, update(table).where(table.c.instance_id == found[key]).values(**values))


def _drop_instance(world: ReadWorld, found: dict[str, str]) -> None:
    _run(world, delete(tables.instance).where(tables.instance.c.id == found["one"]))


def _drop_caller(world: ReadWorld, found: dict[str, str]) -> None:
    _run(world, delete(tables.instance).where(tables.instance.c.id == found["caller"]))


def _drop_called(world: ReadWorld, found: dict[str, str]) -> None:
    _run(world, delete(tables.instance).where(tables.instance.c.super_instance_id == found["caller"]))


def _forget_task(world: ReadWorld, found: dict[str, str]) -> None:
    _tokens(world, found["one"], f'"task":"{world.bench.task_of(found["one"])}"', '"task":""')


def _empty(world: ReadWorld, found: dict[str, str]) -> None:
    _run(world, update(tables.instance).where(tables.instance.c.id == found["one"]).values(tokens="{}"))


def _wrong_parent(world: ReadWorld, found: dict[str, str]) -> None:
    _tokens(world, found["one"], f'"parent":"{found["one"]}"', '"parent":"nowhere"')


def _state(world: ReadWorld, found: dict[str, str]) -> None:
    _run(world, update(tables.instance).where(tables.instance.c.id == found["one"]).values(state="completed"))


def _stray_link(world: ReadWorld, found: dict[str, str]) -> None:
    link = {"id": "l", "root_id": "", "task_id": "gone", "instance_id": "", "kind": "candidate", "group_id": ""}
    _run(world, insert(tables.identity_link).values(owner_id="gone", user_id="kermit", **link))


def _stray_variable(world: ReadWorld, found: dict[str, str]) -> None:
    scope = world.execution_at(found["one"], "task")
    _run(world, update(tables.variable).where(tables.variable.c.scope_id == scope).values(scope_id="gone"))


def _lost_root(world: ReadWorld, found: dict[str, str]) -> None:
    value = {"name": "a", "instance_id": "gone", "leaf": False, "type": "null", "value": "null"}
    _run(world, insert(tables.variable).values(root_id="gone", scope_id="gone", **value))


def _lost_task(world: ReadWorld, found: dict[str, str]) -> None:
    value = {"name": "a", "instance_id": "", "leaf": True, "type": "null", "value": "null"}
    _run(world, insert(tables.variable).values(root_id="", scope_id="gone", **value))


def _scope_row(world: ReadWorld, found: dict[str, str]) -> None:
    column = tables.subscription.c
    _run(world, update(tables.subscription).where(column.element_id == "box").values(execution_id="gone"))


def _early(world: ReadWorld, found: dict[str, str]) -> None:
    last = max(row["sequence"] for row in world.bench.rows(tables.outbox, root_id=found["one"]))
    early = world.bench.clock.now() - timedelta(hours=1)
    _run(world, update(tables.outbox).where(tables.outbox.c.sequence == last).values(created_at=early))


def _ahead(world: ReadWorld, found: dict[str, str]) -> None:
    offset = {"partition": 0, "sequence": 10**9, "updated_at": world.bench.clock.now()}
    _run(world, insert(tables.bus_offset).values(consumer_group="history", **offset))


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (_drop(tables.task, "one"), {"token-without-task", "link-without-owner"}),
        (_drop(tables.job, "worker"), {"wait-without-job"}),
        (_set(tables.subscription, "review", element_id="other"), {"wait-unlike-subscription"}),
        (_set(tables.job, "worker", execution_id="other"), {"wait-unlike-job"}),
        (_set(tables.job, "worker", lane="engine"), {"job-in-wrong-lane"}),
        (_set(tables.job, "worker", definition_id="gone"), {"job-without-definition"}),
        (_set(tables.subscription, "review", definition_id="gone"), {"subscription-without-definition"}),
        (_forget_task, {"task-without-token"}),
        (_empty, {"instance-without-token", "task-without-token", "variable-without-scope"}),
        (_wrong_parent, {"execution-without-scope"}),
        (_state, {"ended-instance-kept"}),
        (_drop_instance, {"task-without-instance", "variable-without-instance"}),
        (_drop_called, {"call-without-instance", "task-without-instance"}),
        (_drop_caller, {"instance-without-root", "subscription-without-instance", "variable-without-instance"}),
        (_stray_link, {"link-without-owner"}),
        (_stray_variable, {"variable-without-scope"}),
        (_lost_root, {"variable-without-instance"}),
        (_lost_task, {"variable-without-task"}),
        (_scope_row, {"scope-without-execution"}),
        (_early, {"outbox-out-of-order"}),
        (_ahead, {"offset-ahead-of-outbox"}),
    ],
)
async def test_damage_is_found_by_its_rule(world: ReadWorld, damage: Damage, rules: set[str]) -> None:
    found = await _populate(world)
    damage(world, found)

    assert await _rules(world) == rules


async def test_findings_stop_at_the_greatest_number(world: ReadWorld) -> None:
    found = await _populate(world)
    _drop(tables.task, "loop")(world, found)

    report = await world.queries.check_consistency(max_findings=2)

    assert (len(report.findings), report.complete, report.consistent) == (2, False, False)
    assert {finding.process_instance_id for finding in report.findings} == {found["loop"]}
    with pytest.raises(InvalidArgument, match="MAX_FINDINGS"):
        await world.queries.check_consistency(max_findings=0)


async def test_one_tree_is_checked_alone(world: ReadWorld) -> None:
    found = await _populate(world)
    _drop(tables.task, "loop")(world, found)

    sound = await world.queries.check_consistency(found["caller"])
    broken = await world.queries.check_consistency(found["loop"])

    assert (sound.consistent, sound.instances_checked) == (True, 2)
    assert {finding.rule for finding in broken.findings} == {"token-without-task"}
    with pytest.raises(NotFound, match="'x'"):
        await world.queries.check_consistency("x")
