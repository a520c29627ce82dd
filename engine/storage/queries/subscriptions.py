"""Event subscriptions. Rows that only let an execution be found, or that wait for a trigger, are no events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, select

from engine.app.queries.filters import EventSubscriptionFilter
from engine.app.queries.paging import Listed, Page
from engine.app.queries.views import EventSubscriptionView
from engine.storage import tables
from engine.storage.queries.conditions import Conditions
from engine.storage.queries.listing import Listing, Sorting, fetch
from engine.storage.queries.seen import seen
from engine.storage.rows import SCOPE
from mesh.errors import NotFound

_S: Final = tables.subscription.c

TRIGGER: Final = "trigger"
NO_EVENTS: Final = (SCOPE, TRIGGER)

_SORTING: Final = Sorting(
    list_name="event subscriptions",
    sorts={
        "id": _S.id,
        "created": _S.created_at,
        "executionId": _S.execution_id,
        "processInstanceId": _S.instance_id,
        "processDefinitionId": _S.definition_id,
        "tenantId": _S.tenant_id,
    },
    default="id",
    key=(_S.id,),
)


def list_event_subscriptions(
    connection: Connection, wanted: EventSubscriptionFilter, page: Page, *, sqlite: bool
) -> Listed[EventSubscriptionView]:
    """What waits for events, start events included."""
    found = seen(connection, statement(wanted, sqlite=sqlite), _S.tenant_id)
    return fetch(connection, Listing(sorting=_SORTING, statement=found, read=_views), wanted, page)


def statement(wanted: EventSubscriptionFilter, *, sqlite: bool) -> Select[Any]:
    """The filtered list without order."""
    where = Conditions(sqlite=sqlite)
    where.equal(_S.id, wanted.id)
    where.equal(_S.kind, wanted.event_type)
    where.add(_S.kind.not_in(NO_EVENTS))
    where.equal(_S.name, wanted.event_name)
    where.equal(_S.element_id, wanted.activity_id)
    where.equal(_S.execution_id, wanted.execution_id)
    where.equal(_S.instance_id, wanted.process_instance_id)
    where.equal(_S.definition_id, wanted.process_definition_id)
    where.before(_S.created_at, wanted.created_before)
    where.after(_S.created_at, wanted.created_after)
    if wanted.without_process_instance_id:
        where.add(_S.instance_id == "")
    where.tenant(_S.tenant_id, wanted)
    return where.on(_base())


def get_event_subscription(connection: Connection, subscription_id: str) -> EventSubscriptionView:
    """One subscription. Raises NotFound."""
    wanted = _base().where(_S.id == subscription_id, _S.kind.not_in(NO_EVENTS))
    rows = connection.execute(seen(connection, wanted, _S.tenant_id)).all()
    if not rows:
        raise NotFound(
            "event-subscription-not-found",
            f"expected an event subscription with id '{subscription_id}', found none",
            event_subscription_id=subscription_id,
        )
    return _views(connection, rows)[0]


def _base() -> Select[Any]:
    return select(
        _S.id,
        _S.kind,
        _S.name,
        _S.element_id,
        _S.execution_id,
        _S.instance_id,
        _S.definition_id,
        _S.created_at,
        _S.configuration,
        _S.tenant_id,
    )


def _views(_: Connection, rows: Sequence[Row[Any]]) -> list[EventSubscriptionView]:
    return [
        EventSubscriptionView(
            id=row.id,
            event_type=row.kind,
            event_name=row.name,
            activity_id=row.element_id,
            execution_id=row.execution_id,
            process_instance_id=row.instance_id,
            process_definition_id=row.definition_id,
            created=row.created_at,
            configuration=row.configuration,
            tenant_id=row.tenant_id,
        )
        for row in rows
    ]
