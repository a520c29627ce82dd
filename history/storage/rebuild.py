"""The database's side of a rebuild."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, func, or_, select

from history.model.rebuild import CHECKING, DONE, REFUSED, REPLAYING, Rebuild
from history.storage import deletes, erasure_tables, schema, tables
from history.storage.store import Store
from mesh.clock import Clock, SystemClock
from mesh.db.database import Database
from mesh.db.statements import COMMIT, Insert, Sql
from mesh.db.types import moment_of_text, text_of_moment
from mesh.errors import FailedPrecondition
from mesh.outbox import in_database

_WALL: Final = SystemClock()
"""For leases: processes have the clock on the wall in common, whatever time history is told that it is."""

_THE_GATE: Final = 1
FORGOTTEN_AT_ONCE: Final = 200
"""Instances, tasks and remarks that one transaction takes away again."""

_rebuild: Final = erasure_tables.rebuild.c
_root: Final = erasure_tables.rebuild_root.c
_PUT: Final = Insert(erasure_tables.rebuild)
_PUT_ROOTS: Final = Insert(erasure_tables.rebuild_root, replace=True)
_ROOTS: Final = Sql("SELECT root_id, has_start FROM rebuild_root WHERE root_id IN ?*")
_UNFINISHED: Final = Sql(f"SELECT id FROM rebuild WHERE state IN ('{CHECKING}', '{REPLAYING}') LIMIT 1 {{for update}}")
_CLEAR_ROOTS: Final = Sql("DELETE FROM rebuild_root")
_CLEAR: Final = (
    *(Sql(f"DELETE FROM {table.name}") for table in schema.DERIVED),
    Sql("DELETE FROM historic_comment WHERE told = 1"),
)
_ENTER: Final = Sql("UPDATE rebuild SET state = ?, error = ?, ended_at = ? WHERE id = ?")
_GATE: Final = Sql("SELECT ticket, lease_until FROM rebuild_gate WHERE id = 1 {for update}")
_CLOSE: Final = Insert(erasure_tables.rebuild_gate, replace=True)
_KEEP: Final = Sql("UPDATE rebuild_gate SET lease_until = ? WHERE id = 1 AND ticket = ?")
_OPEN: Final = Sql("UPDATE rebuild_gate SET ticket = '', lease_until = NULL WHERE id = 1")
_COUNT: Final = Sql("UPDATE rebuild SET messages = ? WHERE id = ?")
_FORGOTTEN: Final = Sql(
    "SELECT id FROM forgotten WHERE id > ? AND reason IN ('deleted', 'archived', 'erased') ORDER BY id LIMIT 200"
)


class RebuildRows:
    """The `RebuildStore` of a database."""

    def __init__(self, store: Store, database: Database, clock: Clock, group: str, lease_seconds: float) -> None:
        """`lease_seconds`: how long a rebuild is its process's without a sign of life."""
        self._store = store
        self._database = database
        self._clock = clock
        self._group = group
        self._lease = timedelta(seconds=lease_seconds)

    async def begin(self, rebuild: Rebuild, request_id: str, ticket: str) -> Rebuild:
        """Keep a rebuild that begins, and close the gate; with a known request, return its rebuild.

        Raises FailedPrecondition for two.
        """

        def run() -> str:
            writer = self._store.writer
            known = deletes.first_reply(writer, request_id)
            if known:
                writer.rollback()
                return known
            _, found = writer.run([_GATE.of(), _UNFINISHED.of()])
            under_way = found.rows
            if under_way:
                message = f"expected no rebuild under way, found {under_way[0][0]}"
                raise FailedPrecondition("rebuild-under-way", message, rebuild_id=under_way[0][0])
            started = text_of_moment(rebuild.started_at)
            row = (rebuild.id, rebuild.state, started, None, rebuild.requested_by, "", 0)
            remembered = [deletes.remember(request_id, self._clock, rebuild.id)] if request_id else []
            closed = _CLOSE.of([(_THE_GATE, ticket, self._lease_until())])
            writer.run([_CLEAR_ROOTS.of(), _PUT.of([row]), closed, *remembered, COMMIT])
            return rebuild.id

        begun = await self._store.in_thread(run)
        return await self.get(begun) or rebuild

    async def get(self, rebuild_id: str) -> Rebuild | None:
        """One rebuild."""
        return await self._one(_rebuild.id == rebuild_id)

    async def take_over(self, ticket: str) -> Rebuild | None:
        """Take up the rebuild whose process has given no sign of life for a lease; None if there is no such one."""

        def run() -> str:
            writer = self._store.writer
            gate, unfinished = writer.run([_GATE.of(), _UNFINISHED.of()])
            held = [row for row in gate.rows if row[0] and row[1] and moment_of_text(str(row[1])) > _WALL.now()]
            if held or not unfinished.rows:
                writer.rollback()
                return ""
            writer.run([_CLOSE.of([(_THE_GATE, ticket, self._lease_until())]), COMMIT])
            found: str = unfinished.rows[0][0]
            return found

        # Mostly there is none, and to know that takes no lock.
        if await self._one(_rebuild.state.not_in((DONE, REFUSED))) is None:
            return None
        taken = await self._store.in_thread(run)
        return await self.get(taken) if taken else None

    async def keep(self, ticket: str) -> bool:
        """Give a sign of life; False if another process has taken over."""

        def run() -> bool:
            kept, _ = self._store.writer.run([_KEEP.of(self._lease_until(), ticket), COMMIT])
            return bool(kept.affected)

        return await self._store.in_thread(run)

    async def enter(self, rebuild_id: str, state: str, ticket: str, error: str = "") -> bool:
        """Go to another state, with the last one open the gate; False if another process has taken over."""

        def run() -> bool:
            writer = self._store.writer
            gate = writer.run([_GATE.of()])[0].rows
            if not gate or gate[0][0] != ticket:
                writer.rollback()
                return False
            ends = state in (DONE, REFUSED)
            ended = text_of_moment(self._clock.now()) if ends else None
            writer.run([_ENTER.of(state, error, ended, rebuild_id), *([_OPEN.of()] if ends else []), COMMIT])
            return True

        return await self._store.in_thread(run)

    async def count(self, rebuild_id: str, messages: int) -> None:
        """Note how many messages were read."""
        await self._write(_COUNT.of(messages, rebuild_id))

    async def note_roots(self, roots: dict[str, bool]) -> None:
        """Note roots that the stream holds, and whether with their beginning. The first message of a root tells."""

        def run() -> None:
            writer = self._store.writer
            known = {row[0] for row in writer.run([_ROOTS.of(sorted(roots))])[0].rows}
            rows = [(root_id, begins) for root_id, begins in sorted(roots.items()) if root_id not in known]
            writer.run([_PUT_ROOTS.of(rows), COMMIT] if rows else [COMMIT])

        await self._store.in_thread(run)

    async def missing(self) -> int:
        """How many recorded roots the stream does not hold with their beginning."""
        applied = tables.applied
        joined = applied.outerjoin(erasure_tables.rebuild_root, _root.root_id == applied.c.root_id)
        lost = or_(_root.root_id.is_(None), and_(_root.root_id.is_not(None), _root.has_start.is_(False)))
        return await self._number(select(func.count()).select_from(joined).where(lost))

    async def parked(self) -> int:
        """How many messages are parked."""
        letters = tables.dead_letter
        return await self._number(
            select(func.count()).select_from(letters).where(letters.c.consumer_group == self._group)
        )

    async def clear(self) -> None:
        """Delete what follows from the stream, a transaction for each table; may be called again."""
        for statement in _CLEAR:
            await self._write(statement.of())

    async def forget_again(self) -> None:
        """Delete what came back though people had deleted or archived it, some at a time."""

        def run(after: str) -> str:
            writer = self._store.writer
            ids = [row[0] for row in writer.run([_FORGOTTEN.of(after)])[0].rows]
            if ids:
                doomed = deletes.collect(writer, ids, ids, comments=ids)
                writer.run([*deletes.statements(doomed, self._clock, reason=""), COMMIT])
            else:
                writer.rollback()
            return ids[-1] if len(ids) == FORGOTTEN_AT_ONCE else ""

        last = await self._store.in_thread(lambda: run(""))
        while last:
            begin = last
            last = await self._store.in_thread(lambda begin=begin: run(begin))  # type: ignore[misc]

    def _lease_until(self) -> str:
        return text_of_moment(_WALL.now() + self._lease)

    async def _write(self, statement: Any) -> None:
        await self._store.in_thread(lambda: self._store.writer.run([statement, COMMIT]))

    async def _one(self, condition: Any) -> Rebuild | None:
        statement = select(erasure_tables.rebuild).where(condition)
        row = await in_database(self._database, lambda connection: connection.execute(statement).first())
        return None if row is None else _rebuild_of(row)

    async def _number(self, statement: Any) -> int:
        def work(connection: Connection) -> int:
            return int(connection.execute(statement).scalar_one())

        return await in_database(self._database, work)


def _rebuild_of(row: Sequence[Any]) -> Rebuild:
    return Rebuild(
        id=row[0],
        state=row[1],
        started_at=row[2],
        ended_at=row[3],
        requested_by=row[4],
        error=row[5],
        messages=row[6],
    )
