"""Sagas, their logs and participants, as lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, select

from engine.app.queries.paging import Listed, Page
from engine.app.sagas.ports import ParticipantFilter, SagaFilter, SagaLogFilter
from engine.app.sagas.state import OPEN_STATES, STATES, LogLine, Participant, Saga
from engine.storage.queries.conditions import Conditions
from engine.storage.queries.listing import Listing, Sorting, fetch, invalid
from engine.storage.queries.seen import seen
from engine.storage.sagas import tables
from engine.storage.sagas.participants import COLUMNS, participant_of
from engine.storage.sagas.rows import (
    BAD_LANE,
    LOG_COLUMNS,
    OPEN_LANE,
    OVER_LANE,
    SAGA_COLUMNS,
    lane_of,
    line_of,
    saga_of,
)
from mesh.errors import NotFound

_S: Final = tables.saga.c
_L: Final = tables.transaction_log.c
_P: Final = tables.saga_participant.c

_SORTING: Final = Sorting(
    list_name="sagas",
    sorts={"createTime": _S.created_at, "id": _S.id, "name": _S.name, "state": _S.state},
    default="createTime",
    key=(_S.id,),
)
_LOG_SORTING: Final = Sorting(list_name="saga log", sorts={"number": _L.number}, default="number", key=(_L.number,))
_PARTICIPANT_SORTING: Final = Sorting(
    list_name="saga participants", sorts={"id": _P.id, "name": _P.name}, default="id", key=(_P.id,)
)


def get_saga(connection: Connection, saga_id: str) -> Saga:
    """One saga. Raises NotFound."""
    row = connection.execute(seen(connection, _base().where(_S.id == saga_id), _S.tenant_id)).one_or_none()
    if row is None:
        raise not_found(saga_id)
    return saga_of(row)


def not_found(saga_id: str) -> NotFound:
    """The refusal of an unknown saga."""
    return NotFound("saga-not-found", f"expected a saga with id '{saga_id}', found none", saga_id=saga_id)


def list_sagas(connection: Connection, wanted: SagaFilter, page: Page, *, sqlite: bool) -> Listed[Saga]:
    """Sagas. Raises InvalidArgument for an unknown state."""

    def read(_: Connection, rows: Sequence[Row[Any]]) -> list[Saga]:
        return [saga_of(row) for row in rows]

    found = seen(connection, statement(wanted, sqlite=sqlite), _S.tenant_id)
    return fetch(connection, Listing(sorting=_SORTING, statement=found, read=read), wanted, page)


def statement(wanted: SagaFilter, *, sqlite: bool) -> Select[Any]:
    """The filtered list without order."""
    where = Conditions(sqlite=sqlite)
    where.equal(_S.id, wanted.id)
    where.equal(_S.name, wanted.name)
    if wanted.state:
        if wanted.state not in STATES:
            raise invalid("state", f"expected a state of {', '.join(STATES)}, found '{wanted.state}'")
        where.add(_S.lane == lane_of(wanted.state, is_open=wanted.state in OPEN_STATES))
        where.equal(_S.state, wanted.state)
    where.equal(_S.instance_id, wanted.process_instance_id)
    where.equal(_S.definition_key, wanted.process_definition_key)
    where.equal(_S.task_id, wanted.task_id)
    if wanted.open is not None:
        where.add(_S.lane == OPEN_LANE if wanted.open else _S.lane.in_((BAD_LANE, OVER_LANE)))
    where.before(_S.created_at, wanted.created_before)
    where.after(_S.created_at, wanted.created_after)
    where.tenant(_S.tenant_id, wanted)
    return where.on(_base())


def list_saga_log(connection: Connection, wanted: SagaLogFilter, page: Page, *, sqlite: bool) -> Listed[LogLine]:
    """Lines of one log. Raises NotFound for an unknown saga."""
    if connection.execute(seen(connection, select(_S.id).where(_S.id == wanted.saga_id), _S.tenant_id)).first() is None:
        raise not_found(wanted.saga_id)

    def read(_: Connection, rows: Sequence[Row[Any]]) -> list[LogLine]:
        return [line_of(row) for row in rows]

    found = log_statement(wanted, sqlite=sqlite)
    return fetch(connection, Listing(sorting=_LOG_SORTING, statement=found, read=read), wanted, page)


def log_statement(wanted: SagaLogFilter, *, sqlite: bool) -> Select[Any]:
    """The filtered log without order."""
    where = Conditions(sqlite=sqlite)
    where.add(_L.saga_id == wanted.saga_id)
    where.equal(_L.step_id, wanted.step_id)
    where.equal(_L.state, wanted.state)
    return where.on(select(*(_L[name] for name in LOG_COLUMNS)))


def list_participants(
    connection: Connection, wanted: ParticipantFilter, page: Page, *, sqlite: bool
) -> Listed[Participant]:
    """Participants."""

    def read(_: Connection, rows: Sequence[Row[Any]]) -> list[Participant]:
        return [participant_of(tuple(row)[: len(COLUMNS)]) for row in rows]

    found = seen(connection, participant_statement(wanted, sqlite=sqlite), _P.tenant_id)
    return fetch(connection, Listing(sorting=_PARTICIPANT_SORTING, statement=found, read=read), wanted, page)


def participant_statement(wanted: ParticipantFilter, *, sqlite: bool) -> Select[Any]:
    """The filtered list without order."""
    where = Conditions(sqlite=sqlite)
    where.equal(_P.name, wanted.name)
    where.equal(_P.saga_name, wanted.saga_name)
    where.equal(_P.definition_key, wanted.process_definition_key)
    return where.on(select(*(_P[name] for name in COLUMNS)))


def _base() -> Select[Any]:
    return select(*(_S[name] for name in SAGA_COLUMNS))
