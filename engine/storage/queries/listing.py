"""Pages of a statement: order, offset or keyset, and the total.

The order is the sort column, then a unique key, both in the same direction, so that an index of the sort column serves.
A page token is a keyset cursor: the sort value and the key of the last row, with a mark of the filters, sort and order
that it belongs to. It is opaque to clients, not secret: its values are parameters, like any filter's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Integer, Row, Select, and_, func, or_, true
from sqlalchemy.types import TypeEngine

from engine.app.queries.paging import ASCENDING, DEFAULT_PAGE_SIZE, DESCENDING, MAX_PAGE_SIZE, Listed, Page
from mesh.db.types import UtcDateTime
from mesh.errors import FieldViolation, InvalidArgument

T = TypeVar("T")
Column: TypeAlias = ColumnElement[Any]
Scalar: TypeAlias = str | int | None

MAX_START: Final = 2**31 - 1


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A page token's content; moments are ISO text."""

    mark: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """What a list can be sorted by. `key` makes the order total; none of its columns is ever NULL."""

    list_name: str
    sorts: Mapping[str, Column]
    default: str
    key: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A page, checked: how many rows to take, in which order, and after what. `size` may be 0."""

    start: int
    size: int
    sort: str
    descending: bool
    mark: str
    after: tuple[Scalar, ...] | None

    @property
    def order(self) -> str:
        """The order in the contract's word."""
        return DESCENDING if self.descending else ASCENDING

    def token(self, values: Sequence[object]) -> str:
        """The token of the page behind the row with these values."""
        plain = tuple(_plain(value) for value in values)
        return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(self.mark, plain))).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[T]):
    """A statement without order and limit, and how its rows become values (which may take one more statement)."""

    sorting: Sorting
    statement: Select[Any]
    read: Callable[[Connection, Sequence[Row[Any]]], Sequence[T]]


def place_of(sorting: Sorting, wanted: object, page: Page) -> Place:
    """Check a page. Raises InvalidArgument for a wrong start, size, sort, order or token."""
    size = DEFAULT_PAGE_SIZE if page.size is None else page.size
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise invalid("size", f"expected a size of 0 to {MAX_PAGE_SIZE} (limit: MAX_PAGE_SIZE), found {size}")
    if not 0 <= page.start <= MAX_START:
        raise invalid("start", f"expected a start of 0 to {MAX_START}, found {page.start}")
    sort = page.sort or sorting.default
    if sort not in sorting.sorts:
        raise invalid("sort", f"expected a sort of {', '.join(sorting.sorts)}, found '{page.sort}'")
    order = page.order.lower() or ASCENDING
    if order not in (ASCENDING, DESCENDING):
        raise invalid("order", f"expected an order of {ASCENDING}, {DESCENDING}, found '{page.order}'")
    mark = _mark(sorting.list_name, wanted, sort, order)
    after: tuple[Scalar, ...] | None = None
    if page.page_token:
        if page.start:
            raise invalid(
                "page_token", f"expected either a page token or a start, found a token and start {page.start}"
            )
        after = _read_token(page.page_token, mark)
    return Place(start=page.start, size=size, sort=sort, descending=order == DESCENDING, mark=mark, after=after)


def fetch(connection: Connection, listing: Listing[T], wanted: object, page: Page) -> Listed[T]:
    """Read one page: one statement, one more where a total must be counted, and those of `listing.read`."""
    place = place_of(listing.sorting, wanted, page)
    columns = _order_columns(listing.sorting, place.sort)
    statement = listing.statement.add_columns(*(column.label(f"order_{n}") for n, column in enumerate(columns)))
    statement = statement.order_by(*(c.desc() if place.descending else c.asc() for c in columns))
    if place.after is not None:
        statement = statement.where(_behind(columns, place, place.after))
    statement = statement.limit(place.size + 1)
    if place.start:
        statement = statement.offset(place.start)
    rows = connection.execute(statement).all()
    more, rows = len(rows) > place.size, rows[: place.size]
    total = None if place.after is not None else _total(connection, listing, place, len(rows), more=more)
    token = place.token(rows[-1][-len(columns) :]) if more and rows else ""
    return Listed(
        rows=listing.read(connection, rows) if rows else (),
        total=total,
        next_page_token=token,
        start=place.start,
        sort=place.sort,
        order=place.order,
    )


def invalid(field: str, message: str) -> InvalidArgument:
    """Refuse one field of a request."""
    return InvalidArgument("invalid-query", message, violations=[FieldViolation(field, message)])


def _total(connection: Connection, listing: Listing[T], place: Place, found: int, *, more: bool) -> int:
    # What was read says how many there are if the page is the last one and not behind the end (Flowable does so too).
    if not more and (found or not place.start):
        return place.start + found
    counted = listing.statement.with_only_columns(func.count(), maintain_column_froms=True)
    return int(connection.execute(counted).scalar_one())


def _order_columns(sorting: Sorting, sort: str) -> list[Column]:
    by = sorting.sorts[sort]
    return [by, *(column for column in sorting.key if column is not by)]


def _behind(columns: Sequence[Column], place: Place, values: Sequence[Scalar]) -> Column:
    """The rows after the cursor: (a, b) > (x, y), spelled so that both databases use an index for the first column."""
    if len(values) != len(columns):
        raise _bad_token()
    typed = [_typed(column.type, value) for column, value in zip(columns, values, strict=True)]
    if any(value is None for value in typed[1:]) or (typed[0] is None and not _may_be_null(columns[0])):
        raise _bad_token()
    first, rest = columns[0], list(zip(columns[1:], typed[1:], strict=True))
    condition: Column | None = None
    for column, value in reversed(rest):
        beyond = column < value if place.descending else column > value
        condition = beyond if condition is None else or_(beyond, and_(column == value, condition))
    return _from_first(first, typed[0], condition, place)


def _from_first(first: Column, value: object, behind: Column | None, place: Place) -> Column:
    """NULL comes first in ascending order, on MySQL and SQLite alike."""
    tail = behind if behind is not None else ~true()
    if value is None:
        same = and_(first.is_(None), tail)
        return same if place.descending else or_(same, first.is_not(None))
    if not place.descending:
        return first > value if behind is None else and_(first >= value, or_(first > value, tail))
    before = first < value if behind is None else and_(first <= value, or_(first < value, tail))
    return or_(before, first.is_(None)) if _may_be_null(first) else before


def _may_be_null(column: Column) -> bool:
    return bool(getattr(column, "nullable", False))


def _typed(kind: TypeEngine[Any], value: Scalar) -> object:
    if value is None:
        return None
    if isinstance(kind, UtcDateTime):
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise _bad_token()
        return moment
    if not isinstance(value, int if isinstance(kind, Integer) else str):
        raise _bad_token()
    return value


def _plain(value: object) -> Scalar:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if value is None or isinstance(value, str):
        return value
    assert isinstance(value, int), f"expected lists to be sorted by texts, whole numbers and moments, found {value!r}"
    return value


def _mark(list_name: str, wanted: object, sort: str, order: str) -> str:
    return hashlib.blake2b(repr((list_name, wanted, sort, order)).encode(), digest_size=8).hexdigest()


def _read_token(token: str, mark: str) -> tuple[Scalar, ...]:
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(data, type=_Cursor)
    except (binascii.Error, ValueError) as error:
        raise _bad_token() from error
    if cursor.mark != mark:
        found = "expected a page token of a list with the same filters, sort and order, found one of another list"
        raise invalid("page_token", found)
    return cursor.values


def _bad_token() -> InvalidArgument:
    return invalid("page_token", "expected the next_page_token of an answer before, found another text")
