"""Lists of what is inside instances: executions and activity instances, which are JSON and not rows.

Instances are read in batches in the order of a sort that they have a column for, each instance's items in the order in
which they began; so pages cost what they show, at any depth. A sort that only the items know, and the total, need all
items: they are read as long as they come from no more than `MAX_TREES_IN_MEMORY` instances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_

from engine.app.queries.paging import MAX_TREES_IN_MEMORY, Listed, Page
from engine.storage import tables
from engine.storage.queries.listing import Place, Scalar, Sorting, invalid, place_of

T = TypeVar("T")

BATCH: Final = 200
"""Instances read at once."""

_I: Final = tables.instance.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan(Generic[T]):
    """`instances`: the filtered instances without order. `items`: those of a batch that are wanted, in a batch's order.

    `streamed`: sorts by a column of the instance. `sorted_by`: sorts by what an item has, as texts. `key`: an item's
    instance id and its own id; own ids of an instance ascend as `items` gives them, but for the instance itself, which
    comes first.
    """

    list_name: str
    instances: Select[Any]
    items: Callable[[Connection, Sequence[Row[Any]]], Sequence[T]]
    streamed: Mapping[str, ColumnElement[str]]
    sorted_by: Mapping[str, Callable[[T], str]]
    default: str
    key: Callable[[T], tuple[str, str]]
    streamed_value: Callable[[T, str], str]


def scan(connection: Connection, listing: Scan[T], wanted: object, page: Page) -> Listed[T]:
    """Read one page. Raises InvalidArgument for paging, and for sorts that would need too many instances."""
    sorts: dict[str, Any] = {**listing.streamed, **listing.sorted_by}
    sorting = Sorting(list_name=listing.list_name, sorts=sorts, default=listing.default, key=())
    place = place_of(sorting, wanted, page)
    if place.after is not None:
        _check_cursor(place.after)
    if place.sort in listing.sorted_by:
        return _sorted_page(connection, listing, place)
    return _streamed_page(connection, listing, place)


def _check_cursor(values: Sequence[Scalar]) -> None:
    if len(values) != 3 or not all(isinstance(value, str) for value in values):
        raise invalid("page_token", "expected the next_page_token of an answer before, found another text")


def _streamed_page(connection: Connection, listing: Scan[T], place: Place) -> Listed[T]:
    wanted_rows = place.start + place.size + 1
    found: list[T] = []
    instances, complete = 0, False
    for rows, last in _batches(connection, listing, place):
        instances += len(rows)
        found.extend(_behind_cursor(listing, place, _in_order(listing, place, listing.items(connection, rows))))
        complete = last
        counted = place.after is not None or instances >= MAX_TREES_IN_MEMORY
        if complete or (len(found) >= wanted_rows and counted):
            break
    shown = found[place.start : place.start + place.size]
    total = len(found) if complete and place.after is None else None
    more = len(found) > place.start + place.size
    return _page(listing, place, shown, total, more=more, value=lambda item: listing.streamed_value(item, place.sort))


def _sorted_page(connection: Connection, listing: Scan[T], place: Place) -> Listed[T]:
    found: list[T] = []
    instances = 0
    for rows, _ in _batches(connection, listing, place, from_cursor=False):
        instances += len(rows)
        if instances > MAX_TREES_IN_MEMORY:
            raise invalid(
                "sort",
                f"expected at most {MAX_TREES_IN_MEMORY} process instances to sort by {place.sort} (limit: "
                f"MAX_TREES_IN_MEMORY), found more: filter by an instance, or sort by {', '.join(listing.streamed)}",
            )
        found.extend(listing.items(connection, rows))
    by = listing.sorted_by[place.sort]

    def order(item: T) -> tuple[str, str, str]:
        return (by(item), *listing.key(item))

    found.sort(key=order, reverse=place.descending)
    total = len(found)
    if place.after is not None:
        after = tuple(map(str, place.after))
        found = [item for item in found if (order(item) < after if place.descending else order(item) > after)]
    shown = found[place.start : place.start + place.size]
    more = len(found) > place.start + place.size
    return _page(listing, place, shown, total if place.after is None else None, more=more, value=by)


def _page(
    listing: Scan[T], place: Place, shown: Sequence[T], total: int | None, *, more: bool, value: Callable[[T], str]
) -> Listed[T]:
    token = place.token((value(shown[-1]), *listing.key(shown[-1]))) if more and shown else ""
    return Listed(rows=shown, total=total, next_page_token=token, start=place.start, sort=place.sort, order=place.order)


def _batches(
    connection: Connection, listing: Scan[T], place: Place, *, from_cursor: bool = True
) -> Iterator[tuple[Sequence[Row[Any]], bool]]:
    """Batches of instances, and whether each is the last one; from the cursor's own instance on."""
    by = listing.streamed.get(place.sort, _I.id)
    ordered = listing.instances.add_columns(by.label("by")).order_by(
        *((by.desc(), _I.id.desc()) if place.descending else (by.asc(), _I.id.asc()))
    )
    position: tuple[str, str] | None = None
    if place.after is not None and from_cursor:
        position = (str(place.after[0]), str(place.after[1]))
    inclusive = True
    while True:
        statement = ordered.limit(BATCH)
        if position is not None:
            statement = statement.where(_from(by, position, descending=place.descending, inclusive=inclusive))
        rows = connection.execute(statement).all()
        last = len(rows) < BATCH
        yield rows, last
        if last:
            return
        position, inclusive = (rows[-1].by, rows[-1].id), False


def _from(
    by: ColumnElement[str], position: tuple[str, str], *, descending: bool, inclusive: bool
) -> ColumnElement[bool]:
    value, instance_id = position
    key = _I.id
    if descending:
        behind = key <= instance_id if inclusive else key < instance_id
        return behind if by is key else and_(by <= value, or_(by < value, behind))
    behind = key >= instance_id if inclusive else key > instance_id
    return behind if by is key else and_(by >= value, or_(by > value, behind))


def _in_order(listing: Scan[T], place: Place, items: Sequence[T]) -> Sequence[T]:
    """A batch's items instance by instance; each instance's backwards too where the order descends."""
    if not place.descending:
        return items
    found: list[T] = []
    of_one: list[T] = []
    instance_id = ""
    for item in items:
        owner = listing.key(item)[0]
        if owner != instance_id:
            found.extend(reversed(of_one))
            of_one, instance_id = [], owner
        of_one.append(item)
    return [*found, *reversed(of_one)]


def _behind_cursor(listing: Scan[T], place: Place, items: Sequence[T]) -> Iterator[T]:
    if place.after is None:
        yield from items
        return
    _, at_instance, at_item = map(str, place.after)
    cursor = _rank(at_instance, at_item)
    for item in items:
        instance_id, item_id = listing.key(item)
        rank = _rank(instance_id, item_id)
        if instance_id != at_instance or (rank < cursor if place.descending else rank > cursor):
            yield item


def _rank(instance_id: str, item_id: str) -> tuple[bool, str]:
    """The instance itself first, whatever its id is."""
    return item_id != instance_id, item_id
