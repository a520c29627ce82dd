"""What identity notes for itself in a transaction: attempts, keys, answers, and what caches must hear."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from identity.model.keys import SigningKey
from identity.model.throttling import Attempts
from identity.storage import rows, tables


class SqlCounts:
    """The `Counts` of a connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def known(self, kind: str, subject: str) -> Attempts | None:
        found = tables.attempts.c
        statement = select(found.count, found.last_at, found.blocked_until).where(*_same(kind, subject))
        row = rows.one(self._connection, statement, lock=True)
        return None if row is None else Attempts(count=row[0], last_at=row[1], blocked_until=row[2])

    def add(self, kind: str, subject: str, attempts: Attempts) -> None:
        values = {"kind": kind, "subject": subject, **_columns(attempts)}
        self._connection.execute(insert(tables.attempts).values(values))

    def put(self, kind: str, subject: str, attempts: Attempts) -> None:
        statement = update(tables.attempts).where(*_same(kind, subject)).values(_columns(attempts))
        self._connection.execute(statement)

    def drop(self, kind: str, subject: str) -> int:
        return self._connection.execute(delete(tables.attempts).where(*_same(kind, subject))).rowcount

    def sweep(self, before: datetime) -> int:
        found = tables.attempts.c
        old = select(found.kind, found.subject).where(found.last_at < before).limit(rows.SWEPT_ROWS)
        keys = self._connection.execute(old).all()
        for kind, subject in keys:
            self.drop(kind, subject)
        return len(keys)


class SqlKeys:
    """The `Keys` of a connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Sequence[SigningKey]:
        found = tables.signing_key.c
        statement = select(tables.signing_key).order_by(found.signs_from, found.kid)
        return rows.records_of(SigningKey, self._connection.execute(statement).all())

    def add(self, key: SigningKey) -> None:
        self._connection.execute(insert(tables.signing_key).values(rows.fields_of(key, tables.signing_key)))

    def seal(self, key: SigningKey) -> None:
        values = {"private": key.private, "sealed": key.sealed}
        self._connection.execute(update(tables.signing_key).where(tables.signing_key.c.kid == key.kid).values(values))

    def drop(self, kid: str) -> None:
        self._connection.execute(delete(tables.signing_key).where(tables.signing_key.c.kid == kid))


class SqlAnswers:
    """The `Answers` of a connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, request: str) -> tuple[str, str] | None:
        found = tables.answer.c
        row = rows.one(self._connection, select(found.about, found.answer).where(found.request == request))
        return None if row is None else (row[0], row[1])

    def put(self, request: str, about: str, answer: str, user_id: str, now: datetime) -> None:
        values = {"request": request, "about": about, "user_id": user_id, "answer": answer, "answered_at": now}
        self._connection.execute(insert(tables.answer).values(values))

    def drop_of(self, user_id: str) -> int:
        return self._connection.execute(delete(tables.answer).where(tables.answer.c.user_id == user_id)).rowcount

    def sweep(self, before: datetime) -> int:
        return rows.sweep(self._connection, tables.answer.c.request, tables.answer.c.answered_at < before)


def _columns(attempts: Attempts) -> dict[str, Any]:
    return {"count": attempts.count, "last_at": attempts.last_at, "blocked_until": attempts.blocked_until}


def _same(kind: str, subject: str) -> tuple[Any, ...]:
    return (tables.attempts.c.kind == kind, tables.attempts.c.subject == subject)
