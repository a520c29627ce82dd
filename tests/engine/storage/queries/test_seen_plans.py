"""What rights add to a list is found through an index, too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import bindparam, select, update

from engine.app.queries import ExternalWorkerJobFilter, JobFilter, Page, ProcessInstanceFilter, TaskFilter
from engine.kernel.rights import Rights
from engine.storage import tables
from mesh.db.database import Database
from tests.engine.storage.queries.test_plans import (
    NEEDLE,
    Ask,
    _asked,
    _definition,
    _executions,
    _grow,
    _id,
    _instances,
    _tasks,
    _variables,
    _walks,
)
from tests.engine.storage.queries.world import ReadWorld, reading

TENANTS = 50
MINE = Rights(user_id="user7", groups=("group7",), own_tasks=True, offered_starts=True)
TENANT = Rights(user_id="user7", tenant_id="tenant7")
OF_TENANT: dict[str, Ask] = {
    "instances": lambda queries: queries.list_process_instances(ProcessInstanceFilter(), Page()),
    "tasks": lambda queries: queries.list_tasks(TaskFilter(), Page()),
    "timers": lambda queries: queries.list_jobs(JobFilter(kind="timer-jobs"), Page()),
    "worker jobs": lambda queries: queries.list_external_worker_jobs(ExternalWorkerJobFilter(topic="topic7"), Page()),
    "instance": _instances(id=_id("in", NEEDLE)),
    "execution": _executions(id=_id("ex", NEEDLE)),
    "variables": _variables(process_instance_id=_id("in", NEEDLE)),
}
OF_PERSON: dict[str, Ask] = {
    "assigned": _tasks(assignee="user7"),
    "candidate": _tasks(candidate_user="user7", user_groups=("group7",)),
    "inbox": _tasks(candidate_or_assigned="user7", user_groups=("group7",)),
    "of an instance": _tasks(process_instance_id=_id("in", NEEDLE)),
    "by id": _tasks(task_id=_id("ta", NEEDLE)),
}


@pytest.fixture
async def grown(database: Database) -> AsyncIterator[ReadWorld]:
    _grow(database)
    with database.engine.begin() as connection:
        for table in (tables.instance, tables.task, tables.job):
            ids = list(connection.execute(select(table.c.id).order_by(table.c.id)).scalars())
            rows = [{"key": key, "tenant": f"tenant{place % TENANTS}"} for place, key in enumerate(ids)]
            changed = update(table).where(table.c.id == bindparam("key")).values(tenant_id=bindparam("tenant"))
            connection.execute(changed, rows)
    if not database.is_sqlite:
        with database.reader.connect() as connection:
            connection.exec_driver_sql("ANALYZE TABLE instance, task, job").all()
    async with reading(database) as world:
        for number in range(1000):
            world.bench.source.known[f"def{number}"] = _definition(world)
        yield world


@pytest.mark.parametrize(("rights", "asks"), [(TENANT, OF_TENANT), (MINE, OF_PERSON)], ids=["tenant", "person"])
async def test_rights_do_not_make_a_list_walk_through_a_growing_table(
    grown: ReadWorld, rights: Rights, asks: dict[str, Ask]
) -> None:
    grown.queries._pool._rights = lambda: rights
    walked: list[str] = []
    for name, ask in asks.items():
        for statement, parameters in await _asked(grown, ask):
            walked += [f"{name}: {step}\n    {statement}" for step in _walks(grown.database, statement, parameters)]

    assert not walked, "\n".join(walked)
