"""Pages of a list out of a database: Flowable's start, size, sort and order, or a token that goes on behind a row.

    SORTING = Sorting(name="tasks", columns={"name": task.c.name, "id": task.c.id}, default="id", key=task.c.id)
    page = fetch(connection, SORTING, select(task).where(...), filters, Page(size=20, sort="name"))

The rows come ordered by the sort column and then by the key, both in the same direction, so that an index of the column
serves. A token holds these two values of a page's last row and a mark of list, filters, sort and order: with other
ones it is refused. NULL comes before every value, as MySQL and SQLite both have it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_
from sqlalchemy.types import Integer

from mesh.db.types import UtcDateTime
from mesh.errors import FieldViolation, InvalidArgument

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 10
"""Rows of a page where nobody says how many, as in Flowable."""
MAX_PAGE_SIZE: Final = 10_000
"""Rows of a page at most; more are refused."""
MAX_START: Final = 2**31 - 1


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list. `size` None, `sort` and `order` empty: the defaults. A `page_token` excludes `start`."""

    start: int = 0
    size: int | None = None
    sort: str = ""
    order: str = ""
    page_token: str = ""


class Listed(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page. `total` is None where a token was used; `next_page_token` is empty on the last page."""

    rows: Sequence[T]
    total: int | None
    start: int
    sort: str
    order: str
    next_page_token: str

    def read(self, reader: Callable[[T], Any]) -> Listed[Any]:
        """The same page with every row read by the function."""
        return msgspec.structs.replace(self, rows=[reader(row) for row in self.rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """What a list may be sorted by, under the contract's names. `key` is unique and never NULL."""

    name: str
    columns: Mapping[str, ColumnElement[Any]]
    default: str
    key: ColumnElement[Any]


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    mark: str
    value: str | int | None
    key: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A page whose parts were checked."""

    size: int
    sort: str
    descending: bool
    mark: str
    after: _Cursor | None


def fetch(
    connection: Connection, sorting: Sorting, statement: Select[Any], filters: object, page: Page
) -> Listed[Row[Any]]:
    """Read a page of the statement's rows, which come with two columns more: the sort value and the key.

    One statement, and one more to count if the page does not tell the total by itself. Raises InvalidArgument for a
    wrong start, size, sort, order or token.
    """
    wanted = _check(sorting, filters, page)
    column, key = sorting.columns[wanted.sort], sorting.key
    ordered = statement.add_columns(column.label("sort_value"), key.label("sort_key"))
    ordered = ordered.order_by(*([column.desc(), key.desc()] if wanted.descending else [column, key]))
    if wanted.after is not None:
        ordered = ordered.where(_behind(column, key, wanted.after, descending=wanted.descending))
    if page.start:
        ordered = ordered.offset(page.start)
    found = connection.execute(ordered.limit(wanted.size + 1)).all()
    rows = found[: wanted.size]
    more = len(found) > wanted.size
    total = None
    if wanted.after is None:
        # A last page that is not beyond the end says how many there are (Flowable saves the count there too).
        told = not more and (rows or not page.start)
        total = page.start + len(rows) if told else _count(connection, statement)
    return Listed(
        rows=rows,
        total=total,
        start=page.start,
        sort=wanted.sort,
        order="desc" if wanted.descending else "asc",
        next_page_token=_token(wanted.mark, rows[-1]) if more and rows else "",
    )


def refuse(field: str, message: str) -> InvalidArgument:
    """Refuse one field of a request for a list."""
    return InvalidArgument("invalid-query", message, violations=[FieldViolation(field, message)])


def several(values: Iterable[str]) -> tuple[str, ...]:
    """The values of a filter that takes several: each may be some with commas between them, as in query parameters."""
    return tuple(part for value in values for part in value.split(","))


def _check(sorting: Sorting, filters: object, page: Page) -> _Wanted:
    size = DEFAULT_PAGE_SIZE if page.size is None else page.size
    sort = page.sort or sorting.default
    order = page.order.lower() or "asc"
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise refuse("size", f"expected a size from 0 to {MAX_PAGE_SIZE} (limit: MAX_PAGE_SIZE), found {size}")
    if not 0 <= page.start <= MAX_START:
        raise refuse("start", f"expected a start from 0 to {MAX_START}, found {page.start}")
    if sort not in sorting.columns:
        raise refuse("sort", f"expected a sort of {', '.join(sorting.columns)}, found '{sort}'")
    if order not in ("asc", "desc"):
        raise refuse("order", f"expected an order of asc or desc, found '{page.order}'")
    if page.page_token and page.start:
        raise refuse("page_token", f"expected a page token or a start, found a token and start {page.start}")
    about = repr((sorting.name, filters, sort, order)).encode()
    mark = hashlib.blake2b(about, digest_size=8).hexdigest()
    after = _read_token(page.page_token, mark) if page.page_token else None
    return _Wanted(size=size, sort=sort, descending=order == "desc", mark=mark, after=after)


def _count(connection: Connection, statement: Select[Any]) -> int:
    return int(connection.execute(statement.with_only_columns(func.count(), maintain_column_froms=True)).scalar_one())


def _behind(
    column: ColumnElement[Any], key: ColumnElement[Any], after: _Cursor, *, descending: bool
) -> ColumnElement[bool]:
    """What comes behind the row of the cursor. The condition on the column alone lets an index begin at the place."""
    last = _typed(key, after.key)
    behind_key: ColumnElement[bool] = key < last if descending else key > last
    if column is key:
        return behind_key
    value = _typed(column, after.value)
    if value is None:
        same = and_(column.is_(None), behind_key)
        return same if descending else or_(same, column.is_not(None))
    if not descending:
        return and_(column >= value, or_(column > value, behind_key))
    before: ColumnElement[bool] = and_(column <= value, or_(column < value, behind_key))
    may_be_null: bool = getattr(column, "nullable", False)
    return or_(before, column.is_(None)) if may_be_null else before


def _token(mark: str, row: Row[Any]) -> str:
    value, key = (part.isoformat() if isinstance(part, datetime) else part for part in row[-2:])
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(mark, value, key))).decode().rstrip("=")


def _read_token(token: str, mark: str) -> _Cursor:
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(text, type=_Cursor)
    except ValueError as error:  # also what base64 and msgspec raise
        raise _strange_token() from error
    if cursor.mark != mark:
        raise refuse("page_token", "expected a page token of the same list, filters, sort and order, found another one")
    return cursor


def _typed(column: ColumnElement[Any], value: str | int | None) -> Any:
    """The token's value as the column has it. Tokens can be forged: what does not fit is refused, not compared."""
    if value is None:
        return None
    if isinstance(column.type, UtcDateTime):
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise _strange_token() from error
        if moment.tzinfo is None:
            raise _strange_token()
        return moment
    if not isinstance(value, int if isinstance(column.type, Integer) else str):
        raise _strange_token()
    return value


def _strange_token() -> InvalidArgument:
    return refuse("page_token", "expected the next_page_token of an answer before, found another text")
