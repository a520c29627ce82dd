"""Dead letters of the bus: listed, looked at, replayed, discarded."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from mesh.bus.ports import DeadLetter, DeadLetterDesk, Replayed
from mesh.errors import NotFound
from mesh.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Listed, Page, refuse

SORT: Final = "parkedAt"


class LetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters; an empty field matches all."""

    group: str = ""
    topic: str = ""
    key: str = ""

    def matches(self, letter: DeadLetter) -> bool:
        """Tell whether the letter is one of these."""
        message = letter.parked.message
        told = ((self.group, letter.group), (self.topic, message.topic), (self.key, message.key))
        return all(not wanted or wanted == found for wanted, found in told)


class Answers(Protocol):
    """First answers to requests. Blocking."""

    def first_answer(self, request_id: str, about: str) -> Mapping[str, Any] | None:
        """Return the answer that the request got; None: it is new. Raises Unavailable."""
        ...

    def remember(self, request_id: str, about: str, reply: Mapping[str, Any]) -> None:
        """Keep the answer. Raises Unavailable."""
        ...


class DeadLetterDeeds:
    """What an operator can do. There are few letters, so all of them are looked through."""

    def __init__(self, desk: Callable[[], DeadLetterDesk]) -> None:
        self._desk = desk

    async def listed(self, wanted: LetterFilter, page: Page) -> Listed[DeadLetter]:
        """Return a page, the longest parked first. Raises InvalidArgument, Unavailable."""
        size = DEFAULT_PAGE_SIZE if page.size is None else page.size
        if not 0 <= size <= MAX_PAGE_SIZE:
            raise refuse("size", f"expected a size from 0 to {MAX_PAGE_SIZE} (limit: MAX_PAGE_SIZE), found {size}")
        if page.start < 0:
            raise refuse("start", f"expected a start from 0, found {page.start}")
        if page.sort not in ("", SORT):
            raise refuse("sort", f"expected a sort of {SORT}, found '{page.sort}'")
        order = page.order.lower() or "asc"
        if order not in ("asc", "desc"):
            raise refuse("order", f"expected an order of asc or desc, found '{page.order}'")
        letters = [letter for letter in await self._desk().letters() if wanted.matches(letter)]
        if order == "desc":
            letters.reverse()
        begin = page.start
        if page.page_token:
            if page.start:
                raise refuse("page_token", "expected a page token or a start, found both")
            begin = _behind(letters, _read_token(page.page_token), descending=order == "desc")
        rows = letters[begin : begin + size]
        more = begin + size < len(letters)
        return Listed(
            rows=rows,
            total=None if page.page_token else len(letters),
            start=page.start,
            sort=SORT,
            order=order,
            next_page_token=_token(rows[-1]) if more and rows else "",
        )

    async def one(self, letter_id: str) -> DeadLetter:
        """Return a letter with its payload. Raises NotFound, Unavailable."""
        found = await self._desk().letter(letter_id)
        if found is None:
            raise NotFound(
                "dead-letter-not-found", f"expected a dead letter, found none with id '{letter_id}'", id=letter_id
            )
        return found

    async def replay(self, letter_id: str) -> Replayed:
        """Deliver the letters of its group and key anew. Raises NotFound, Unavailable."""
        return await self._desk().replay(await self.one(letter_id))

    async def discard(self, letter_id: str) -> None:
        """Drop it for good. Raises NotFound, Unavailable."""
        await self._desk().discard(await self.one(letter_id))


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    parked_at: float
    sequence: int


def _place(letter: DeadLetter) -> tuple[float, int]:
    return letter.parked.parked_at.timestamp(), letter.parked.message.sequence


def _token(letter: DeadLetter) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(*_place(letter)))).decode().rstrip("=")


def _read_token(token: str) -> _Cursor:
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=_Cursor)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise refuse("page_token", "expected the next_page_token of an answer before, found another text") from error


def _behind(letters: list[DeadLetter], cursor: _Cursor, *, descending: bool) -> int:
    """Where the page begins: letters may have gone since, also the one that the token names."""
    place = (cursor.parked_at, cursor.sequence)
    behind = (n for n, found in enumerate(letters) if (_place(found) < place if descending else _place(found) > place))
    return next(behind, len(letters))
