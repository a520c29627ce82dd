"""Erasing a person: nothing that notify keeps for itself tells of them any more."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from mesh.errors import FieldViolation, InvalidArgument
from notify.app.preferences import MAX_USER_ID_CHARACTERS


class RecipientStore(Protocol):
    """What is kept of people."""

    def erase(self, user_id: str, request_id: str) -> Awaitable[dict[str, int]]:
        """Delete what there is of a user; rows by kind. Raises Unavailable."""
        ...


class Erasing:
    """The use case."""

    def __init__(self, store: RecipientStore) -> None:
        self._store = store

    async def recipient(self, user_id: str, request_id: str) -> dict[str, int]:
        """Delete preferences, deliveries and answers of a user; rows by kind. Raises InvalidArgument, Unavailable."""
        if not 0 < len(user_id) <= MAX_USER_ID_CHARACTERS:
            found = len(user_id) or "none"
            message = f"expected the id of a user, of at most {MAX_USER_ID_CHARACTERS} characters, found {found}"
            raise InvalidArgument("no-user", message, violations=[FieldViolation("user_id", message)])
        return await self._store.erase(user_id, request_id)
