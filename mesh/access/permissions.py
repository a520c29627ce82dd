"""What a user may do, looked up for each call through a cache, so that a change is effective on the next one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What identity says of a user. Of a user whom it does not know, `active` is False.

    `revoked`: ids of tokens that are not to be believed though they have not expired. `not_before`: tokens issued
    before this moment (seconds since 1970) are not, either.
    """

    user_id: str
    active: bool
    tenant_id: str = ""
    groups: tuple[str, ...] = ()
    privileges: frozenset[str] = frozenset()
    version: int = 0
    revoked: frozenset[str] = frozenset()
    not_before: float = 0.0


class PermissionSource(Protocol):
    """Knows what users may do: identity."""

    async def permissions(self, user_id: str) -> Permissions:
        """Return them. Raises Unavailable."""
        ...


class PermissionCache(Protocol):
    """Keeps permissions by user id; `mesh.cache` has the one of two levels."""

    async def get(self, key: str, load: Callable[[], Awaitable[Permissions]]) -> Permissions:
        """Return what is kept, or what `load` returns; raises what `load` raises."""
        ...

    async def invalidate(self, *keys: str) -> None:
        """Forget these, here and in every other process."""
        ...
