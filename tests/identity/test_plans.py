"""Whatever grows is found by an index: lists by each filter, logins, tokens, permissions, and what is swept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Boolean, Integer, LargeBinary, insert, text

from identity.app.lists import ApiTokenFilter, GroupFilter, PrivilegeFilter, Scope, TenantFilter, UserFilter
from identity.model.people import Membership
from identity.storage import tables
from identity.storage.lists import SqlLists
from identity.storage.transactions import SqlWork
from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.db.types import UtcDateTime
from mesh.paging import Page
from mesh.testing.statements import note_statements
from tests.identity.worlds import BEGINNING

ROWS = 2000
RARE = "v-7"
"""A value that few rows have."""
SOON = BEGINNING + timedelta(seconds=3)
EVERYTHING = Scope(tenant_id=None)
GROWING = [table for table in tables.metadata.sorted_tables if table not in (tables.latch, tables.signing_key)]


def _value(column: Any, n: int) -> Any:
    if column.name == "revoked_at":
        return None
    if isinstance(column.type, UtcDateTime):
        return BEGINNING + timedelta(seconds=n)
    if isinstance(column.type, Boolean):
        return n == 7
    if isinstance(column.type, Integer):
        return n
    if isinstance(column.type, LargeBinary):
        return b"x"
    # Everybody is in group v-7 besides their own, so that only the other side of a membership is selective.
    return f"v-{n}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    found = open_database(DatabaseSettings(url=url))

    def fill() -> None:
        with found.engine.begin() as connection:
            for table in GROWING:
                rows = [{column.name: _value(column, n) for column in table.columns} for n in range(ROWS)]
                connection.execute(insert(table), rows)
            connection.execute(text("UPDATE identity_privilege SET name = '*' WHERE name = 'v-9'"))
        if not found.is_sqlite:  # nobody gathers statistics there: the plans are those of an embedded mesh
            with found.reader.connect() as connection:
                for table in GROWING:
                    connection.execute(text(f"ANALYZE TABLE {table.name}"))

    await asyncio.to_thread(fill)
    yield found
    found.close()


USERS = (
    UserFilter(id=RARE),
    UserFilter(ids=(RARE, "v-8")),
    UserFilter(first_name=RARE),
    UserFilter(first_name_like="v-77%"),
    UserFilter(last_name=RARE),
    UserFilter(last_name_like="v-77%"),
    UserFilter(display_name=RARE),
    UserFilter(display_name_like="v-77%"),
    UserFilter(email=RARE),
    UserFilter(email_like="v-77%"),
    UserFilter(member_of_group=RARE),
    UserFilter(member_of_groups=(RARE, "v-8")),
    UserFilter(tenant_id=RARE),
)
GROUPS = (
    GroupFilter(id=RARE),
    GroupFilter(ids=(RARE, "v-8")),
    GroupFilter(name=RARE),
    GroupFilter(name_like="v-77%"),
    GroupFilter(type=RARE),
    GroupFilter(member=RARE),
    GroupFilter(tenant_id=RARE),
)
PRIVILEGES = (
    PrivilegeFilter(id=RARE),
    PrivilegeFilter(name=RARE),
    PrivilegeFilter(user_id=RARE),
    PrivilegeFilter(group_id=RARE),
)
TENANTS = (TenantFilter(id=RARE), TenantFilter(name=RARE), TenantFilter(name_like="v-77%"))


async def test_every_selective_filter_of_a_list_is_served_by_an_index(database: Database) -> None:
    lists, plans = SqlLists(database), Plans(database)
    asked: dict[str, Callable[[], Any]] = {}
    for user in USERS:
        asked[repr(user)] = lambda user=user: lists.users(user, EVERYTHING, Page())  # type: ignore[misc]
    for group in GROUPS:
        asked[repr(group)] = lambda group=group: lists.groups(group, EVERYTHING, Page())  # type: ignore[misc]
    for privilege in PRIVILEGES:
        asked[repr(privilege)] = lambda privilege=privilege: lists.privileges(privilege, Page())  # type: ignore[misc]
    for tenant in TENANTS:
        asked[repr(tenant)] = lambda tenant=tenant: lists.tenants(tenant, EVERYTHING, Page())  # type: ignore[misc]
    asked["scope"] = lambda: lists.users(UserFilter(), Scope(tenant_id=RARE), Page())
    asked["tokens"] = lambda: lists.api_tokens(ApiTokenFilter(user_id=RARE, active=True), BEGINNING, Page())

    assert await plans.bad(asked) == {}


async def test_a_list_without_filters_follows_the_index_of_its_order(database: Database) -> None:
    lists, plans = SqlLists(database), Plans(database)

    bad = {}
    for sort in ("id", "firstName", "lastName", "displayName", "email", "tenantId"):
        plans.seen.clear()
        await lists.users(UserFilter(), EVERYTHING, Page(sort=sort, order="desc"))
        # The first statement is the page; the second one counts, and must read every row.
        del plans.seen[1:]
        scans = await asyncio.to_thread(lambda: plans.scans(ordered=True))
        if scans:
            bad[sort] = scans

    assert bad == {}


async def test_logins_tokens_and_permissions_read_no_whole_table(database: Database) -> None:
    plans = Plans(database)

    def in_transaction(work: Callable[[SqlWork], object]) -> Callable[[], Any]:
        def run() -> None:
            with database.engine.connect() as connection:
                work(SqlWork(connection))
                connection.rollback()

        return lambda: asyncio.to_thread(run)

    asked = {
        "user": lambda work: work.users.find(RARE, lock=True),
        "password": lambda work: work.users.password(RARE),
        "attempts": lambda work: work.counts.known("user", RARE),
        "refresh": lambda work: work.tokens.refresh_token(RARE),
        "end session": lambda work: work.tokens.end_session(RARE),
        "end sessions": lambda work: work.tokens.end_sessions_of(RARE),
        "revoke": lambda work: work.tokens.revoke(RARE, RARE, SOON),
        "api token": lambda work: work.tokens.api_token_of(RARE),
        "count": lambda work: work.tokens.count_api_tokens(RARE, BEGINNING),
        "drop tokens": lambda work: work.tokens.drop_all_of(RARE),
        "drop user": lambda work: work.users.drop(RARE),
        "infos": lambda work: work.users.infos(RARE),
        "permissions": lambda work: work.privileges.of_user(RARE, BEGINNING),
        "administrators": lambda work: work.privileges.administrators(),
        "reached": lambda work: work.privileges.reached(RARE),
        "members": lambda work: work.groups.members(RARE),
        "of issuer": lambda work: work.groups.of_issuer(RARE),
        "is member": lambda work: work.groups.is_member(Membership(user_id=RARE, group_id=RARE)),
        "drop group": lambda work: work.groups.drop(RARE),
        "tenant used": lambda work: work.tenants.is_used(RARE),
        "answer": lambda work: work.answers.find(RARE),
        "answers of": lambda work: work.answers.drop_of(RARE),
    }

    assert await plans.bad({name: in_transaction(work) for name, work in asked.items()}) == {}


async def test_sweeping_looks_only_at_what_is_over(database: Database) -> None:
    plans = Plans(database)

    def sweep() -> None:
        with database.engine.connect() as connection:
            work = SqlWork(connection)
            work.tokens.sweep(SOON, SOON)
            work.counts.sweep(SOON)
            work.answers.sweep(SOON)
            connection.rollback()

    # SQLite takes a range with one end for no help where it counts nothing: reading on in an index is no whole table.
    assert await plans.bad({"sweep": lambda: asyncio.to_thread(sweep)}) == {}


class Plans:
    """Remembers the statements of a database, and asks how it carries them out."""

    def __init__(self, database: Database) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._database = database
        self._explaining = False
        note_statements(database, self._note)

    async def bad(self, asked: dict[str, Callable[[], Any]]) -> dict[str, list[str]]:
        """What reads a whole table, by name."""
        found = {}
        for name, ask in asked.items():
            self.seen.clear()
            await ask()
            assert self.seen, name
            scans = await asyncio.to_thread(self.scans)
            if scans:
                found[name] = scans
        return found

    def _note(self, statement: str, parameters: Any) -> None:
        if not self._explaining and "identity_" in statement and not statement.startswith("INSERT"):
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
        whole = detail.startswith("SCAN identity_") and not (ordered and "USING" in detail)
        return detail if whole or (ordered and detail == "USE TEMP B-TREE FOR ORDER BY") else ""

    @staticmethod
    def _mysql(row: Any, ordered: bool) -> str:
        table, kind = str(row["table"]), row["type"]
        if not table.startswith("identity_"):
            return ""
        few = int(row["rows"] or 0) <= ROWS // 4
        return (
            ""
            if kind != "ALL" and (few or (ordered and kind == "index"))
            else f"{table}: {kind} {row['key']} {row['rows']}"
        )
