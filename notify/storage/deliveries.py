"""Deliveries under way: leases, outcomes, and what people do to them by RPC. Constant statements for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import msgspec

from mesh.clock import Clock
from mesh.db.statements import COMMIT, Delete, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer
from notify.app.sending import Outcome
from notify.model.names import DIGEST, PENDING, STATES, WAITING
from notify.model.records import Delivery
from notify.storage import tables
from notify.storage.connection import Connection
from notify.storage.requests import Answers
from notify.storage.rows import DELIVERIES

_DUE: Final = Sql(
    f"SELECT {DELIVERIES.columns} FROM delivery WHERE due_at <= ? ORDER BY due_at LIMIT ? {{skip locked}}"
)
_LEASE: Final = Sql("UPDATE delivery SET due_at = ?, lease_owner = ?, attempts = attempts + 1 WHERE id IN ?*")
_HELD: Final = Sql("SELECT id, lease_owner FROM delivery WHERE id IN ?* {for update}")
_ENTRIES: Final = Sql(
    f"SELECT {DELIVERIES.columns} FROM delivery WHERE digest_id = ? AND state = 'pending'"
    " ORDER BY created_at, id LIMIT ?"
)
_LEFT: Final = Sql("SELECT DISTINCT digest_id FROM delivery WHERE digest_id IN ?* AND state = 'pending'")
_TELL: Final = Sql(
    "UPDATE delivery SET state = ?, sent_at = ?, error = ? WHERE id IN ?* AND state = 'pending' AND digest_id <> ''"
)
_ONE: Final = Sql(f"SELECT {DELIVERIES.columns} FROM delivery WHERE id = ? {{for update}}")
_OLD: Final = Sql("SELECT id FROM delivery WHERE created_at < ? AND state IN (?, ?, ?, ?) ORDER BY created_at LIMIT ?")
_DROP: Final = Delete((tables.delivery, ("id",)))

Change: TypeAlias = Callable[[Delivery], Delivery]


class DeliveryRows:
    """The `DeliveryStore`, and the `Deliveries` of the RPCs."""

    def __init__(self, connection: Connection, answers: Answers, clock: Clock, lease_seconds: float) -> None:
        self._connection = connection
        self._answers = answers
        self._clock = clock
        self._lease_seconds = lease_seconds

    async def take(self, limit: int, owner: str) -> Sequence[Delivery]:
        """Take due deliveries under a lease; an attempt is counted when it begins. Raises Unavailable."""
        now = self._clock.now()
        until = now + timedelta(seconds=self._lease_seconds)

        def run(writer: Writer) -> Sequence[Delivery]:
            rows = writer.run([_DUE.of(text_of_moment(now), limit)])[0].rows
            found = [DELIVERIES.record(row) for row in rows]
            if not found:
                writer.rollback()
                return []
            ids = [delivery.id for delivery in found]
            writer.run([_LEASE.of(text_of_moment(until), owner, ids), COMMIT])
            return [
                msgspec.structs.replace(delivery, due_at=until, lease_owner=owner, attempts=delivery.attempts + 1)
                for delivery in found
            ]

        return await self._connection.run(run)

    async def entries(self, digest_id: str, limit: int) -> Sequence[Delivery]:
        """Return what waits for a digest, oldest first. Raises Unavailable."""
        return await self._connection.run(
            lambda writer: [DELIVERIES.record(row) for row in writer.read(_ENTRIES.of(digest_id, limit))]
        )

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Write outcomes, of those whose lease still holds; a digest with entries left over stays due.

        Raises Unavailable.
        """

        def run(writer: Writer) -> None:
            ids = sorted(outcome.delivery.id for outcome in outcomes)
            owners = {row[0]: row[1] for row in writer.run([_HELD.of(ids)])[0].rows}
            held = [found for found in outcomes if owners.get(found.delivery.id) == found.delivery.lease_owner]
            if not held:
                writer.rollback()
                return
            left = _tell_entries(writer, held)
            rows = [DELIVERIES.row(_written(found.delivery, left, self._clock)) for found in held]
            writer.run([DELIVERIES.put.of(rows), COMMIT])

        await self._connection.run(run)

    async def add(self, deliveries: Sequence[Delivery], request_id: str) -> Sequence[Delivery]:
        """Add deliveries; a request that was answered before adds nothing and returns its deliveries.

        Raises Unavailable.
        """

        def work(_: Writer) -> tuple[list[Statement], list[Delivery]]:
            return [DELIVERIES.add.of([DELIVERIES.row(delivery) for delivery in deliveries])], list(deliveries)

        def whose(found: Sequence[Delivery]) -> str:
            return found[0].recipient if found else ""

        return await self._answers.once(request_id, "SendNotification", list[Delivery], work, whose)

    async def change(self, delivery_id: str, request_id: str, method: str, change: Change) -> Delivery | None:
        """Lock one and write what `change` makes of it; None if there is none. Raises what that raises, Unavailable."""

        def work(writer: Writer) -> tuple[list[Statement], Delivery | None]:
            rows = writer.run([_ONE.of(delivery_id)])[0].rows
            if not rows:
                return [], None
            changed = change(DELIVERIES.record(rows[0]))
            return [DELIVERIES.put.of([DELIVERIES.row(changed)])], changed

        def whose(found: Delivery | None) -> str:
            return found.recipient if found is not None else ""

        return await self._answers.once(request_id, method, Delivery | None, work, whose)

    async def prune(self, before: datetime, limit: int) -> int:
        """Forget deliveries that are over and older; returns how many. Raises Unavailable."""

        def run(writer: Writer) -> int:
            rows = writer.run([_OLD.of(text_of_moment(before), *sorted(set(STATES) - WAITING), limit)])[0].rows
            if not rows:
                writer.rollback()
                return 0
            writer.run([_DROP.of([(row[0],) for row in rows]), COMMIT])
            return len(rows)

        return await self._connection.run(run)


def _tell_entries(writer: Writer, held: Sequence[Outcome]) -> set[str]:
    """Mark what digests told; return those digests that are over and have entries left.

    Their rows are locked: an entry that is added now waits for us, and opens its digest anew.
    """
    over = [found for found in held if found.delivery.event == DIGEST and found.delivery.state not in WAITING]
    if not over:
        return set()
    by_end: dict[tuple[str, str | None, str], list[str]] = {}
    for found in over:
        sent_at = found.delivery.sent_at
        end = (found.delivery.state, text_of_moment(sent_at) if sent_at else None, found.delivery.error)
        by_end.setdefault(end, []).extend(found.entries)
    packet: list[Statement] = [_TELL.of(*end, ids) for end, ids in by_end.items() if ids]
    packet.append(_LEFT.of(sorted(found.delivery.id for found in over)))
    return {row[0] for row in writer.run(packet)[-1].rows}


def _written(delivery: Delivery, left: set[str], clock: Clock) -> Delivery:
    if delivery.id not in left:
        return msgspec.structs.replace(delivery, lease_owner="")
    return msgspec.structs.replace(
        delivery, lease_owner="", state=PENDING, attempts=0, resends=delivery.resends + 1, due_at=clock.now()
    )
