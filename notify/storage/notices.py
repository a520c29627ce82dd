"""Notices on their way to deliveries: taken under a lease, with a constant number of statements for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from mesh.db.statements import COMMIT, Delete, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer
from notify.app.planning import Plan, Taken
from notify.model.records import Preferences
from notify.storage import tables
from notify.storage.connection import Connection
from notify.storage.rows import DELIVERIES, NOTICES, TASKS

_DUE: Final = Sql(f"SELECT {NOTICES.columns} FROM notice WHERE due_at <= ? ORDER BY due_at LIMIT ? {{skip locked}}")
_LEASE: Final = Sql("UPDATE notice SET due_at = ?, lease_owner = ?, attempts = attempts + 1 WHERE id IN ?*")
_HELD: Final = Sql("SELECT id FROM notice WHERE id IN ?* AND lease_owner = ? {for update}")
_LATER: Final = Sql("UPDATE notice SET due_at = ?, lease_owner = '' WHERE id IN ?* AND lease_owner = ?")
_NEXT: Final = Sql("SELECT MIN(due_at) FROM notice")
_PREFERENCES: Final = Sql("SELECT document FROM preferences WHERE user_id IN ?*")
_OPERATORS: Final = Sql("SELECT user_id FROM preferences WHERE incidents = 1 ORDER BY user_id LIMIT ?")
_DROP: Final = Delete((tables.notice, ("id",)))
# A digest that was sent meanwhile, though its period was not over for us, is sent again with what is new.
_REOPEN: Final = Sql(
    "UPDATE delivery SET state = 'pending', due_at = ?, attempts = 0, resends = resends + 1"
    " WHERE id IN ?* AND state NOT IN ('pending', 'failed')"
)


class NoticeStore:
    """The `PlanningStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def take(self, now: datetime, limit: int, owner: str, until: datetime) -> Sequence[Taken]:
        """Take due notices under a lease, with their tasks. Raises Unavailable."""

        def run(writer: Writer) -> Sequence[Taken]:
            rows = writer.run([_DUE.of(text_of_moment(now), limit)])[0].rows
            notices = [NOTICES.record(row) for row in rows]
            if not notices:
                writer.rollback()
                return []
            ids = [notice.id for notice in notices]
            tasks = sorted({notice.task_id for notice in notices if notice.task_id})
            lease = _LEASE.of(text_of_moment(until), owner, ids)
            found = writer.run([lease, TASKS.by_ids.of(tasks), COMMIT])[1]
            open_tasks = {row[0]: TASKS.record(row) for row in found.rows}
            return [Taken(notice=notice, task=open_tasks.get(notice.task_id)) for notice in notices]

        return await self._connection.run(run)

    async def preferences(self, user_ids: Sequence[str]) -> dict[str, Preferences]:
        """Return the preferences of those who set some, by user. Raises Unavailable."""

        def run(writer: Writer) -> dict[str, Preferences]:
            rows = writer.read(_PREFERENCES.of(sorted(set(user_ids)))) if user_ids else ()
            found = [msgspec.json.decode(row[0], type=Preferences) for row in rows]
            return {preferences.user_id: preferences for preferences in found}

        return await self._connection.run(run)

    async def operators(self, limit: int) -> Sequence[str]:
        """Return who wants to hear of incidents. Raises Unavailable."""
        return await self._connection.run(lambda writer: [row[0] for row in writer.read(_OPERATORS.of(limit))])

    async def finish(self, notice_ids: Sequence[str], owner: str, plan: Plan) -> None:
        """Write the deliveries of the notices and drop these, for those whose lease still holds. Raises Unavailable.

        A delivery that is there already stays as it is.
        """

        def run(writer: Writer) -> None:
            rows = writer.run([_HELD.of(sorted(notice_ids), owner)])[0].rows
            held = {row[0] for row in rows}
            deliveries = [found for notice_id in sorted(held) for found in plan.deliveries.get(notice_id, ())]
            packet: list[Statement] = []
            if deliveries:
                packet.append(DELIVERIES.add.of([DELIVERIES.row(delivery) for delivery in deliveries]))
            digests = {found.digest_id: plan.digests[found.digest_id] for found in deliveries if found.digest_id}
            if digests:
                packet.append(DELIVERIES.add.of([DELIVERIES.row(digest) for digest in digests.values()]))
                latest = max(digest.due_at for digest in digests.values() if digest.due_at is not None)
                packet.append(_REOPEN.of(text_of_moment(latest), sorted(digests)))
            if held:
                packet.append(_DROP.of([(key,) for key in sorted(held)]))
            writer.run([*packet, COMMIT])

        await self._connection.run(run)

    async def put_off(self, notice_ids: Sequence[str], owner: str, until: datetime) -> None:
        """Give notices back, to be taken again later. Raises Unavailable."""

        def run(writer: Writer) -> None:
            writer.run([_LATER.of(text_of_moment(until), sorted(notice_ids), owner), COMMIT])

        await self._connection.run(run)

    async def next_due(self) -> str | None:
        """Return when the next notice is due, as the database spells it. Raises Unavailable."""
        return await self._connection.run(lambda writer: writer.read(_NEXT.of())[0][0])
