"""Erasing a person from what was submitted, so many rows in a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from forms.app.ports import Store, Unit
from forms.app.requests import once
from forms.app.submitting import MAX_TEXT
from mesh.errors import FieldViolation, InvalidArgument

BATCH: Final = 500
"""Rows of a kind that one transaction changes."""
KINDS: Final = ("submission", "values", "answer")


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that do not tell of the person any more, by kind, and how many submissions are left since they are open."""

    removed: dict[str, int]
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonWish:
    """Whom to erase; `with_values`: the values that the person submitted go too."""

    user_id: str
    with_values: bool
    request_id: str


class Erasing:
    """The use case."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def person(self, wish: PersonWish) -> Erased:
        """Erase; the last transaction remembers the answer. Raises InvalidArgument, Unavailable."""
        if not 0 < len(wish.user_id) <= MAX_TEXT:
            found = len(wish.user_id) or "none"
            message = f"expected the id of a user, of at most {MAX_TEXT} characters, found {found}"
            raise InvalidArgument("no-user", message, violations=[FieldViolation("user_id", message)])
        removed = Counter(dict.fromkeys(KINDS, 0))
        while True:
            batch = await self._store.transact(lambda unit: _erase_batch(unit, wish))
            removed.update(batch)
            if max(batch.values()) < BATCH:
                return await self._store.transact(lambda unit: self._remember(unit, wish, removed))

    def _remember(self, unit: Unit, wish: PersonWish, removed: Counter[str]) -> Erased:
        def answer() -> str:
            erased = Erased(removed=dict(removed), open=unit.open_of(wish.user_id))
            return msgspec.json.encode(erased).decode()

        return msgspec.json.decode(once(unit, wish.request_id, "erasure", self._now(), answer), type=Erased)


def _erase_batch(unit: Unit, wish: PersonWish) -> dict[str, int]:
    ids = unit.submissions_of(wish.user_id, BATCH)
    emptied = unit.empty(ids) if ids and wish.with_values else 0
    if ids:
        unit.forget_submitter(ids)
    return {"submission": len(ids), "values": emptied, "answer": unit.drop_answers_of(wish.user_id, BATCH)}
