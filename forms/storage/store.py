"""Transactions of forms: a connection of the pool, a thread, and another try where somebody stood in the way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Select, Table, delete, func, insert, select, update

from forms.app.ports import Unit
from forms.model.records import PREPARED, Definition, Deployment, Instance, Resource
from forms.storage import tables
from mesh.db.database import Database
from mesh.db.errors import DatabaseError, DuplicateKey, StatementTooLarge, TransactionConflict, classify
from mesh.errors import ResourceExhausted, Unavailable

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Struct)

MAX_ATTEMPTS: Final = 6
NOTHING: Final = "{}"
"""The content of a submission without values."""
_FIRST_PAUSE_SECONDS: Final = 0.01
_DEPLOYMENT: Final = tables.deployment
_DEFINITION: Final = tables.definition
_INSTANCE: Final = tables.instance


class SqlStore:
    """A `Store`."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened yet."""
        self._database = database
        # SQLite has one writer at a time, and whoever waits for its file's lock sleeps and asks again: threads of this
        # process take turns before they ask.
        self._turn = threading.Lock() if database.is_sqlite else contextlib.nullcontext()

    async def transact(self, work: Callable[[Unit], T]) -> T:
        """Run the work in a transaction. Raises what it raises, ResourceExhausted, Unavailable."""
        return await asyncio.to_thread(self._attempts, work)

    def _attempts(self, work: Callable[[Unit], T]) -> T:
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return self._attempt(work)
            except Exception as error:
                found = classify(error)
                if found is None:
                    raise
                # A key that is taken was taken meanwhile: the work looks again, and finds it.
                if attempt == MAX_ATTEMPTS or not isinstance(found, TransactionConflict | DuplicateKey):
                    raise _away(found) from found
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, work: Callable[[Unit], T]) -> T:
        with self._turn, self._database.engine.connect() as connection:
            if self._database.is_sqlite:
                # The writer's lock from the start: two readers that both want to write could only fail.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            answer = work(SqlUnit(connection))
            connection.commit()
            return answer


def _away(found: DatabaseError) -> Exception:
    if isinstance(found, StatementTooLarge):
        return ResourceExhausted("row-too-large", f"expected a row that the database takes, found: {found}")
    return Unavailable("database-away", f"expected forms' database to answer, found: {found}")


class SqlUnit:
    """A `Unit`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def answered(self, request_id: str) -> tuple[str, str] | None:
        statement = select(tables.request.c.kind, tables.request.c.answer).where(
            tables.request.c.request_id == request_id
        )
        row = self._connection.execute(statement).first()
        return None if row is None else (row[0], row[1])

    def answer(self, request_id: str, kind: str, answer: str, at: datetime, user_id: str) -> None:
        row = {"request_id": request_id, "kind": kind, "answer": answer, "answered_at": at, "user_id": user_id}
        self._connection.execute(insert(tables.request), row)

    def deployment(self, deployment_id: str) -> Deployment | None:
        return self._one(_DEPLOYMENT, Deployment, _DEPLOYMENT.c.id == deployment_id)

    def deployment_of(self, parent_deployment_id: str) -> Deployment | None:
        return self._one(_DEPLOYMENT, Deployment, _DEPLOYMENT.c.parent_deployment_id == parent_deployment_id)

    def add_deployment(self, deployment: Deployment, resources: Sequence[Resource]) -> None:
        self._connection.execute(insert(_DEPLOYMENT), row_of(deployment))
        if resources:
            rows = [{"deployment_id": deployment.id, **row_of(each)} for each in resources]
            self._connection.execute(insert(tables.resource), rows)

    def set_deployment_state(self, deployment_id: str, state: str, at: datetime) -> None:
        statement = update(_DEPLOYMENT).where(_DEPLOYMENT.c.id == deployment_id).values(state=state, deployed_at=at)
        self._connection.execute(statement)

    def resources(self, deployment_id: str) -> Sequence[Resource]:
        table = tables.resource
        statement = select(table.c.name, table.c.data).where(table.c.deployment_id == deployment_id)
        rows = self._connection.execute(statement.order_by(table.c.name)).all()
        return [Resource(name=row[0], data=row[1]) for row in rows]

    def drop_deployment(self, deployment_id: str) -> None:
        self.drop_contents(deployment_id)
        self._connection.execute(delete(_DEPLOYMENT).where(_DEPLOYMENT.c.id == deployment_id))

    def drop_contents(self, deployment_id: str) -> None:
        self._connection.execute(delete(tables.resource).where(tables.resource.c.deployment_id == deployment_id))
        ids = self._connection.execute(
            select(_DEFINITION.c.id).where(_DEFINITION.c.deployment_id == deployment_id)
        ).scalars()
        self._connection.execute(delete(_DEFINITION).where(_DEFINITION.c.id.in_(ids.all())))

    def latest_versions(self, keys: Sequence[str], tenant_id: str) -> Mapping[str, int]:
        columns = _DEFINITION.c
        statement = select(columns.key, func.max(columns.version)).where(
            columns.key.in_(keys), columns.tenant_id == tenant_id
        )
        return {row[0]: row[1] for row in self._connection.execute(statement.group_by(columns.key)).all()}

    def add_definitions(self, definitions: Sequence[Definition]) -> None:
        self._connection.execute(insert(_DEFINITION), [row_of(each) for each in definitions])

    def instance(self, saga_id: str, step_id: str) -> Instance | None:
        return self._one(_INSTANCE, Instance, (_INSTANCE.c.saga_id == saga_id) & (_INSTANCE.c.step_id == step_id))

    def put_instance(self, instance: Instance, *, is_new: bool) -> None:
        row = row_of(instance)
        if is_new:
            self._connection.execute(insert(_INSTANCE), row)
        else:
            self._connection.execute(update(_INSTANCE).where(_INSTANCE.c.id == instance.id).values(row))

    def submissions_of(self, user_id: str, limit: int) -> Sequence[str]:
        statement = select(_INSTANCE.c.id).where(_INSTANCE.c.submitted_by == user_id, _INSTANCE.c.state != PREPARED)
        return self._connection.execute(statement.limit(limit).with_for_update()).scalars().all()

    def open_of(self, user_id: str) -> int:
        statement = select(func.count()).where(_INSTANCE.c.submitted_by == user_id, _INSTANCE.c.state == PREPARED)
        return int(self._connection.execute(statement).scalar_one())

    def forget_submitter(self, ids: Sequence[str]) -> None:
        self._connection.execute(update(_INSTANCE).where(_INSTANCE.c.id.in_(ids)).values(submitted_by=""))

    def empty(self, ids: Sequence[str]) -> int:
        full = _INSTANCE.c.id.in_(ids) & (_INSTANCE.c.content != NOTHING)
        return self._connection.execute(update(_INSTANCE).where(full).values(content=NOTHING)).rowcount

    def drop_answers_of(self, user_id: str, limit: int) -> int:
        key = tables.request.c.request_id
        statement = select(key).where(tables.request.c.user_id == user_id).limit(limit).with_for_update()
        found = self._connection.execute(statement).scalars().all()
        if found:
            self._connection.execute(delete(tables.request).where(key.in_(found)))
        return len(found)

    def _one(self, table: Table, kind: type[R], condition: Any) -> R | None:
        statement: Select[Any] = select(table).where(condition).with_for_update()
        row = self._connection.execute(statement).first()
        return None if row is None else record_of(kind, row)


def row_of(record: msgspec.Struct) -> dict[str, Any]:
    """Return a record as the row of its table."""
    return {name: getattr(record, name) for name in record.__struct_fields__}


def record_of(kind: type[R], row: Any) -> R:
    """Return a row, or its first columns, as a record."""
    return kind(**dict(zip(kind.__struct_fields__, row, strict=False)))
