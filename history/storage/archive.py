"""The archive's side of the database: what is due, what lies where, and the one transaction that moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, select

from history.app.archiving import ALL_DEFINITIONS, ArchiveFilter, RunResult, Trees
from history.app.deleting import ARCHIVED
from history.app.queries import Scope
from history.model.archive import ArchivedInstance, Kept, Policy, StoredRow, WrittenFile
from history.model.search import BUSINESS_KEY, NAME, TASK_NAME, VARIABLE, SearchEntry
from history.storage import archive_tables, deletes, erasure_tables, tables, trees
from history.storage.conditions import Conditions
from history.storage.recording import term_statements
from history.storage.store import Store
from mesh.clock import Clock
from mesh.db.database import Database
from mesh.db.statements import COMMIT, Delete, Insert, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.outbox import in_database
from mesh.paging import Listed, Page, Sorting, fetch

_policy: Final = archive_tables.archive_policy.c
_file: Final = archive_tables.archive_file.c
_archived: Final = archive_tables.archived_instance.c
_instance: Final = tables.process_instance.c

RESTORED_VERSION: Final = 1 << 62
"""Of texts that came back: above all versions that a search engine may still remember; they change no more."""
POLICIES: Final = Sorting(
    name="archive-policies",
    columns={"definitionKey": _policy.definition_key},
    default="definitionKey",
    key=_policy.tenant_id,
)
ARCHIVED_INSTANCES: Final = Sorting(
    name="archived-instances",
    columns={
        "processInstanceId": _archived.id,
        "startTime": _archived.started_at,
        "endTime": _archived.ended_at,
        "archiveTime": _archived.archived_at,
        "businessKey": _archived.business_key,
        "processDefinitionKey": _archived.definition_key,
    },
    default="processInstanceId",
    key=_archived.id,
)
_PUT_POLICY: Final = Insert(archive_tables.archive_policy, replace=True)
_DROP_POLICY: Final = Delete((archive_tables.archive_policy, ("tenant_id", "definition_key")))
_PUT_FILE: Final = Insert(archive_tables.archive_file)
_DROP_FILES: Final = Delete((archive_tables.archive_file, ("id",)))
_PUT_ARCHIVED: Final = Insert(archive_tables.archived_instance, replace=True)
_DROP_ARCHIVED: Final = Delete((archive_tables.archived_instance, ("id",)))
_REMEMBER_NOT: Final = Delete((erasure_tables.forgotten, ("id",)))
_LOCK_ARCHIVED: Final = Sql("SELECT id FROM archived_instance WHERE root_id = ? {for update}")
_TERMS: Final = Sql("SELECT DISTINCT owner_id, field FROM search_term WHERE root_id IN ?*")


class ArchiveRows:
    """The `ArchiveStore` of a database."""

    def __init__(self, store: Store, database: Database, clock: Clock, *, with_terms: bool) -> None:
        """`with_terms`: the words of what comes back go into the database."""
        self._store = store
        self._database = database
        self._clock = clock
        self._with_terms = with_terms

    # --- policies ---

    async def policies(self) -> Sequence[Policy]:
        """All of them."""
        statement = select(archive_tables.archive_policy).order_by(_policy.tenant_id, _policy.definition_key)
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        return [_policy_of(row) for row in rows]

    async def list_policies(self, tenant_id: str | None, page: Page, scope: Scope) -> Listed[Policy]:
        """A page of them."""
        statement = select(archive_tables.archive_policy)
        for tenant in (tenant_id, scope):
            if tenant is not None:
                statement = statement.where(_policy.tenant_id == tenant)
        return await self._page(POLICIES, statement, (tenant_id, scope), page, _policy_of)

    async def set_policy(self, policy: Policy, request_id: str) -> Policy:
        """Keep a policy in the place of the former one; a known request changes nothing."""

        def run() -> None:
            writer = self._store.writer
            if deletes.was_answered(writer, request_id):
                writer.rollback()
                return
            row = (
                policy.tenant_id,
                policy.definition_key,
                policy.retention_days,
                text_of_moment(policy.changed_at),
                policy.changed_by,
            )
            writer.run([_PUT_POLICY.of([row]), *self._remembered(request_id), COMMIT])

        await self._store.in_thread(run)
        found = [p for p in await self.policies() if (p.tenant_id, p.definition_key) == _key_of(policy)]
        return found[0] if found else policy

    async def delete_policy(self, tenant_id: str, definition_key: str, request_id: str) -> bool:
        """Delete a policy; tells whether there was one, or the request is known."""

        def run() -> bool:
            writer = self._store.writer
            if deletes.was_answered(writer, request_id):
                writer.rollback()
                return True
            dropped = writer.run([_DROP_POLICY.of([(tenant_id, definition_key)])])[0].affected > 0
            writer.run([*self._remembered(request_id), COMMIT] if dropped else [COMMIT])
            return dropped

        return await self._store.in_thread(run)

    # --- moving ---

    async def due(self, policy: Policy, before: datetime, others: Sequence[str], limit: int) -> Sequence[str]:
        """Roots that are over since before that moment, oldest first."""
        statement = (
            select(_instance.id)
            .where(_instance.tenant_id == policy.tenant_id, _instance.super_instance_id == "")
            .where(_instance.ended_at < before)
            .order_by(_instance.ended_at)
            .limit(limit)
        )
        if policy.definition_key == ALL_DEFINITIONS:
            statement = statement.where(_instance.definition_key.not_in(others))
        else:
            statement = statement.where(_instance.definition_key == policy.definition_key)
        return await in_database(self._database, lambda connection: list(connection.execute(statement).scalars()))

    async def trees(self, root_ids: Sequence[str]) -> Trees:
        """All rows of these roots; roots of which something still runs are left out."""

        def run() -> Trees:
            writer = self._store.writer
            found = trees.read(writer, root_ids)
            writer.rollback()
            return {root: rows for root, rows in found.items() if all(_is_over(row) for row in rows)}

        return await self._store.in_thread(run)

    async def move(self, moved: Trees, file: WrittenFile) -> bool:
        """Delete the rows and note the file, in one transaction; False, and nothing, if a row is not as it was."""

        def run() -> bool:
            writer = self._store.writer
            if trees.read(writer, list(moved)) != moved:
                writer.rollback()
                return False
            rows = [row for root in moved.values() for row in root]
            terms = writer.run([_TERMS.of(sorted(moved))])[0].rows
            doomed = trees.doomed(rows, [(row[0], row[1]) for row in terms])
            now = text_of_moment(self._clock.now())
            instances = [row for row in rows if row.is_instance]
            packet: list[Statement] = deletes.statements(doomed, self._clock, ARCHIVED)
            packet.append(_PUT_ARCHIVED.of([_archived_row(row, file.name, now) for row in instances]))
            packet.append(
                _PUT_FILE.of([(file.name, file.name, file.sha256, len(instances), file.records, file.bytes, now)])
            )
            writer.run([*packet, COMMIT])
            return True

        return await self._store.in_thread(run)

    async def restore(self, root_id: str, rows: Sequence[StoredRow], request_id: str) -> bool:
        """Put the rows back and forget where they were; False, and nothing, if the root is no longer archived."""

        def run() -> bool:
            writer = self._store.writer
            archived = [(row[0],) for row in writer.run([_LOCK_ARCHIVED.of(root_id)])[0].rows]
            if not archived:
                writer.rollback()
                return False
            back = [
                (str(row.values["id"]),)
                for row in rows
                if row.table in ("historic_process_instance", "historic_task", "historic_comment")
            ]
            packet = [*trees.put(rows), _DROP_ARCHIVED.of(archived), _REMEMBER_NOT.of(sorted(back))]
            if self._with_terms:
                packet += term_statements(entries_of(rows))
            reply = msgspec.json.encode(sorted(row.instance_id for row in rows if row.is_instance)).decode()
            packet += [deletes.remember(request_id, self._clock, reply)] if request_id else []
            writer.run([*packet, COMMIT])
            return True

        return await self._store.in_thread(run)

    async def restored_by(self, request_id: str) -> Sequence[str] | None:
        """The instances that this request brought back; None if it is not known."""

        found = await self._first_reply(request_id)
        return None if found is None else msgspec.json.decode(found or "[]", type=list[str])

    # --- what lies where ---

    async def archived(self, instance_id: str, scope: Scope) -> ArchivedInstance | None:
        """Where an instance lies."""
        statement = select(archive_tables.archived_instance).where(_archived.id == instance_id)
        if scope is not None:
            statement = statement.where(_archived.tenant_id == scope)
        row = await in_database(self._database, lambda connection: connection.execute(statement).first())
        return None if row is None else _archived_of(row)

    async def list_archived(self, wanted: ArchiveFilter, page: Page, scope: Scope) -> Listed[ArchivedInstance]:
        """A page of archived instances."""
        conditions = Conditions(sqlite=self._database.is_sqlite)
        conditions.equal(_archived.definition_key, wanted.process_definition_key)
        conditions.equal(_archived.business_key, wanted.process_business_key)
        conditions.equal(_archived.start_user_id, wanted.started_by)
        conditions.between(_archived.ended_at, wanted.finished_after, wanted.finished_before)
        conditions.equal(_archived.tenant_id, wanted.tenant_id)
        conditions.equal(_archived.root_id, wanted.root_process_instance_id)
        conditions.equal(_archived.tenant_id, scope)
        statement = select(archive_tables.archived_instance).where(*conditions.all)
        return await self._page(ARCHIVED_INSTANCES, statement, (wanted, scope), page, _archived_of)

    def kept(self, rows: Sequence[StoredRow]) -> Kept:
        """The records that these rows are."""
        return trees.kept(rows)

    def entries(self, rows: Sequence[StoredRow]) -> Sequence[SearchEntry]:
        """What of these rows can be searched."""
        return entries_of(rows)

    async def first_run(self, request_id: str) -> RunResult | None:
        """What the run of that request moved; None if it is not known."""
        reply = await self._first_reply(request_id)
        return None if reply is None else msgspec.json.decode(reply, type=RunResult)

    async def remember_run(self, request_id: str, done: RunResult) -> None:
        """Keep what that request's run moved; does nothing without a request."""
        if request_id:
            reply = msgspec.json.encode(done).decode()
            remembered = deletes.remember(request_id, self._clock, reply)
            await self._store.in_thread(lambda: self._store.writer.run([remembered, COMMIT]))

    async def _first_reply(self, request_id: str) -> str | None:
        def run() -> str | None:
            writer = self._store.writer
            found = deletes.first_reply(writer, request_id)
            writer.rollback()
            return found

        return await self._store.in_thread(run)

    async def unknown(self, names: Sequence[str]) -> Sequence[str]:
        """Those of these files that no row knows of."""
        statement = select(_file.id)
        known = await in_database(self._database, lambda connection: set(connection.execute(statement).scalars()))
        return [name for name in names if name not in known]

    async def empty_files(self) -> Sequence[str]:
        """Files of which every instance was brought back; their rows are deleted with this."""
        used = select(_archived.id).where(_archived.file_id == _file.id)
        statement = select(_file.id).where(~used.exists())
        empty = await in_database(self._database, lambda connection: list(connection.execute(statement).scalars()))
        if empty:
            await self._store.in_thread(
                lambda: self._store.writer.run([_DROP_FILES.of([(name,) for name in empty]), COMMIT])
            )
        return empty

    def _remembered(self, request_id: str) -> list[Statement]:
        return [deletes.remember(request_id, self._clock)] if request_id else []

    async def _page(
        self, sorting: Sorting, statement: Select[Any], wanted: object, page: Page, read: Any
    ) -> Listed[Any]:
        def work(connection: Connection) -> Listed[Any]:
            return fetch(connection, sorting, statement, wanted, page).read(read)

        return await in_database(self._database, work)


def entries_of(rows: Sequence[StoredRow]) -> list[SearchEntry]:
    """What of stored rows can be searched."""
    found: list[SearchEntry] = []
    for row in rows:
        v = row.values
        texts: list[tuple[str, str]] = []
        if row.is_instance:
            texts = [(NAME, str(v["name"])), (BUSINESS_KEY, str(v["business_key"]))]
        elif row.table == "historic_task":
            texts = [(TASK_NAME, str(v["name"]))]
        elif row.table == "historic_variable" and v["type"] in ("string", "integer", "long", "double", "date"):
            value = msgspec.json.decode(str(v["value"]))
            texts = [(VARIABLE + str(v["name"]), str(value)[:10] if v["type"] == "date" else str(value))]
        found += [
            SearchEntry(
                owner_id=str(v["id"]) if row.table != "historic_variable" else str(v["task_id"] or v["execution_id"]),
                field=field,
                instance_id=row.instance_id,
                task_id="",
                root_id=row.root_id,
                tenant_id=str(v["tenant_id"]),
                text=text,
                version=RESTORED_VERSION,
            )
            for field, text in texts
            if text
        ]
    return found


def _is_over(row: StoredRow) -> bool:
    return row.table not in ("historic_process_instance", "historic_task") or row.values["ended_at"] is not None


def _key_of(policy: Policy) -> tuple[str, str]:
    return policy.tenant_id, policy.definition_key


def _archived_row(row: StoredRow, file: str, now: str) -> tuple[Any, ...]:
    v = row.values
    return (
        row.instance_id,
        row.root_id,
        file,
        v["tenant_id"],
        v["definition_id"],
        v["definition_key"],
        v["business_key"],
        v["name"],
        v["start_user_id"],
        v["started_at"],
        v["ended_at"],
        v["state"],
        now,
    )


def _policy_of(row: Sequence[Any]) -> Policy:
    return Policy(tenant_id=row[0], definition_key=row[1], retention_days=row[2], changed_at=row[3], changed_by=row[4])


def _archived_of(row: Sequence[Any]) -> ArchivedInstance:
    return ArchivedInstance(
        id=row[0],
        root_id=row[1],
        file=row[2],
        tenant_id=row[3],
        definition_id=row[4],
        definition_key=row[5],
        business_key=row[6],
        name=row[7],
        start_user_id=row[8],
        started_at=row[9],
        ended_at=row[10],
        state=row[11],
        archived_at=row[12],
    )
