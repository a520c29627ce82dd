"""Answers to requests that carry a `request_id`, written in the transaction of what the request changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from mesh.clock import Clock
from mesh.db.statements import COMMIT, Delete, Insert, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer
from mesh.errors import InvalidArgument
from notify.storage import tables
from notify.storage.connection import Connection

T = TypeVar("T")

Work: TypeAlias = Callable[[Writer], tuple[Sequence[Statement], T]]
"""Reads what it needs, and gives the statements that change something and the answer."""

Whose: TypeAlias = Callable[[T], str]
"""Tells whose personal data an answer shows; empty: nobody's."""

_ANSWERED: Final = Sql("SELECT method, answer FROM answered_request WHERE request_id = ?")
_OLD: Final = Sql("SELECT request_id FROM answered_request WHERE answered_at < ? ORDER BY answered_at LIMIT ?")
_PUT: Final = Insert(tables.request)
_DROP: Final = Delete((tables.request, ("request_id",)))


class Answers:
    """Does work once for each request id."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def once(self, request_id: str, method: str, kind: Any, work: Work[T], whose: Whose[T] = lambda _: "") -> T:
        """Do the work, or return the first answer, of this kind, to the request.

        Raises InvalidArgument if the id was another method's, what the work raises, Unavailable.
        """

        def run(writer: Writer) -> T:
            if request_id:
                rows = writer.run([_ANSWERED.of(request_id)])[0].rows
                if rows:
                    writer.rollback()
                    first: T = _first_answer(rows[0], request_id, method, kind)
                    return first
            statements, answer = work(writer)
            if not statements:
                writer.rollback()
                return answer
            packet = list(statements)
            if request_id:
                text = msgspec.json.encode(answer).decode()
                row = (request_id, method, text, text_of_moment(self._clock.now()), whose(answer))
                packet.append(_PUT.of([row]))
            writer.run([*packet, COMMIT])
            return answer

        return await self._connection.run(run)

    async def prune(self, before: datetime, limit: int) -> int:
        """Forget answers that are older; returns how many. Raises Unavailable."""

        def run(writer: Writer) -> int:
            rows = writer.run([_OLD.of(text_of_moment(before), limit)])[0].rows
            if not rows:
                writer.rollback()
                return 0
            writer.run([_DROP.of([(row[0],) for row in rows]), COMMIT])
            return len(rows)

        return await self._connection.run(run)


def _first_answer(row: Sequence[Any], request_id: str, method: str, kind: Any) -> Any:
    if row[0] != method:
        message = f"expected the request_id of a {method}, found that of a {row[0]}: '{request_id}'"
        raise InvalidArgument("request-id-reused", message, request_id=request_id)
    return msgspec.json.decode(row[1], type=kind)
