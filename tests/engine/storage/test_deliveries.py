"""Signals and messages between trees: committed first, delivered then, and the thrower sees that they arrived."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.app.unit_of_work import Throw
from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from engine.storage import tables
from mesh.db.database import Database
from tests.engine.storage.support import START, Bench, process, running

DECLARED = '<signal id="sig" name="alarm"/><message id="msg" name="paid"/>'
WAITS = process(
    "waits",
    '<startEvent id="s"/><sequenceFlow id="f1" sourceRef="s" targetRef="c"/>'
    '<intermediateCatchEvent id="c"><signalEventDefinition signalRef="sig"/></intermediateCatchEvent>'
    '<sequenceFlow id="f2" sourceRef="c" targetRef="t"/><userTask id="t"/>'
    '<sequenceFlow id="f3" sourceRef="t" targetRef="e"/><endEvent id="e"/>',
    DECLARED,
)
WAITS_FOR_MESSAGE = WAITS.replace('id="waits"', 'id="pays"').replace(
    '<signalEventDefinition signalRef="sig"/>', '<messageEventDefinition messageRef="msg"/>'
)
THROWS = process(
    "throws",
    '<startEvent id="s"/><sequenceFlow id="f1" sourceRef="s" targetRef="x"/>'
    '<intermediateThrowEvent id="x"><signalEventDefinition signalRef="sig"/></intermediateThrowEvent>'
    '<sequenceFlow id="f2" sourceRef="x" targetRef="e"/><endEvent id="e"/>',
    DECLARED,
)
STARTED_BY_SIGNAL = process(
    "started",
    '<startEvent id="s"><signalEventDefinition signalRef="sig"/></startEvent>'
    '<sequenceFlow id="f1" sourceRef="s" targetRef="t"/><userTask id="t"/>',
    DECLARED,
)


def _start_subscription(definition_id: str, kind: str = "signal", name: str = "alarm") -> dict[str, Any]:
    return {
        "id": f"start-{definition_id}",
        "root_id": "",
        "instance_id": "",
        "execution_id": "",
        "element_id": "s",
        "kind": kind,
        "name": name,
        "tenant_id": "",
        "definition_id": definition_id,
        "configuration": "",
        "created_at": START,
    }


def _tasks(bench: Bench) -> list[str]:
    return sorted(row["instance_id"] for row in bench.rows(tables.task))


async def test_a_thrown_signal_has_arrived_everywhere_when_the_thrower_is_answered(database: Database) -> None:
    async with running(database) as bench:
        waiting = [await bench.start(bench.define(WAITS, definition_id=f"w{n}")) for n in range(5)]
        thrower = bench.define(THROWS)

        await bench.start(thrower)

        assert _tasks(bench) == sorted(waiting)
        assert bench.rows(tables.delivery) == []


async def test_a_signal_starts_what_it_can_start(database: Database) -> None:
    async with running(database) as bench:
        bench.insert(tables.subscription, _start_subscription(bench.define(STARTED_BY_SIGNAL)))

        await bench.group.submit(Throw(kind="signal", name="alarm", variables={"x": Variable("long", 7)}))

        (task,) = bench.rows(tables.task)
        (variable,) = bench.rows(tables.variable, instance_id=task["instance_id"])
        assert (variable["name"], variable["type"], variable["value"]) == ("x", "long", "7")
        assert len(bench.rows(tables.subscription, definition_id="started")) == 1


async def test_a_signal_stays_within_its_tenant(database: Database) -> None:
    async with running(database) as bench:
        mine = await bench.start(bench.define(WAITS, definition_id="mine", tenant_id="a"))
        await bench.start(bench.define(WAITS, definition_id="others", tenant_id="b"))

        await bench.group.submit(Throw(kind="signal", name="alarm", tenant_id="a"))

        assert _tasks(bench) == [mine]


async def test_a_message_goes_to_one_who_waits_for_it_with_its_business_key_first(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(WAITS_FOR_MESSAGE)
        ids = []
        for key in ("a", "b", "c"):
            reply = await bench.group.submit(cmd.StartProcess(definition_id=definition, business_key=key))
            ids.append(reply["process_instance_id"])

        await bench.group.submit(Throw(kind="message", name="paid", business_key="b"))
        assert _tasks(bench) == [ids[1]]

        await bench.group.submit(Throw(kind="message", name="paid"))
        assert _tasks(bench) == sorted(ids[:2])

        await bench.group.submit(Throw(kind="message", name="paid", business_key="nobody"))
        assert _tasks(bench) == sorted(ids[:2])


async def test_a_repeated_throw_is_thrown_once(database: Database) -> None:
    async with running(database) as bench:
        bench.insert(tables.subscription, _start_subscription(bench.define(STARTED_BY_SIGNAL)))

        for _ in range(3):
            await bench.group.submit(Throw(kind="signal", name="alarm"), request_id="once")

        assert len(bench.rows(tables.instance)) == 1


async def test_a_refused_delivery_is_tried_again_later_and_dead_at_last(database: Database) -> None:
    async with running(database, delivery_poll_seconds=0.02) as bench:
        instance = await bench.start(bench.define(WAITS))
        await bench.group.submit(cmd.SuspendInstance(instance_id=instance))

        await bench.group.submit(Throw(kind="signal", name="alarm"))

        (delivery,) = bench.rows(tables.delivery)
        assert (delivery["attempts"], delivery["dead"]) == (1, False)
        assert delivery["due_at"] == START + timedelta(seconds=2)
        assert "suspended" in delivery["error"]

        await bench.group.submit(cmd.ActivateInstance(instance_id=instance))
        bench.clock.advance(timedelta(seconds=2))
        await _until(bench, lambda: bench.rows(tables.delivery) == [])
        assert _tasks(bench) == [instance]


async def test_deliveries_that_a_former_process_left_over_are_made_at_the_start(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(STARTED_BY_SIGNAL)
        known = bench.source.known
    left = {
        "throw_id": "t",
        "subscription_id": "s",
        "kind": "signal",
        "name": "alarm",
        "root_id": "",
        "instance_id": "",
        "execution_id": "",
        "definition_id": definition,
        "element_id": "s",
        "tenant_id": "",
        "business_key": "",
        "variables": "{}",
        "attempts": 0,
        "dead": False,
        "error": "",
        "due_at": START,
        "created_at": START,
    }
    with database.engine.begin() as connection:
        connection.execute(tables.delivery.insert(), [left])

    async with running(database, known=known) as one, running(database, known=known):
        await _until(one, lambda: one.rows(tables.delivery) == [])

        assert len(one.rows(tables.instance)) == 1


@pytest.mark.parametrize("levels", [3, 20])
async def test_a_chain_of_throws_arrives_in_the_end(database: Database, levels: int) -> None:
    """Each instance that is woken throws the next signal; the caller waits for some of them, the rest follow."""
    async with running(database) as bench:
        for n in range(levels):
            model = process(
                f"link{n}",
                '<startEvent id="s"><signalEventDefinition signalRef="in"/></startEvent>'
                '<sequenceFlow id="f1" sourceRef="s" targetRef="x"/>'
                '<intermediateThrowEvent id="x"><signalEventDefinition signalRef="out"/></intermediateThrowEvent>'
                '<sequenceFlow id="f2" sourceRef="x" targetRef="t"/><userTask id="t"/>',
                f'<signal id="in" name="s{n}"/><signal id="out" name="s{n + 1}"/>',
            )
            bench.insert(tables.subscription, _start_subscription(bench.define(model), name=f"s{n}"))

        await bench.group.submit(Throw(kind="signal", name="s0"))

        await _until(bench, lambda: len(bench.rows(tables.task)) == levels)


async def _until(bench: Bench, holds: Any) -> None:
    """Wait for something that happens behind the answer, asking after each turn of the writer."""
    for _ in range(2000):
        if holds():
            return
        await bench.group.transact(lambda _: None)
    raise AssertionError("expected it to happen, found it did not")
