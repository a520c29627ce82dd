"""Who people are: identity's answers, remembered for a while."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import grpc
from flowloom.identity.v1 import identity_service_pb2 as pb
from flowloom.identity.v1 import user_pb2
from flowloom.identity.v1.identity_service_pb2_grpc import IdentityServiceStub

from mesh.cache.two_level import Caches, TwoLevelCache
from mesh.errors import Unavailable
from notify.model.records import Person

CALL_SECONDS: Final = 10.0
IDS_OF_CALL: Final = 200
PAGE_SIZE: Final = 500
CACHED_ENTRIES: Final = 10_000
_Known = dict[str, Person]
"""One user, or none: a user that does not exist is remembered too."""


class Lookup(Protocol):
    """Asks identity, without remembering."""

    async def users(self, user_ids: Sequence[str]) -> Mapping[str, Person]:
        """Return those that exist. Raises Unavailable."""
        ...

    async def members(self, group_id: str, limit: int) -> list[str]:
        """Return the ids of a group's users, so many at most. Raises Unavailable."""
        ...


class IdentityLookup:
    """A `Lookup` over identity's contract. It asks in notify's own name, whoever is being served."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = IdentityServiceStub(channel)

    async def users(self, user_ids: Sequence[str]) -> Mapping[str, Person]:
        """Return those that exist. Raises Unavailable."""
        found: dict[str, Person] = {}
        for n in range(0, len(user_ids), IDS_OF_CALL):
            request = pb.ListUsersRequest(ids=user_ids[n : n + IDS_OF_CALL], size=IDS_OF_CALL)
            answer = await _own(self._stub.ListUsers, request)
            found.update((user.id, _person(user)) for user in answer.data)
        return found

    async def members(self, group_id: str, limit: int) -> list[str]:
        """Return the ids of a group's users, so many at most. Raises Unavailable."""
        found: list[str] = []
        token = ""
        while len(found) < limit:
            request = pb.ListGroupMembersRequest(group_id=group_id, size=min(PAGE_SIZE, limit), page_token=token)
            try:
                answer = await _own(self._stub.ListGroupMembers, request)
            except LookupError:
                return []
            found += [user.id for user in answer.data]
            token = answer.next_page_token
            if not token:
                break
        return found[:limit]


class CachedDirectory:
    """A `Directory`."""

    def __init__(self, lookup: Lookup, caches: Caches, seconds: float, max_members: int) -> None:
        """What changes in identity is seen after `seconds` at most."""
        self._lookup = lookup
        self._max_members = max_members
        self._people: TwoLevelCache[_Known] = caches.open(
            "notify-people", _Known, seconds=seconds, entries=CACHED_ENTRIES
        )
        self._groups: TwoLevelCache[list[str]] = caches.open(
            "notify-groups", list[str], seconds=seconds, entries=CACHED_ENTRIES
        )

    async def people(self, user_ids: Sequence[str]) -> Mapping[str, Person]:
        """Return those of the users that exist; identity is asked once for all that are not remembered."""
        asked: asyncio.Task[Mapping[str, Person]] | None = None

        async def load(user_id: str) -> _Known:
            nonlocal asked
            if asked is None:
                asked = asyncio.create_task(_collected(self._lookup, user_ids))
            person = (await asked).get(user_id)
            return {} if person is None else {user_id: person}

        known = await asyncio.gather(
            *(self._people.get(user_id, lambda user_id=user_id: load(user_id)) for user_id in user_ids)  # type: ignore[misc]
        )
        return {user_id: person for one in known for user_id, person in one.items()}

    async def members(self, group_id: str) -> Sequence[str]:
        """Return the ids of a group's users."""
        return await self._groups.get(group_id, lambda: self._lookup.members(group_id, self._max_members))


class NoDirectory:
    """A `Directory` where there is no identity: it knows nobody, so people are reached as they prefer or not at all."""

    async def people(self, user_ids: Sequence[str]) -> Mapping[str, Person]:  # noqa: ARG002 - a Directory
        """Return nobody."""
        return {}

    async def members(self, group_id: str) -> Sequence[str]:  # noqa: ARG002
        """Return nobody."""
        return ()


async def _collected(lookup: Lookup, user_ids: Sequence[str]) -> Mapping[str, Person]:
    return await lookup.users(list(dict.fromkeys(user_ids)))


async def _own(method: Callable[..., Awaitable[Any]], request: Any) -> Any:
    """Call outside of the call that is being served, so that its caller's token is not passed on but our own.

    Raises LookupError for NOT_FOUND, Unavailable for whatever keeps identity from telling.
    """

    async def call() -> Any:
        return await method(request, timeout=CALL_SECONDS)

    try:
        return await asyncio.create_task(call(), context=contextvars.Context())
    except grpc.aio.AioRpcError as failed:
        if failed.code() is grpc.StatusCode.NOT_FOUND:
            raise LookupError(failed.details()) from failed
        message = f"expected identity to tell who people are, found {failed.code().name}: {failed.details()}"
        raise Unavailable("identity-away", message) from failed


def _person(user: user_pb2.User) -> Person:
    full = " ".join(part for part in (user.first_name, user.last_name) if part)
    return Person(
        id=user.id,
        name=user.display_name or full,
        email=user.email,
        tenant_id=user.tenant_id,
        active=not user.disabled,
    )
