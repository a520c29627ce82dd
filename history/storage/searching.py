"""Searching in the database: a range of an index for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, or_, select

from history.app.searching import Hit, Wish
from history.model.search import VARIABLE
from history.storage.conditions import like
from history.storage.search_tables import term
from mesh.db.database import Database
from mesh.outbox import in_database

_LAST: Final = "\U0010ffff"
"""Behind every word that begins with what stands before it."""


class TermIndex:
    """The `SearchIndex` of a database: its words were written in the transaction of the recording."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(self, wish: Wish) -> Sequence[Hit]:
        """Up to `size` hits behind `after`, in the order of owner and field."""
        statement = self.statement(wish)
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        return [Hit(owner_id=row[0], field=row[1], instance_id=row[2], root_id=row[3]) for row in rows]

    def statement(self, wish: Wish) -> Select[Any]:
        """The longest word leads, since the fewest texts have it; the others are looked up in what it finds."""
        first, *others = sorted(wish.words, key=len, reverse=True)
        lead = term.alias("lead")
        conditions: list[ColumnElement[bool]] = [_begins(lead.c.term, first)]
        for n, word in enumerate(others):
            other = term.alias(f"other{n}")
            same = and_(other.c.owner_id == lead.c.owner_id, other.c.field == lead.c.field)
            conditions.append(select(other.c.owner_id).where(same, _begins(other.c.term, word)).exists())
        if wish.tenant_id is not None:
            conditions.append(lead.c.tenant_id == wish.tenant_id)
        if wish.fields:
            conditions.append(or_(*(self._of_field(lead.c.field, field) for field in wish.fields)))
        if wish.after is not None:
            owner_id, field = wish.after
            behind = or_(lead.c.owner_id > owner_id, lead.c.field > field)
            conditions.append(and_(lead.c.owner_id >= owner_id, behind))
        columns = (lead.c.owner_id, lead.c.field, lead.c.instance_id, lead.c.root_id)
        order = (lead.c.owner_id, lead.c.field)
        return select(*columns).distinct().where(*conditions).order_by(*order).limit(wish.size)

    def _of_field(self, column: ColumnElement[Any], field: str) -> ColumnElement[bool]:
        if field == VARIABLE:
            return like(column, f"{VARIABLE}%", sqlite=self._database.is_sqlite)
        return column == field


def _begins(column: ColumnElement[Any], word: str) -> ColumnElement[bool]:
    return and_(column >= word, column < word + _LAST)
