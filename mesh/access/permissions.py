"""What a user may do, looked up for each call through a cache, so that a change is effective on the next one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """What identity says of a user. Of a user whom it does not know, `active` is False.

    `revoked`: ids of tokens or of sessions whose tokens are not to be believed though they have not expired. Tokens of
    a generation below `generation` are not, either.
    """

    user_id: str
    active: bool
    tenant_id: str = ""
    groups: tuple[str, ...] = ()
    privileges: frozenset[str] = frozenset()
    version: str = ""
    generation: int = 0
    revoked: frozenset[str] = frozenset()


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
