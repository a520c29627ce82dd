"""What a batch costs, and what its members do to each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.app.unit_of_work import Accepted
from engine.kernel import commands as cmd
from engine.kernel import decide as kernel
from engine.kernel.env import Env
from engine.kernel.errors import NOT_FOUND, Refused
from engine.kernel.state import Tree
from engine.kernel.values import Variable
from engine.storage import tables
from mesh.db.database import Database
from tests.engine.storage.support import ONE_TASK, TWO_TASKS, Bench, process, running

MAX_STATEMENTS, MAX_ROUND_TRIPS = 10, 3


async def _cost(bench: Bench, asks: list[Any]) -> tuple[int, int, int]:
    before = bench.count()
    for answer in await bench.together(*asks):
        assert not isinstance(answer, BaseException), answer
    after = bench.count()
    return (
        after.statements - before.statements,
        after.round_trips - before.round_trips,
        after.commits - before.commits,
    )


@pytest.mark.parametrize("model", [ONE_TASK, TWO_TASKS], ids=["ends", "goes-on"])
async def test_a_batch_of_starts_or_completions_costs_the_same_whatever_its_size(
    database: Database, model: str
) -> None:
    async with running(database) as bench:
        definition = bench.define(model)
        await bench.start(definition)
        costs = []
        for size in (1, 8, 64):
            starts = [bench.start(definition, request_id=f"s{size}-{n}", amount=n, note="x") for n in range(size)]
            start = await _cost(bench, starts)
            tasks = [row["id"] for row in bench.rows(tables.task)][-size:]
            complete = await _cost(bench, [bench.complete(task, request_id=task, approved=True) for task in tasks])
            costs.append((start, complete))

    assert costs[0] == costs[1] == costs[2]
    for statements, round_trips, commits in costs[0]:
        assert statements <= MAX_STATEMENTS
        assert round_trips <= MAX_ROUND_TRIPS
        assert commits == 1


async def test_an_instance_that_ends_leaves_nothing_but_its_outbox_rows(database: Database) -> None:
    async with running(database) as bench:
        instance = await bench.start(bench.define(TWO_TASKS), a=1, b=[1, {"c": "d"}])
        await bench.complete(bench.task_of(instance), c=2.5)
        await bench.complete(bench.task_of(instance))

        assert bench.left_over() == {}
        assert [row["root_id"] for row in bench.rows(tables.outbox)] == [instance] * 3


async def test_a_refused_command_leaves_the_others_of_its_batch_untouched(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        first, second = [bench.task_of(await bench.start(definition)) for _ in range(2)]

        answers = await bench.together(
            bench.complete(first),
            bench.complete("no-such-task"),
            bench.complete(first),
            bench.group.submit(cmd.ClaimTask(task_id=second, assignee="kermit")),
            bench.group.submit(cmd.ClaimTask(task_id=second, assignee="gonzo")),
        )

        assert answers[0] == {}
        assert [(answer.status, answer.reason) for answer in (answers[1], answers[2])] == [
            (NOT_FOUND, "task-not-found")
        ] * 2
        assert answers[1].facts == {"task_id": "no-such-task"}
        assert answers[3] == {}
        assert answers[4].reason == "task-claimed"
        assert [(row["id"], row["assignee"]) for row in bench.rows(tables.task)] == [(second, "kermit")]


async def test_a_command_that_fails_half_way_leaves_its_tree_as_it_was(database: Database) -> None:
    def stumbling(tree: Tree, command: cmd.Command, env: Env) -> kernel.Decision:
        decision = kernel.decide(tree, command, env)
        if isinstance(command, cmd.SetVariables) and "poison" in command.variables:
            raise ZeroDivisionError("a bug behind half of the events")
        return decision

    async with running(database, decide=stumbling) as bench:
        instance = await bench.start(bench.define(ONE_TASK), kept=1)

        def put(**values: Any) -> Any:
            variables = {name: Variable("integer", value) for name, value in values.items()}
            return bench.group.submit(cmd.SetVariables(execution_id=instance, variables=variables))

        answers = await bench.together(put(before=1), put(poison=1), put(after=1))

        assert answers[0] == answers[2] == {}
        assert isinstance(answers[1], ZeroDivisionError)
        assert [row["name"] for row in bench.rows(tables.variable)] == ["after", "before", "kept"]


async def test_a_repeated_request_id_gets_the_first_answer_and_changes_nothing(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)

        first = await bench.start(definition, request_id="r1")
        again = await bench.start(definition, request_id="r1")
        twins = await bench.together(*(bench.start(definition, request_id="r2") for _ in range(3)))

        assert again == first
        assert len(set(twins)) == 1
        assert {row["id"] for row in bench.rows(tables.instance)} == {first, twins[0]}


async def test_the_same_request_in_two_processes_happens_once(database: Database) -> None:
    async with running(database) as one, running(database) as other:
        definition = one.define(ONE_TASK)
        other.source.known = one.source.known

        answers = await asyncio.gather(
            *(bench.start(definition, request_id=f"r{n}") for n in range(40) for bench in (one, other))
        )

        assert answers[::2] == answers[1::2]
        assert len(one.rows(tables.instance)) == 40


async def test_what_does_not_exist_is_not_found_by_kind_and_id(database: Database) -> None:
    async with running(database) as bench:
        commands: list[tuple[cmd.Command, str]] = [
            (cmd.CompleteTask(task_id="x"), "task-not-found"),
            (cmd.CompleteJob(job_id="x"), "job-not-found"),
            (cmd.SuspendInstance(instance_id="x"), "process-instance-not-found"),
            (cmd.TriggerExecution(execution_id="x"), "execution-not-found"),
            (cmd.StartProcess(definition_id="x"), "process-definition-not-found"),
            (cmd.CompleteTask(task_id="ü" * 100), "task-not-found"),
            (cmd.CompleteTask(task_id=""), "task-not-found"),
        ]
        for command, reason in commands:
            with pytest.raises(Refused) as refused:
                await bench.group.submit(command)
            assert (refused.value.status, refused.value.reason) == (NOT_FOUND, reason)


async def test_a_suspended_definition_starts_nothing(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        with bench.database.engine.begin() as connection:
            connection.execute(tables.process_definition.update().values(suspended=True))

        with pytest.raises(Refused) as refused:
            await bench.start(definition)

        assert refused.value.reason == "definition-suspended"
        assert bench.rows(tables.instance) == []


async def test_what_comes_and_goes_within_a_batch_never_reaches_the_database(database: Database) -> None:
    """The whole life of the instance is one command: only its outbox row is written."""
    through = process(
        "through", '<startEvent id="s"/><sequenceFlow id="f" sourceRef="s" targetRef="e"/><endEvent id="e"/>'
    )
    async with running(database) as bench:
        definition = bench.define(through)
        before = await _cost(bench, [bench.start(definition, a=1)])

        assert before == (3, 2, 1), "the definition; the outbox and COMMIT"
        assert bench.left_over() == {}
        assert len(bench.rows(tables.outbox)) == 1


async def test_listeners_hear_of_commits_in_order_and_of_nothing_else(database: Database) -> None:
    async with running(database) as bench:
        instance = await bench.start(bench.define(ONE_TASK))
        with pytest.raises(Refused):
            await bench.complete("nothing")
        await bench.complete(bench.task_of(instance))

        assert [type(one.events[0]).__name__ for one in bench.committed] == ["ProcessInstanceStarted", "TaskEnded"]
        assert [one.command_id for one in bench.committed] == [row["command_id"] for row in bench.rows(tables.outbox)]
        assert all(isinstance(one.root_id, str) and not isinstance(one, Accepted) for one in bench.committed)
