"""Commands that one caller wants carried out all or none."""

from __future__ import annotations

import asyncio

import pytest

from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.kernel.values import variables_of
from engine.storage import tables
from mesh.db.database import Database
from tests.engine.storage.support import ONE_TASK, TWO_TASKS, Bench, running


def _names(bench: Bench, *tasks: str) -> list[str]:
    return [row["name"] for task in tasks for row in bench.rows(tables.task, id=task)]


def _rename(task_id: str, name: str) -> cmd.UpdateTask:
    return cmd.UpdateTask(task_id=task_id, changes={"name": name})


async def test_commands_on_several_trees_are_one_transaction(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        first, second = [bench.task_of(await bench.start(definition)) for _ in range(2)]
        before = bench.count().commits

        await bench.group.submit_all([_rename(first, "a"), _rename(second, "b")])

        assert _names(bench, first, second) == ["a", "b"]
        assert bench.count().commits - before == 1


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_one_refused_command_keeps_all_from_happening(database: Database, position: int) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        first, second = [bench.task_of(await bench.start(definition)) for _ in range(2)]
        commands = [_rename(first, "a"), _rename(second, "b")]
        commands.insert(position, _rename("no-such-task", "c"))

        with pytest.raises(Refused, match="no-such-task"):
            await bench.group.submit_all(commands, request_id="r")

        assert _names(bench, first, second) == ["Approve", "Approve"]
        assert bench.rows(tables.outbox, request_id="r") == []


async def test_what_the_kernel_refuses_takes_back_what_went_before_on_the_same_tree(database: Database) -> None:
    async with running(database) as bench:
        instance = await bench.start(bench.define(TWO_TASKS), a=1)
        task = bench.task_of(instance)

        with pytest.raises(Refused):
            await bench.group.submit_all(
                [
                    cmd.SetVariables(execution_id=instance, variables=variables_of({"b": 2}), local=True),
                    cmd.CompleteTask(task_id=task),
                    cmd.SetVariables(execution_id=instance, variables=variables_of({"a": 2}), create_only=True),
                ]
            )

        assert bench.task_of(instance) == task
        assert [(row["name"], row["value"]) for row in bench.rows(tables.variable)] == [("a", "1")]


async def test_a_refused_bundle_leaves_the_others_of_its_batch_untouched(database: Database) -> None:
    async with running(database) as bench:
        instance = await bench.start(bench.define(TWO_TASKS), a=1)
        task = bench.task_of(instance)

        answers = await bench.together(
            bench.group.submit(_rename(task, "kept")),
            bench.group.submit_all([cmd.CompleteTask(task_id=task), _rename("no-such-task", "x")]),
            bench.group.submit_all([cmd.CompleteTask(task_id=task), cmd.CompleteTask(task_id=task)]),
            bench.group.submit(cmd.ClaimTask(task_id=task, assignee="kermit")),
        )

        assert [type(answer) for answer in answers] == [dict, Refused, Refused, dict]
        (row,) = bench.rows(tables.task, id=task)
        assert (row["name"], row["assignee"]) == ("kept", "kermit")


async def test_a_repeated_bundle_gets_its_first_answer_and_changes_nothing(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        instances = [await bench.start(definition) for _ in range(2)]
        commands = [cmd.DeleteInstance(instance_id=instance) for instance in instances]

        first = await bench.group.submit_all(commands, request_id="r")
        again = await bench.group.submit_all(commands, request_id="r")
        together = await bench.together(
            *(bench.group.submit_all(commands, request_id="r") for _ in range(2)),
        )

        assert [first, again, *together] == [first] * 4
        assert bench.left_over() == {}


async def test_two_equal_bundles_in_one_batch_are_carried_out_once(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ONE_TASK)
        tasks = [bench.task_of(await bench.start(definition)) for _ in range(2)]
        commands = [cmd.CompleteTask(task_id=task) for task in tasks]

        answers = await bench.together(*(bench.group.submit_all(commands, request_id="r") for _ in range(2)))

        assert answers == [{}, {}]
        assert bench.left_over() == {}


async def test_an_empty_bundle_is_a_mistake_of_the_caller(database: Database) -> None:
    async with running(database) as bench:
        with pytest.raises(ValueError, match="1 to 1000"):
            await asyncio.wait_for(bench.group.submit_all([]), 5)
