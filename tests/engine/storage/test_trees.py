"""What is loaded is what happened: the tree built from the rows equals the fold of its events, after every command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.app.unit_of_work import Targets, Wanted
from engine.kernel import commands as cmd
from engine.kernel import state as st
from engine.kernel.apply import fold
from engine.kernel.errors import Refused
from engine.kernel.values import Variable, variables_of
from engine.storage import tables
from engine.storage.unit_of_work import SqlUnitOfWork
from mesh.db.database import Database
from tests.engine.storage.support import ONE_TASK, Bench, process, running

RICH = process(
    "rich",
    '<startEvent id="s"/><sequenceFlow id="f1" sourceRef="s" targetRef="fork"/><parallelGateway id="fork"/>'
    '<sequenceFlow id="f2" sourceRef="fork" targetRef="many"/>'
    '<userTask id="many" flowable:assignee="${who}"><multiInstanceLoopCharacteristics isSequential="false" '
    'flowable:collection="people" flowable:elementVariable="who"/></userTask>'
    '<boundaryEvent id="late" attachedToRef="many" cancelActivity="false">'
    "<timerEventDefinition><timeCycle>R3/PT1H</timeCycle></timerEventDefinition></boundaryEvent>"
    '<sequenceFlow id="f3" sourceRef="late" targetRef="reminded"/><endEvent id="reminded"/>'
    '<sequenceFlow id="f4" sourceRef="many" targetRef="join"/>'
    '<sequenceFlow id="f5" sourceRef="fork" targetRef="sub"/>'
    '<subProcess id="sub"><startEvent id="ss"/><sequenceFlow id="sf1" sourceRef="ss" targetRef="receive"/>'
    '<receiveTask id="receive"/><sequenceFlow id="sf2" sourceRef="receive" targetRef="call"/>'
    '<callActivity id="call" calledElement="one"/><sequenceFlow id="sf3" sourceRef="call" targetRef="se"/>'
    '<endEvent id="se"/></subProcess>'
    '<boundaryEvent id="alarmed" attachedToRef="sub" cancelActivity="false">'
    '<signalEventDefinition signalRef="sig"/></boundaryEvent>'
    '<sequenceFlow id="f6" sourceRef="alarmed" targetRef="after"/><userTask id="after"/>'
    '<sequenceFlow id="f7" sourceRef="sub" targetRef="join"/>'
    '<parallelGateway id="join"/><sequenceFlow id="f8" sourceRef="join" targetRef="e"/><endEvent id="e"/>',
    '<signal id="sig" name="alarm"/>',
)


def _plain(tree: st.Tree) -> dict[str, Any]:
    """A tree without what no row holds: ended instances, and how loading marks it."""
    living = [instance for instance in tree.instances.values() if not instance.is_ended]
    return {
        "instances": {
            i.id: [
                st.encode_tokens(i), i.root_id, i.definition_id, i.business_key, i.name, i.state,
                i.super_instance_id, i.super_execution_id, i.started_at, i.start_user_id, i.tenant_id,
            ]
            for i in living
        },
        "variables": {scope: values for scope, values in sorted(tree.variables.items()) if values},
        "tasks": {task.id: msgspec.structs.asdict(task) for task in sorted(tree.tasks.values(), key=lambda t: t.id)},
    }  # fmt: skip


def _check(bench: Bench, root_id: str) -> st.Tree:
    """Compare the rows with the events, and see that every execution can be found."""
    happened = st.Tree(root_id=root_id)
    for one in bench.committed:
        if one.root_id == root_id:
            fold(happened, one.events)
    unit = SqlUnitOfWork(bench.database)
    try:
        loaded = unit.load(Wanted(roots={root_id: None}, whole={root_id: None}))
        tree = loaded.tree(root_id) if loaded.holds(root_id) else st.Tree(root_id=root_id)
        ids = [execution.id for _, execution in tree.walk()]
        found = unit.find(Targets(executions=ids or ["none"])).roots
        jobs = set(tree.jobs)
    finally:
        unit.rollback()
        unit.close()
    assert _plain(tree) == _plain(happened)
    assert found == dict.fromkeys(ids, root_id)
    waits = [wait for i in tree.instances.values() for e in (i, *i.executions.values()) for wait in e.waits]
    assert jobs == {wait.id for wait in waits if wait.is_job}
    open_subscriptions = {
        row["id"] for row in bench.rows(tables.subscription, root_id=root_id) if row["kind"] != "scope"
    }
    assert open_subscriptions == {wait.id for wait in waits if not wait.is_job}
    return tree


async def _task(bench: Bench, element_id: str) -> str:
    found: str = bench.rows(tables.task, element_id=element_id)[0]["id"]
    return found


async def test_the_rows_of_a_tree_say_what_its_events_say_after_every_command(database: Database) -> None:
    async with running(database) as bench:
        bench.define(ONE_TASK)
        root = await bench.start(bench.define(RICH), people=["a", "b", "c"], note=None)
        _check(bench, root)

        await bench.complete(await _task(bench, "many"), seen=1)
        _check(bench, root)
        bench.clock.advance(timedelta(hours=1))
        assert await bench.group.execute_due() == 1
        _check(bench, root)

        task = await _task(bench, "many")
        local = cmd.SetVariables(
            execution_id=bench.rows(tables.task, id=task)[0]["execution_id"],
            variables={"mine": Variable("string", "x")},
            local=True,
        )
        await bench.group.submit(local)
        await bench.group.submit(cmd.ClaimTask(task_id=task, assignee=""))
        await bench.group.submit(cmd.UpdateTask(task_id=task, changes={"priority": 7, "due_at": bench.clock.now()}))
        _check(bench, root)

        receiving = next(e for _, e in _check(bench, root).walk() if e.element == "receive")
        await bench.group.submit(cmd.DeliverSignal(execution_id=root, name="alarm"))
        _check(bench, root)
        await bench.group.submit(cmd.TriggerExecution(execution_id=receiving.id))
        assert len(bench.rows(tables.instance)) == 2
        _check(bench, root)
        await bench.group.submit(cmd.SuspendInstance(instance_id=root))
        assert {row["suspended"] for row in bench.rows(tables.task, instance_id=root)} == {True}
        await bench.group.submit(cmd.ActivateInstance(instance_id=root))
        _check(bench, root)

        await bench.complete(await _task(bench, "task"))
        _check(bench, root)
        for element in ("many", "many", "after"):
            await bench.complete(await _task(bench, element))
            _check(bench, root)

        assert bench.left_over() == {}


async def test_deleting_an_instance_takes_everything_of_its_tree(database: Database) -> None:
    async with running(database) as bench:
        bench.define(ONE_TASK)
        root = await bench.start(bench.define(RICH), people=["a", "b"])
        receiving = next(e for _, e in _check(bench, root).walk() if e.element == "receive")
        await bench.group.submit(cmd.TriggerExecution(execution_id=receiving.id))

        await bench.group.submit(cmd.DeleteInstance(instance_id=root, reason="enough"))

        assert bench.left_over() == {}


async def test_only_the_variables_that_a_command_may_see_are_loaded(database: Database) -> None:
    async with running(database) as bench:
        root = await bench.start(bench.define(RICH), people=["a", "b", "c"])
        first = bench.rows(tables.task, element_id="many")[0]
        unit = SqlUnitOfWork(database)
        wanted = Wanted(roots={root: None}, scopes={(root, first["execution_id"]): None}, tasks=[first["id"]])

        tree = unit.load(wanted).tree(root)

        leaves = {row["scope_id"] for row in bench.rows(tables.variable, leaf=True)}
        assert len(leaves) == 3
        assert leaves & set(tree.variables) == {first["execution_id"]}
        assert not tree.all_loaded
        assert list(tree.tasks) == [first["id"]]
        unit.rollback()
        unit.close()


async def test_a_command_that_needs_other_variables_than_were_loaded_gets_them(database: Database) -> None:
    """A refusal of what is there already takes the variables of the execution that the command names."""
    async with running(database) as bench:
        root = await bench.start(bench.define(RICH), people=["a", "b"])
        executions = [row["execution_id"] for row in bench.rows(tables.task, element_id="many")]

        await bench.group.submit(
            cmd.SetVariables(execution_id=executions[0], variables=variables_of({"who": "z"}), local=True)
        )
        with pytest.raises(Refused):
            await bench.group.submit(
                cmd.SetVariables(
                    execution_id=executions[1], variables=variables_of({"who": "y"}), local=True, create_only=True
                )
            )

        values = {row["scope_id"]: row["value"] for row in bench.rows(tables.variable, name="who")}
        assert values == {executions[0]: '"z"', executions[1]: '"b"'}
        _check(bench, root)


async def test_a_migrated_instance_has_all_its_rows_moved(database: Database) -> None:
    renamed = ONE_TASK.replace('id="task"', 'id="other"').replace('Ref="task"', 'Ref="other"')
    async with running(database) as bench:
        root = await bench.start(bench.define(ONE_TASK))
        target = bench.define(renamed, definition_id="one-2")

        await bench.group.submit(
            cmd.MigrateInstance(instance_id=root, definition_id=target, mappings={"task": "other"})
        )

        (task,) = bench.rows(tables.task)
        assert (task["element_id"], task["definition_id"]) == ("other", target)
        (instance,) = bench.rows(tables.instance)
        assert (instance["definition_id"], instance["definition_version"]) == (target, 2)
        await bench.complete(task["id"])
        assert bench.left_over() == {}
