"""What hangs on a user besides themselves: the picture and words of info."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from identity.app.authority import Caller, user_in_sight
from identity.app.ports import Store, Work
from identity.app.requests import check_id, once, refused, request_of
from identity.model.people import Picture, User, UserInfo
from identity.settings import LimitSettings
from mesh.clock import Clock
from mesh.errors import AlreadyExists, NotFound, ResourceExhausted

PICTURE_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")
"""Images that no browser takes for a page; SVG is one that could bring scripts."""


class Profiles:
    """The use cases of pictures and info. Raises Unavailable while the database is away."""

    def __init__(self, store: Store, clock: Clock, limits: LimitSettings) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    async def picture(self, caller: Caller, user_id: str) -> Picture:
        """The picture. Raises NotFound."""

        def look(work: Work) -> Picture:
            user_in_sight(work, caller, user_id)
            found = work.users.picture(user_id)
            if found is None:
                raise NotFound("picture-not-found", f"expected a picture of user '{user_id}', found none")
            return found

        return await self._store.read(look)

    async def put_picture(self, caller: Caller, user_id: str, picture: Picture, request_id: str) -> None:
        """Set the picture. Raises NotFound, InvalidArgument, ResourceExhausted."""
        if len(picture.data) > self._limits.max_picture_bytes:
            raise ResourceExhausted(
                "picture-too-large",
                f"expected a picture of at most {self._limits.max_picture_bytes} bytes (limit: max_picture_bytes), "
                f"found {len(picture.data)}",
            )
        kind = picture.content_type.partition(";")[0].strip().lower()
        if kind not in PICTURE_TYPES or not picture.data:
            raise refused("picture", f"expected an image of {', '.join(PICTURE_TYPES)}, found '{kind[:100]}'")
        request = request_of(caller, f"UpdateUserPicture {user_id}", request_id)
        now = self._clock.now()

        def put(work: Work) -> None:
            user_in_sight(work, caller, user_id, lock=True)
            work.users.put_picture(user_id, Picture(content_type=kind, data=picture.data))

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: put(work)))

    async def infos(self, caller: Caller, user_id: str) -> Sequence[UserInfo]:
        """All info, by key. Raises NotFound."""

        def look(work: Work) -> Sequence[UserInfo]:
            user_in_sight(work, caller, user_id)
            return work.users.infos(user_id)

        return await self._store.read(look)

    async def info(self, caller: Caller, user_id: str, key: str) -> UserInfo:
        """One word of info. Raises NotFound."""
        return _named(await self.infos(caller, user_id), user_id, key)

    async def add_info(self, caller: Caller, user_id: str, info: UserInfo, request_id: str) -> UserInfo:
        """Add a word of info. Raises NotFound, AlreadyExists, InvalidArgument, ResourceExhausted."""
        check_id("key", info.key)
        self._check_value(info.value)
        request = request_of(caller, f"CreateUserInfo {user_id} {info.key}", request_id)
        now = self._clock.now()

        def add(work: Work) -> UserInfo:
            present = self._locked(work, caller, user_id)
            if any(each.key == info.key for each in present):
                raise AlreadyExists("user-info-exists", f"expected a new key, found that '{info.key}' is taken")
            if len(present) >= self._limits.max_infos:
                raise ResourceExhausted(
                    "too-much-info", f"expected at most {self._limits.max_infos} words of info (limit: max_infos)"
                )
            work.users.put_info(user_id, info)
            return info

        return await self._store.write(lambda work: once(work, request, now, UserInfo, lambda: add(work), user_id))

    async def change_info(self, caller: Caller, user_id: str, info: UserInfo, request_id: str) -> UserInfo:
        """Change a word of info. Raises NotFound, InvalidArgument."""
        self._check_value(info.value)
        request = request_of(caller, f"UpdateUserInfo {user_id} {info.key}", request_id)
        now = self._clock.now()

        def change(work: Work) -> UserInfo:
            _named(self._locked(work, caller, user_id), user_id, info.key)
            work.users.put_info(user_id, info)
            return info

        return await self._store.write(lambda work: once(work, request, now, UserInfo, lambda: change(work), user_id))

    async def drop_info(self, caller: Caller, user_id: str, key: str, request_id: str) -> None:
        """Remove a word of info. Raises NotFound."""
        request = request_of(caller, f"DeleteUserInfo {user_id} {key}", request_id)
        now = self._clock.now()

        def drop(work: Work) -> None:
            _named(self._locked(work, caller, user_id), user_id, key)
            work.users.drop_info(user_id, key)

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: drop(work)))

    @staticmethod
    def _locked(work: Work, caller: Caller, user_id: str) -> Sequence[UserInfo]:
        user: User = user_in_sight(work, caller, user_id, lock=True)
        return work.users.infos(user.id)

    def _check_value(self, value: str) -> None:
        if not value:
            raise refused("value", "expected a value, found none")
        if len(value) > self._limits.max_info_characters:
            longest = self._limits.max_info_characters
            raise refused("value", f"expected at most {longest} characters, found {len(value)}")


def _named(infos: Sequence[UserInfo], user_id: str, key: str) -> UserInfo:
    found = next((each for each in infos if each.key == key), None)
    if found is None:
        raise NotFound("user-info-not-found", f"expected info '{key}' of user '{user_id}', found none", key=key)
    return found
