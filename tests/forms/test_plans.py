"""Lists find their rows by an index: no filter on a growing table reads all of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from forms.app.filters import DefinitionFilter, DeploymentFilter, InstanceFilter
from forms.app.ports import Unit
from forms.storage import tables
from forms.storage.migrate import MIGRATIONS
from forms.storage.pruning import Pruning
from forms.storage.queries import SqlQueries
from forms.storage.store import SqlStore
from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.paging import Page
from mesh.testing.statements import note_statements

ROWS = 2000
RARE = "v-7"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
SOON = BEGINNING + timedelta(seconds=3)
KINDS = (tables.deployment, tables.resource, tables.definition, tables.instance, tables.request)
STATES = {"form_deployment": "deployed", "form_instance": "submitted"}


def _rows(table: Any) -> list[dict[str, Any]]:
    """Rows in which every text and moment differs from row to row."""
    rows = []
    for n in range(ROWS):
        row: dict[str, Any] = {}
        for column in table.columns:
            if column.name in ("version", "form_version"):
                row[column.name] = n
            elif column.name.endswith("_at"):
                row[column.name] = BEGINNING + timedelta(seconds=n)
            elif column.name == "data":
                row[column.name] = b"{}"
            elif column.name in ("content", "answer"):
                row[column.name] = "{}"
            elif column.name == "state":
                row[column.name] = "prepared" if n % 500 == 7 else STATES[table.name]
            else:
                row[column.name] = f"v-{n}"
        rows.append(row)
    return rows


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    found = open_database(DatabaseSettings(url=url))

    def fill() -> None:
        MIGRATIONS.upgrade(found)
        with found.engine.begin() as connection:
            for table in KINDS:
                connection.execute(insert(table), _rows(table))
        if found.is_sqlite:
            return  # nobody gathers statistics there: the plans are those of an embedded service
        with found.reader.connect() as connection:
            for table in KINDS:
                connection.execute(text(f"ANALYZE TABLE {table.name}"))

    await asyncio.to_thread(fill)
    found.close()
    yield found
    found.close()


ASKED: tuple[Any, ...] = (
    DeploymentFilter(name=RARE),
    DeploymentFilter(name_like="v-77%"),
    DeploymentFilter(category=RARE),
    DeploymentFilter(tenant_id=RARE),
    DeploymentFilter(parent_deployment_id=RARE),
    DeploymentFilter(state="prepared"),
    DeploymentFilter(state="prepared", deployed_before=SOON),
    DefinitionFilter(key=RARE),
    DefinitionFilter(key=RARE, latest=True),
    DefinitionFilter(key_like="v-77%"),
    DefinitionFilter(name=RARE),
    DefinitionFilter(name_like="v-77%"),
    DefinitionFilter(category=RARE),
    DefinitionFilter(deployment_id=RARE),
    DefinitionFilter(parent_deployment_id=RARE),
    DefinitionFilter(tenant_id=RARE),
    InstanceFilter(form_definition_id=RARE),
    InstanceFilter(form_key=RARE),
    InstanceFilter(task_id=RARE),
    InstanceFilter(process_instance_id=RARE),
    InstanceFilter(process_definition_id=RARE),
    InstanceFilter(submitted_by=RARE),
    InstanceFilter(tenant_id=RARE),
    InstanceFilter(submitted_before=SOON),
    InstanceFilter(state="prepared"),
    InstanceFilter(state="prepared", submitted_before=SOON),
)


async def test_every_selective_filter_of_a_list_is_served_by_an_index(database: Database) -> None:
    queries = SqlQueries(database)
    plans = Plans(database)
    ask: dict[type[Any], Any] = {
        DeploymentFilter: queries.deployments,
        DefinitionFilter: queries.definitions,
        InstanceFilter: queries.instances,
    }

    bad = {}
    for wanted in ASKED:
        plans.seen.clear()
        await ask[type(wanted)](wanted, Page())
        assert plans.seen
        # SQLite takes a range with one end for no help and walks along the order until the page is full.
        walks = database.is_sqlite and getattr(wanted, "submitted_before", None) is not None
        scans = await asyncio.to_thread(plans.scans, ordered=walks)
        if scans:
            bad[str(wanted)] = scans

    assert not bad, "\n".join(f"{asked}: {steps}" for asked, steps in bad.items())


async def test_what_a_call_looks_for_is_found_by_a_key(database: Database) -> None:
    queries = SqlQueries(database)
    plans = Plans(database)

    await queries.instance_of_step(RARE, RARE)
    await queries.definition_of_parent(RARE, RARE, RARE)
    await queries.definition_of_tenant(RARE, RARE, None)
    await queries.definition(RARE)
    await queries.resource(RARE, RARE)

    assert len(plans.seen) == 5
    assert await asyncio.to_thread(plans.scans) == []


async def test_pruning_looks_at_what_is_old_only(database: Database) -> None:
    plans = Plans(database)

    await Pruning(database).prune(SOON)

    plans.seen = [asked for asked in plans.seen if asked[0].startswith("SELECT")]
    assert len(plans.seen) == 3
    assert await asyncio.to_thread(plans.scans) == []


async def test_what_an_erasure_looks_for_is_found_by_an_index(database: Database) -> None:
    plans = Plans(database)

    def look(unit: Unit) -> tuple[int, int, int]:
        return len(unit.submissions_of(RARE, 500)), unit.open_of(RARE), unit.drop_answers_of(RARE, 500)

    assert await SqlStore(database).transact(look) == (0, 1, 1)
    plans.seen = [asked for asked in plans.seen if asked[0].startswith("SELECT")]
    assert len(plans.seen) == 3
    assert await asyncio.to_thread(plans.scans) == []


class Plans:
    """Remembers the statements of a database, and asks how it carries them out."""

    def __init__(self, database: Database) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._database = database
        self._explaining = False
        note_statements(database, self._note)

    def _note(self, statement: str, parameters: Any) -> None:
        if not self._explaining and "form_" in statement:
            self.seen.append((statement, parameters))

    def scans(self, *, ordered: bool = False) -> list[str]:
        """The steps that read a whole table; with `ordered`, following an index in its order is none."""
        self._explaining = True
        found = []
        with self._database.reader.connect() as connection:
            for statement, parameters in self.seen:
                prefix = "EXPLAIN QUERY PLAN " if self._database.is_sqlite else "EXPLAIN "
                for row in connection.exec_driver_sql(prefix + statement, parameters).mappings():
                    step = self._sqlite(row, ordered) if self._database.is_sqlite else self._mysql(row)
                    if step:
                        found.append(step)
        self._explaining = False
        return found

    @staticmethod
    def _sqlite(row: Any, ordered: bool) -> str:
        detail = str(row["detail"])
        return detail if detail.startswith("SCAN form_") and not (ordered and "USING" in detail) else ""

    @staticmethod
    def _mysql(row: Any) -> str:
        if not str(row["table"]).startswith("form_"):
            return ""
        few = int(str(row["rows"] or 0).split()[0]) <= ROWS // 4
        return "" if row["type"] != "ALL" and few else f"{row['table']}: {row['type']} {row['key']} {row['rows']}"
