"""Plans: what the lists filter by is found through an index, on a database that has grown.

For each filter that names few rows the plan is asked for: no table that grows with the instances may be walked through,
neither by its rows nor by a whole index.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from engine.app.queries import (
    ActivityInstanceFilter,
    EventSubscriptionFilter,
    ExecutionFilter,
    ExternalWorkerJobFilter,
    JobFilter,
    Page,
    ProcessInstanceFilter,
    Queries,
    TaskFilter,
    VariableCondition,
    VariableInstanceFilter,
)
from engine.kernel.values import Variable
from engine.storage import tables
from mesh.db.database import Database
from mesh.testing.statements import note_statements
from tests.engine.storage.queries.world import ReadWorld, reading
from tests.engine.storage.support import ONE_TASK, START

INSTANCES = 3_000
MOST_ROWS = INSTANCES // 10
GROWING = {"instance", "task", "job", "subscription", "variable", "identity_link"}
NEEDLE = INSTANCES // 2

Ask = Callable[[Queries], Awaitable[Any]]


def _id(kind: str, number: int) -> str:
    return f"01890000-0000-7000-8000-{kind}{number:08d}"


def _words(number: int) -> dict[str, Any]:
    return {"root_id": _id("in", number), "instance_id": _id("in", number), "execution_id": _id("ex", number)}


def _grow(database: Database) -> None:
    """Fill the tables: each instance with a task, two jobs, a subscription, two variables and two links."""
    rows: dict[Any, list[dict[str, Any]]] = {}
    for n in range(INSTANCES):
        at = START + timedelta(seconds=n)
        words = _words(n)
        instance_id, definition = words["instance_id"], f"def{n % 1000}"
        execution = {"id": words["execution_id"], "parent": instance_id, "element": "task", "task": _id("ta", n)}
        rows.setdefault(tables.instance, []).append(
            _blank(tables.instance)
            | {"id": instance_id, "root_id": instance_id, "definition_id": definition, "definition_key": definition}
            | {"business_key": f"order-{n}", "name": f"Order {n}", "started_at": at, "state": "active", "revision": 1}
            | {"start_user_id": f"user{n % 700}", "tokens": _tokens(execution)}
        )
        rows.setdefault(tables.task, []).append(
            _blank(tables.task)
            | words
            | {"id": _id("ta", n), "element_id": f"approve{n % 900}", "name": f"Approve {n}", "created_at": at}
            | {
                "assignee": f"user{n % 700}" if n % 2 else "",
                "due_at": at,
                "definition_id": definition,
                "owner": f"o{n % 600}",
            }
        )
        for part, lane, topic in ((0, "engine", ""), (1, "external", f"topic{n % 500}")):
            kind = "external" if part else "timer"
            rows.setdefault(tables.job, []).append(
                _blank(tables.job)
                | words
                | {"id": _id("jo", 2 * n + part), "kind": kind, "due_at": at, "created_at": at, "available_at": at}
                | {
                    "lane": lane,
                    "topic": topic,
                    "definition_id": definition,
                    "retries": 3,
                    "element_id": f"ship{n % 900}",
                }
            )
        rows.setdefault(tables.subscription, []).append(
            _blank(tables.subscription)
            | words
            | {"id": _id("su", n), "kind": "message", "name": f"papers{n % 800}", "created_at": at}
            | {"definition_id": definition, "element_id": f"wait{n % 900}"}
        )
        for name, value in (("order", f"order-{n}"), ("amount", str(n))):
            rows.setdefault(tables.variable, []).append(
                {
                    "root_id": instance_id,
                    "scope_id": instance_id,
                    "name": name,
                    "instance_id": instance_id,
                    "leaf": False,
                }
                | {"type": "string", "value": f'"{value}"', "text_value": value, "number_value": None}
            )
        for part, who in ((0, {"user_id": f"user{n % 700}"}), (1, {"group_id": f"group{n % 600}"})):
            rows.setdefault(tables.identity_link, []).append(
                _blank(tables.identity_link)
                | {"owner_id": _id("ta", n), "id": _id("li", 2 * n + part), "root_id": instance_id}
                | {"task_id": _id("ta", n), "instance_id": instance_id, "kind": "candidate"}
                | who
            )
    rows[tables.process_definition] = [
        _blank(tables.process_definition) | {"id": f"def{n}", "key": f"def{n}", "version": 1} for n in range(1000)
    ]
    with database.engine.begin() as connection:
        for table, found in rows.items():
            connection.execute(table.insert(), found)
    if not database.is_sqlite:
        # MariaDB keeps statistics by itself, only later; nobody analyzes an embedded SQLite file.
        with database.reader.connect() as connection:
            connection.exec_driver_sql(f"ANALYZE TABLE {', '.join(sorted(GROWING))}").all()


def _tokens(execution: dict[str, str]) -> str:
    pairs = ",".join(f'"{name}":"{value}"' for name, value in execution.items())
    return f'{{"executions":[{{{pairs}}}]}}'


def _blank(table: Any) -> dict[str, Any]:
    blanks = {str: "", int: 0, float: 0.0, bool: False}
    found: dict[str, Any] = {}
    for column in table.columns:
        try:
            found[column.name] = blanks.get(column.type.python_type)
        except NotImplementedError:
            found[column.name] = None
    return found


@pytest.fixture
async def grown(database: Database) -> AsyncIterator[ReadWorld]:
    _grow(database)
    async with reading(database) as world:
        for number in range(1000):
            world.bench.source.known[f"def{number}"] = _definition(world)
        yield world


def _definition(world: ReadWorld) -> Any:
    if "one" not in world.bench.source.known:
        world.bench.define(ONE_TASK)
    return world.bench.source.known["one"]


def _instances(**wanted: Any) -> Ask:
    return lambda queries: queries.list_process_instances(ProcessInstanceFilter(**wanted), Page())


def _tasks(sort: str = "", **wanted: Any) -> Ask:
    return lambda queries: queries.list_tasks(TaskFilter(**wanted), Page(sort=sort))


def _executions(**wanted: Any) -> Ask:
    return lambda queries: queries.list_executions(ExecutionFilter(**wanted), Page())


def _jobs(**wanted: Any) -> Ask:
    return lambda queries: queries.list_jobs(JobFilter(kind="jobs", **wanted), Page())


def _worker_jobs(**wanted: Any) -> Ask:
    return lambda queries: queries.list_external_worker_jobs(ExternalWorkerJobFilter(**wanted), Page())


def _subscriptions(**wanted: Any) -> Ask:
    return lambda queries: queries.list_event_subscriptions(EventSubscriptionFilter(**wanted), Page())


def _variables(**wanted: Any) -> Ask:
    return lambda queries: queries.list_variable_instances(VariableInstanceFilter(**wanted), Page())


def _activities(**wanted: Any) -> Ask:
    return lambda queries: queries.list_activity_instances(ActivityInstanceFilter(**wanted), Page())


_ORDER = (VariableCondition(name="order", operation="equals", value=Variable("string", f"order-{NEEDLE}")),)
_AT = START + timedelta(seconds=NEEDLE)
_SOON = START + timedelta(seconds=20)
_LATE = START + timedelta(seconds=INSTANCES - 20)

SELECTIVE: dict[str, Ask] = {
    "instance id": _instances(id=_id("in", NEEDLE)),
    "instance ids": _instances(process_instance_ids=(_id("in", 3), _id("in", NEEDLE))),
    "instance business key": _instances(business_key=f"order-{NEEDLE}"),
    "instance business key like": _instances(business_key_like=f"order-{NEEDLE}%"),
    "instance name": _instances(name=f"Order {NEEDLE}"),
    "instance definition id": _instances(process_definition_id="def7"),
    "instance definition key": _instances(process_definition_key="def7"),
    "instance definition keys": _instances(process_definition_keys=("def7", "def8")),
    "instance query id": _instances(process_instance_id=_id("in", NEEDLE)),
    "instance query name": _instances(process_instance_name=f"Order {NEEDLE}"),
    "instance query business key": _instances(process_business_key=f"order-{NEEDLE}"),
    "instance definition ids": _instances(process_definition_ids=("def7", "def8")),
    "instance definition key like": _instances(process_definition_key_like="def77%"),
    "instance active activities": _instances(active_activity_ids=("approve7", "approve8")),
    "instance root": _instances(root_process_instance_id=_id("in", NEEDLE)),
    "instance super": _instances(super_process_instance_id=_id("in", NEEDLE)),
    "instance sub": _instances(sub_process_instance_id=_id("in", NEEDLE)),
    "instance started before": _instances(started_before=_SOON),
    "instance started after": _instances(started_after=_LATE),
    "instance suspended": _instances(suspended=True),
    "instance involved user": _instances(involved_user="user7"),
    "instance active activity": _instances(active_activity_id="approve7"),
    "instance variable": _instances(variables=_ORDER),
    "instance with variables": _instances(business_key=f"order-{NEEDLE}", include_process_variables=True),
    "task id": _tasks(task_id=_id("ta", NEEDLE)),
    "task name": _tasks(name=f"Approve {NEEDLE}"),
    "task name like": _tasks(name_like=f"Approve {NEEDLE}%"),
    "task assignee": _tasks(assignee="user7"),
    "task assignee by name": _tasks(sort="name", assignee="user7"),
    "task assignee by due date": _tasks(sort="dueDate", assignee="user7"),
    "task candidate user": _tasks(candidate_user="user8"),
    "task candidate user with groups": _tasks(candidate_user="user8", user_groups=("group7", "group8")),
    "task candidate group": _tasks(candidate_group="group8"),
    "task candidate groups": _tasks(candidate_group_in=("group8", "group10")),
    "task candidate groups in a list": _tasks(candidate_groups=("group8", "group10")),
    "task candidate or assigned": _tasks(candidate_or_assigned="user7", user_groups=("group7",)),
    "task definition key": _tasks(task_definition_key="approve7"),
    "task definition keys": _tasks(task_definition_keys=("approve7", "approve8")),
    "task instance": _tasks(process_instance_id=_id("in", NEEDLE)),
    "task instance with children": _tasks(process_instance_id_with_children=_id("in", NEEDLE)),
    "task instances": _tasks(process_instance_id_in=(_id("in", 3), _id("in", NEEDLE))),
    "task business key": _tasks(process_instance_business_key=f"order-{NEEDLE}"),
    "task process key": _tasks(process_definition_key="def7"),
    "task execution": _tasks(execution_id=_id("ex", NEEDLE)),
    "task created before": _tasks(created_before=_SOON),
    "task created after": _tasks(created_after=_LATE),
    "task due before": _tasks(due_before=_SOON),
    "task due on": _tasks(due_date=_AT),
    "task process variable": _tasks(process_instance_variables=_ORDER),
    "task with variables": _tasks(assignee="user7", include_process_variables=True, include_task_local_variables=True),
    "execution id": _executions(id=_id("ex", NEEDLE)),
    "execution parent": _executions(parent_id=_id("in", NEEDLE)),
    "execution instance": _executions(process_instance_id=_id("in", NEEDLE)),
    "execution root": _executions(root_process_instance_id=_id("in", NEEDLE)),
    "execution activity": _executions(activity_id="approve7"),
    "execution message": _executions(message_event_subscription_name="papers7"),
    "execution business key": _executions(process_business_key=f"order-{NEEDLE}"),
    "execution business key in a list": _executions(process_instance_business_key=f"order-{NEEDLE}"),
    "execution process variable": _executions(process_instance_variables=_ORDER),
    "activity instance": _activities(process_instance_id=_id("in", NEEDLE)),
    "activity assignee": _activities(task_assignee="user7"),
    "job id": _jobs(id=_id("jo", NEEDLE)),
    "job instance": _jobs(process_instance_id=_id("in", NEEDLE)),
    "job execution": _jobs(execution_id=_id("ex", NEEDLE)),
    "job definition": _jobs(process_definition_id="def7"),
    "job due before": _jobs(due_before=_SOON),
    "worker job topic": _worker_jobs(topic="topic7"),
    "worker job instance": _worker_jobs(process_instance_id=_id("in", NEEDLE)),
    "dead jobs": lambda queries: queries.list_jobs(JobFilter(kind="deadletter-jobs"), Page()),
    "suspended jobs": lambda queries: queries.list_jobs(JobFilter(kind="suspended-jobs"), Page()),
    "subscription name": _subscriptions(event_name="papers7"),
    "subscription execution": _subscriptions(execution_id=_id("ex", NEEDLE)),
    "subscription instance": _subscriptions(process_instance_id=_id("in", NEEDLE)),
    "subscription definition": _subscriptions(process_definition_id="def7"),
    "variable instance": _variables(process_instance_id=_id("in", NEEDLE)),
    "variable execution": _variables(execution_id=_id("in", NEEDLE)),
    "variable task": _variables(task_id=_id("ta", NEEDLE)),
    "variable value": _variables(variables=_ORDER),
    "task variables": lambda queries: queries.list_task_variables(_id("ta", NEEDLE)),
    "execution variables": lambda queries: queries.list_execution_variables(_id("ex", NEEDLE)),
    "task links": lambda queries: queries.list_task_identity_links(_id("ta", NEEDLE)),
    "subtasks": lambda queries: queries.list_subtasks(_id("ta", NEEDLE)),
}


RANGES = frozenset(
    (
        "instance started before",
        "instance started after",
        "task created before",
        "task created after",
        "task due before",
        "job due before",
    )
)


async def test_filters_that_name_few_rows_never_walk_through_a_growing_table(grown: ReadWorld) -> None:
    walked: list[str] = []
    # SQLite cannot know how many rows lie in a range; it goes by id and stops when the page is full.
    unknown = RANGES if grown.database.is_sqlite else frozenset()
    for name in SELECTIVE.keys() - unknown:
        ask = SELECTIVE[name]
        for statement, parameters in await _asked(grown, ask):
            walked += [f"{name}: {step}\n    {statement}" for step in _walks(grown.database, statement, parameters)]

    assert not walked, "\n".join(walked)


async def test_pages_by_id_stop_at_the_limit_at_any_depth(grown: ReadWorld) -> None:
    first = await grown.queries.list_tasks(TaskFilter(), Page(size=50))
    found = await _asked(
        grown, lambda queries: queries.list_tasks(TaskFilter(), Page(size=50, page_token=first.next_page_token))
    )

    ((statement, parameters),) = found
    plan = _plan(grown.database, statement, parameters)
    if grown.database.is_sqlite:
        assert "SEARCH task USING INDEX" in plan[0]["detail"]
    else:
        assert plan[0]["type"] == "range"
        assert plan[0]["key"] == "PRIMARY"
        assert "filesort" not in (plan[0]["Extra"] or "")


async def _asked(world: ReadWorld, ask: Ask) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    end = note_statements(world.database, lambda statement, parameters: found.append((statement, parameters)))
    try:
        await ask(world.queries)
    finally:
        end()
    assert found
    return found


def _plan(database: Database, statement: str, parameters: Any) -> list[Any]:
    with database.engine.connect() as connection:
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        return list(connection.exec_driver_sql(explain + statement, parameters).mappings())


def _walks(database: Database, statement: str, parameters: Any) -> list[str]:
    """The steps of a plan that go through a growing table."""
    plan = _plan(database, statement, parameters)
    if database.is_sqlite:
        aliased = {name: table for table, name in re.findall(r"(?:FROM|JOIN) (\w+) AS (\w+)", statement)}
        steps = [(re.match(r"SCAN (\w+)", row["detail"]), row["detail"]) for row in plan]
        return [detail for found, detail in steps if found and aliased.get(found[1], found[1]) in GROWING]
    aliased = {name: table for table, name in re.findall(r"(?:FROM|JOIN) `?(\w+)`? AS `?(\w+)`?", statement)}
    return [
        str(dict(row))
        for row in plan
        if aliased.get(row["table"], row["table"]) in GROWING
        and (row["type"] == "ALL" or int(str(row["rows"] or 0).split()[0]) > MOST_ROWS)
    ]
