"""The delivery log, read: one statement for one delivery, two for a page."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy import Connection as Reader

from mesh.db.database import Database
from mesh.outbox import in_database
from mesh.paging import Listed, Page, Sorting, fetch
from notify.app.notifications import DeliveryFilter
from notify.model.records import Delivery
from notify.storage import tables
from notify.storage.rows import DELIVERIES

_c: Final = tables.delivery.c
SORTING: Final = Sorting(
    name="deliveries",
    columns={"createTime": _c.created_at, "id": _c.id, "dueTime": _c.due_at, "recipient": _c.recipient},
    default="createTime",
    key=_c.id,
)
_EQUAL: Final = {
    "recipient": _c.recipient,
    "state": _c.state,
    "channel": _c.channel,
    "event": _c.event,
    "task_id": _c.task_id,
    "process_instance_id": _c.instance_id,
    "digest_id": _c.digest_id,
    "tenant_id": _c.tenant_id,
}


class Queries:
    """The `DeliveryLog`, and what the gauges show."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """Return one, or None. Raises Unavailable."""
        statement = select(tables.delivery).where(_c.id == delivery_id)
        row = await in_database(self._database, lambda reader: reader.execute(statement).first())
        return None if row is None else DELIVERIES.read(tuple(row))

    async def deliveries(self, wanted: DeliveryFilter, page: Page) -> Listed[Delivery]:
        """Return a page. Raises InvalidArgument, Unavailable."""
        statement = select(tables.delivery).where(*_conditions(wanted))

        def work(reader: Reader) -> Listed[Delivery]:
            return fetch(reader, SORTING, statement, wanted, page).read(lambda row: DELIVERIES.read(tuple(row)[:-2]))

        return await in_database(self._database, work)

    async def waiting(self) -> tuple[int, int]:
        """Return how many notices and deliveries have their time still to come or just now. Raises Unavailable."""
        notices = select(func.count()).select_from(tables.notice)
        deliveries = select(func.count()).select_from(tables.delivery).where(_c.due_at.is_not(None))

        def work(reader: Reader) -> tuple[int, int]:
            return int(reader.execute(notices).scalar_one()), int(reader.execute(deliveries).scalar_one())

        return await in_database(self._database, work)

    async def due(self, now: datetime) -> tuple[int, int]:
        """Return how many notices and deliveries are due or under way. Raises Unavailable."""
        notice = tables.notice.c
        notices = (
            select(func.count()).select_from(tables.notice).where(or_(notice.due_at <= now, notice.lease_owner != ""))
        )
        deliveries = (
            select(func.count())
            .select_from(tables.delivery)
            .where(or_(_c.due_at <= now, and_(_c.due_at.is_not(None), _c.lease_owner != "")))
        )

        def work(reader: Reader) -> tuple[int, int]:
            return int(reader.execute(notices).scalar_one()), int(reader.execute(deliveries).scalar_one())

        return await in_database(self._database, work)


def _conditions(wanted: DeliveryFilter) -> list[ColumnElement[bool]]:
    found = [column == value for name, column in _EQUAL.items() if (value := getattr(wanted, name)) is not None]
    if wanted.created_before is not None:
        found.append(_c.created_at < wanted.created_before)
    if wanted.created_after is not None:
        found.append(_c.created_at > wanted.created_after)
    if wanted.without_tenant_id:
        found.append(_c.tenant_id == "")
    return found
