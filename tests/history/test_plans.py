"""Lists find their rows by an index: no filter on a growing table reads all of it."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from history.app.archiving import ArchiveFilter
from history.app.logs import DetailFilter, TaskLogFilter
from history.app.queries import ActivityFilter, Condition, InstanceFilter, TaskFilter, VariableFilter
from history.app.searching import Wish
from history.app.statistics import Range
from history.model.archive import Policy
from history.storage import archive_tables, erasure_tables, log_tables, schema, search_tables, tables
from history.storage.archive import ArchiveRows
from history.storage.erasure import ErasureRows
from history.storage.log_queries import LogAnswers
from history.storage.migrate import MIGRATIONS
from history.storage.queries import Queries
from history.storage.searching import TermIndex
from history.storage.statistics import StatisticsAnswers
from history.storage.store import Store
from mesh.clock import SystemClock
from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.paging import Page
from mesh.testing.statements import note_statements
from tests.engine.kernel.harness import BEGINNING

ROWS = 3000
OURS = ("historic_", "search_term", "statistic_", "archived_instance", "erasure")
RARE = "v-7"
"""A value that few rows have."""
NUMBERS = (
    "ordinal",
    "sequence",
    "definition_version",
    "priority",
    "duration_ms",
    "revision",
    "started",
    "completed",
    "failed",
    "duration_count",
    "duration_sum_ms",
    "bucket",
    "count",
    "assigned",
    "work_count",
    "work_sum_ms",
    "open",
    "retention_days",
    "instances",
    "records",
    "number",
)
SOON = BEGINNING + timedelta(seconds=3)


def _rows(table: Any) -> list[dict[str, Any]]:
    """Rows in which every text and moment differs from row to row."""
    rows = []
    for n in range(ROWS):
        row: dict[str, Any] = {}
        for column in table.columns:
            if column.name in NUMBERS:
                row[column.name] = n
            elif column.name.endswith(("_at", "_time", "_date")):
                row[column.name] = BEGINNING + timedelta(seconds=n)
            elif column.name == "canceled":
                row[column.name] = n if table.name.startswith("statistic") else False
            elif column.name == "told":
                row[column.name] = True
            elif column.name == "bytes":
                row[column.name] = None
            elif column.name == "number_value":
                row[column.name] = float(n)
            elif column.name == "type":
                row[column.name] = "string"
            elif column.name == "counts":
                row[column.name] = "[]"
            elif column.name == "value":
                row[column.name] = f'"v-{n}"'
            elif column.name == "state":
                row[column.name] = "failed" if n == 7 else "completed"
            else:
                row[column.name] = f"v-{n}"
        rows.append(row)
    return rows


KINDS = (
    tables.process_instance,
    tables.activity,
    tables.task,
    tables.variable,
    tables.identity_link,
    log_tables.detail,
    log_tables.task_log,
    log_tables.comment,
    search_tables.term,
    archive_tables.archived_instance,
    erasure_tables.erasure,
    *schema.STATISTICS,
)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Filled once for all tests of this file: they only read."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'history.db'}"
    else:
        url = str(request.getfixturevalue("mariadb_server").create_database())
    found = open_database(DatabaseSettings(url=url))
    MIGRATIONS.upgrade(found)
    with found.engine.begin() as connection:
        for table in KINDS:
            connection.execute(insert(table), _rows(table))
    if not found.is_sqlite:
        # Nobody gathers statistics on SQLite: the plans there are those of an embedded mesh.
        with found.reader.connect() as connection:
            for table in KINDS:
                connection.execute(text(f"ANALYZE TABLE {table.name}"))
    yield found
    found.close()


def _c(operation: str, value: Any = RARE, name: str = RARE) -> tuple[Condition, ...]:
    return (Condition(name=name, operation=operation, type="string", value=value),)


INSTANCES = (
    InstanceFilter(process_instance_id=RARE),
    InstanceFilter(process_instance_ids=(RARE, "v-8")),
    InstanceFilter(process_instance_name=RARE),
    InstanceFilter(process_instance_name_like="v-77%"),
    InstanceFilter(process_business_key=RARE),
    InstanceFilter(process_business_key_like="v-77%"),
    InstanceFilter(business_status=RARE),
    InstanceFilter(process_definition_id=RARE),
    InstanceFilter(process_definition_key=RARE),
    InstanceFilter(process_definition_key_in=(RARE, "v-8")),
    InstanceFilter(deployment_id=RARE),
    InstanceFilter(super_process_instance_id=RARE),
    InstanceFilter(root_process_instance_id=RARE),
    InstanceFilter(state="failed"),
    InstanceFilter(finished=False),
    InstanceFilter(active_activity_id=RARE),
    InstanceFilter(active_activity_ids=(RARE, "v-78")),
    InstanceFilter(business_key=RARE),
    InstanceFilter(business_key_like="v-77%"),
    InstanceFilter(deployment_id_in=(RARE, "v-78")),
    InstanceFilter(involved_user=RARE),
    InstanceFilter(started_by=RARE),
    InstanceFilter(finished_by=RARE),
    InstanceFilter(started_before=SOON),
    InstanceFilter(finished_before=SOON),
    InstanceFilter(callback_id=RARE),
    InstanceFilter(reference_id=RARE),
    InstanceFilter(tenant_id=RARE),
    InstanceFilter(variables=_c("equals")),
    InstanceFilter(variables=_c("like", "v-77%")),
    InstanceFilter(variables=_c("exists")),
    InstanceFilter(variables=_c("equals", name="")),
)
ACTIVITIES = (
    ActivityFilter(activity_instance_id=RARE),
    ActivityFilter(execution_id=RARE),
    ActivityFilter(activity_id=RARE),
    ActivityFilter(process_instance_id=RARE),
    ActivityFilter(process_instance_ids=(RARE, "v-78")),
    ActivityFilter(process_definition_id=RARE),
    ActivityFilter(called_process_instance_id=RARE),
    ActivityFilter(task_assignee=RARE),
    ActivityFilter(finished=False),
    ActivityFilter(started_before=SOON),
    ActivityFilter(finished_before=SOON),
)
TASKS = (
    TaskFilter(task_id=RARE),
    TaskFilter(process_instance_id=RARE),
    TaskFilter(process_instance_id_with_children=RARE),
    TaskFilter(process_business_key=RARE),
    TaskFilter(process_definition_id=RARE),
    TaskFilter(process_definition_key=RARE),
    TaskFilter(execution_id=RARE),
    TaskFilter(task_name=RARE),
    TaskFilter(task_name_like="v-77%"),
    TaskFilter(task_definition_key=RARE),
    TaskFilter(task_definition_key_like="v-77%"),
    TaskFilter(task_definition_keys=(RARE, "v-78")),
    TaskFilter(process_definition_key_like="v-77%"),
    TaskFilter(task_created_on=SOON),
    TaskFilter(task_completed_on=SOON),
    TaskFilter(task_assignee=RARE),
    TaskFilter(task_owner=RARE),
    TaskFilter(task_involved_user=RARE),
    TaskFilter(task_candidate_group=RARE),
    TaskFilter(finished=False),
    TaskFilter(parent_task_id=RARE),
    TaskFilter(due_date=SOON),
    TaskFilter(due_date_before=SOON),
    TaskFilter(task_created_before=SOON),
    TaskFilter(task_completed_before=SOON),
    TaskFilter(task_completed_by=RARE),
    TaskFilter(task_variables=_c("equals")),
    TaskFilter(process_variables=_c("equals")),
)
DETAILS = (
    DetailFilter(id=RARE),
    DetailFilter(process_instance_id=RARE),
    DetailFilter(execution_id=RARE),
    DetailFilter(activity_instance_id=RARE),
    DetailFilter(task_id=RARE),
    DetailFilter(variable_name=RARE),
)
TASK_LOG = (
    TaskLogFilter(task_id=RARE),
    TaskLogFilter(type=RARE),
    TaskLogFilter(user_id=RARE),
    TaskLogFilter(process_instance_id=RARE),
    TaskLogFilter(process_definition_id=RARE),
    TaskLogFilter(tenant_id=RARE),
    TaskLogFilter(from_log_number=ROWS - 3),
)
VARIABLES = (
    VariableFilter(process_instance_id=RARE),
    VariableFilter(process_instance_id_with_children=RARE),
    VariableFilter(execution_id=RARE),
    VariableFilter(task_id=RARE),
    VariableFilter(variable_name=RARE),
    VariableFilter(variable_name_like="v-77%"),
    VariableFilter(variables=_c("equals")),
)


async def test_every_selective_filter_of_a_list_is_served_by_an_index(database: Database) -> None:
    queries = Queries(database)
    plans = Plans(database)
    logs = LogAnswers(database)
    asked: list[Any] = [*INSTANCES, *ACTIVITIES, *TASKS, *VARIABLES, *DETAILS, *TASK_LOG]
    ask: dict[type[Any], Any] = {
        InstanceFilter: queries.instances,
        ActivityFilter: queries.activities,
        TaskFilter: queries.tasks,
        VariableFilter: queries.variables,
        DetailFilter: logs.details,
        TaskLogFilter: logs.task_log,
    }

    bad = {}
    for wanted in asked:
        plans.seen.clear()
        await ask[type(wanted)](wanted, Page(), None)
        # SQLite takes a range with one end for no help and walks along the order until the page is full.
        walks = database.is_sqlite and any(name.endswith("_before") for name in _given(wanted))
        scans = await asyncio.to_thread(plans.scans, ordered=walks)
        if scans:
            bad[str(_given(wanted))] = scans

    assert not bad, "\n".join(f"{asked}: {steps}" for asked, steps in bad.items())


async def test_a_list_without_filters_follows_the_index_of_its_order(database: Database) -> None:
    queries = Queries(database)
    plans = Plans(database)

    bad = {}
    for sort in (
        "processInstanceId",
        "processDefinitionId",
        "businessKey",
        "startTime",
        "endTime",
        "duration",
        "tenantId",
    ):
        plans.seen.clear()
        await queries.instances(InstanceFilter(), Page(sort=sort, order="desc"), None)
        # The first statement is the page; the second one counts, and must read every row.
        del plans.seen[1:]
        scans = await asyncio.to_thread(lambda: plans.scans(ordered=True))
        if scans:
            bad[sort] = scans

    assert not bad, "\n".join(f"{asked}: {steps}" for asked, steps in bad.items())


async def test_a_tenant_s_rows_are_found_by_an_index(database: Database) -> None:
    queries, logs, plans = Queries(database), LogAnswers(database), Plans(database)

    await queries.instances(InstanceFilter(), Page(), RARE)
    await queries.activities(ActivityFilter(), Page(), RARE)
    await queries.tasks(TaskFilter(), Page(), RARE)
    await queries.variables(VariableFilter(), Page(), RARE)
    await logs.details(DetailFilter(), Page(), RARE)
    await logs.task_log(TaskLogFilter(), Page(), RARE)
    await logs.comments_of_instance(RARE)
    await logs.comments_of_task(RARE)
    await queries.links_of(RARE)
    scans = await asyncio.to_thread(plans.scans)

    assert not scans


async def test_what_is_due_archived_or_proved_is_found_by_an_index(database: Database) -> None:
    store, clock = Store(database, SystemClock()), SystemClock()
    archive = ArchiveRows(store, database, clock, with_terms=True)
    erasures = ErasureRows(store, database, clock, "", with_terms=True)
    plans = Plans(database)
    policy = Policy(tenant_id=RARE, definition_key=RARE, retention_days=1, changed_at=BEGINNING, changed_by="")

    await archive.due(policy, SOON, (), 10)
    await archive.archived(RARE, None)
    for wanted in (
        ArchiveFilter(process_definition_key=RARE),
        ArchiveFilter(process_business_key=RARE),
        ArchiveFilter(started_by=RARE),
        ArchiveFilter(tenant_id=RARE),
        ArchiveFilter(root_process_instance_id=RARE),
    ):
        await archive.list_archived(wanted, Page(), None)
    await erasures.known(RARE)
    await erasures.get(RARE)
    await erasures.listed(RARE, Page())
    scans = await asyncio.to_thread(plans.scans)
    await store.close()

    assert not scans


async def test_searching_looks_up_words_in_an_index(database: Database) -> None:
    plans = Plans(database)

    await TermIndex(database).search(Wish(words=("v-77",)))
    await TermIndex(database).search(Wish(words=("v-77", "v-7"), tenant_id=RARE, after=(RARE, RARE)))
    scans = await asyncio.to_thread(plans.scans)

    assert not scans


async def test_statistics_of_one_definition_or_user_are_found_by_an_index(database: Database) -> None:
    statistics, plans = StatisticsAnswers(database), Plans(database)

    await statistics.sums(RARE, Range(definition_key=RARE), ("element_id",), None, with_durations=True)
    await statistics.sums(RARE, Range(), ("day",), None, with_durations=True)
    await statistics.open(RARE, Range(definition_key=RARE), ("element_id",), None)
    await statistics.work(Range(user_id=RARE), None)
    await statistics.overdue(Range(), BEGINNING + timedelta(seconds=20), None)
    scans = await asyncio.to_thread(plans.scans)

    assert not scans


def _given(wanted: Any) -> dict[str, Any]:
    return {
        name: getattr(wanted, name)
        for name in wanted.__struct_fields__
        if getattr(wanted, name) not in (None, False, ())
    }


class Plans:
    """Remembers the statements of a database, and asks how it carries them out."""

    def __init__(self, database: Database) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._database = database
        self._explaining = False
        note_statements(database, self._note)

    def _note(self, statement: str, parameters: Any) -> None:
        if not self._explaining and any(name in statement for name in OURS):
            self.seen.append((statement, parameters))

    def scans(self, *, ordered: bool = False) -> list[str]:
        """The steps that read a whole table; with `ordered`, following an index in its order is none."""
        self._explaining = True
        found = []
        with self._database.reader.connect() as connection:
            for statement, parameters in self.seen:
                prefix = "EXPLAIN QUERY PLAN " if self._database.is_sqlite else "EXPLAIN "
                for row in connection.exec_driver_sql(prefix + statement, parameters).mappings():
                    step = self._sqlite(row, ordered) if self._database.is_sqlite else self._mysql(row, ordered)
                    if step:
                        found.append(step)
        self._explaining = False
        return found

    @staticmethod
    def _sqlite(row: Any, ordered: bool) -> str:
        detail = str(row["detail"])
        whole = detail.startswith(tuple(f"SCAN {name}" for name in (*OURS, "lead", "other"))) and not (
            ordered and "USING" in detail
        )
        return detail if whole or (ordered and detail == "USE TEMP B-TREE FOR ORDER BY") else ""

    @staticmethod
    def _mysql(row: Any, ordered: bool) -> str:
        table, kind = str(row["table"]), row["type"]
        if not table.startswith((*OURS, "lead", "other")):
            return ""
        few = int(str(row["rows"] or 0).split()[0]) <= ROWS // 4
        return (
            ""
            if kind != "ALL" and (few or (ordered and kind == "index"))
            else f"{table}: {kind} {row['key']} {row['rows']}"
        )
