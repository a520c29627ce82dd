"""What users want to be told: checked, kept."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

import msgspec

from mesh.clock import Clock
from mesh.errors import FieldViolation, InvalidArgument, NotFound, PermissionDenied
from notify.app.ports import Channel, Directory
from notify.app.templates import is_language
from notify.model.names import CHANNELS, EVENTS, MAIL
from notify.model.records import Preferences
from notify.model.schedule import MINUTES_OF_DAY, zone_of
from notify.settings import NotifySettings

MIN_DIGEST_SECONDS: Final = 60
MAX_DIGEST_SECONDS: Final = 7 * 24 * 3600
MAX_CHANNELS: Final = 20
MAX_ADDRESS_CHARACTERS: Final = 2000
MAX_USER_ID_CHARACTERS: Final = 255


class PreferenceStore(Protocol):
    """What users set. All methods raise Unavailable."""

    def get(self, user_id: str) -> Awaitable[Preferences | None]:
        """Return it, or None."""
        ...

    def put(self, preferences: Preferences, request_id: str) -> Awaitable[Preferences]:
        """Replace it."""
        ...

    def remove(self, user_id: str, request_id: str) -> Awaitable[bool]:
        """Forget it; False if there is nothing."""
        ...


class UserPreferences:
    """The use cases."""

    def __init__(
        self,
        store: PreferenceStore,
        directory: Directory,
        channels: Mapping[str, Channel],
        settings: NotifySettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._directory = directory
        self._channels = channels
        self._settings = settings
        self._clock = clock

    async def check_visible(self, user_id: str, tenant_id: str | None) -> None:
        """Refuse a caller who sees one tenant (None: all) a user of another. Raises PermissionDenied, Unavailable."""
        if tenant_id is None:
            return
        person = (await self._directory.people([user_id])).get(user_id)
        if (person.tenant_id if person is not None else "") != tenant_id:
            message = f"expected a user of the caller's tenant, found '{user_id}'"
            raise PermissionDenied("foreign-tenant", message, user_id=user_id)

    async def get(self, user_id: str) -> Preferences:
        """What a user set, or what holds without. Raises Unavailable."""
        found = await self._store.get(user_id)
        return found or Preferences(user_id=user_id, muted_events=self._settings.muted_events)

    async def put(self, preferences: Preferences, request_id: str) -> Preferences:
        """Replace what a user set. Raises InvalidArgument naming every wrong field, Unavailable."""
        faults = list(self._faults(preferences))
        if faults:
            message = "; ".join(f"{fault.field}: {fault.description}" for fault in faults)
            raise InvalidArgument("invalid-preferences", message, violations=faults)
        return await self._store.put(msgspec.structs.replace(preferences, updated_at=self._clock.now()), request_id)

    async def delete(self, user_id: str, request_id: str) -> None:
        """Forget what a user set. Raises NotFound, Unavailable."""
        if not await self._store.remove(user_id, request_id):
            message = f"expected preferences of user '{user_id}', found none"
            raise NotFound("preferences-not-found", message, user_id=user_id)

    def _faults(self, wanted: Preferences) -> list[FieldViolation]:
        faults: list[FieldViolation] = []

        def fault(field: str, description: str) -> None:
            faults.append(FieldViolation(f"preferences.{field}", description))

        if not wanted.user_id or len(wanted.user_id) > MAX_USER_ID_CHARACTERS:
            faults.append(
                FieldViolation(
                    "user_id", f"expected an id of at most {MAX_USER_ID_CHARACTERS} characters, found another"
                )
            )
        if wanted.language and not is_language(wanted.language):
            fault("language", f"expected a language such as de or de-AT, found '{wanted.language}'")
        if wanted.time_zone:
            try:
                zone_of(wanted.time_zone)
            except ValueError as wrong:
                fault("time_zone", str(wrong))
        if len(wanted.channels) > MAX_CHANNELS:
            fault("channels", f"expected at most {MAX_CHANNELS} (limit: MAX_CHANNELS), found {len(wanted.channels)}")
        for n, channel in enumerate(wanted.channels[:MAX_CHANNELS]):
            problem = self._channel_fault(channel.channel, channel.address)
            if problem:
                fault(f"channels[{n}]", problem)
            if unknown := [event for event in channel.events if event not in EVENTS]:
                fault(f"channels[{n}].events", f"expected some of {', '.join(EVENTS)}, found '{unknown[0]}'")
        if unknown := [event for event in wanted.muted_events if event not in EVENTS]:
            fault("muted_events", f"expected some of {', '.join(EVENTS)}, found '{unknown[0]}'")
        quiet = wanted.quiet_hours
        if quiet is not None and not (
            0 <= quiet.start_minute < MINUTES_OF_DAY and 0 <= quiet.end_minute < MINUTES_OF_DAY
        ):
            fault("quiet_hours", "expected a start and an end from 00:00 to 23:59, found others")
        if wanted.digest_seconds and not MIN_DIGEST_SECONDS <= wanted.digest_seconds <= MAX_DIGEST_SECONDS:
            fault("digest_period", f"expected 1 minute to 7 days, found {wanted.digest_seconds} s")
        return faults

    def _channel_fault(self, name: str, address: str) -> str:
        if name not in CHANNELS:
            return f"expected one of {', '.join(CHANNELS)}, found '{name}'"
        if len(address) > MAX_ADDRESS_CHARACTERS:
            return f"expected an address of at most {MAX_ADDRESS_CHARACTERS} characters, found {len(address)}"
        way = self._channels.get(name)
        if way is None:
            return f"expected a channel that is set up, found '{name}'"
        if not address:
            needless = name == MAIL or not way.needs_address
            return "" if needless else f"expected an address for {name}, found none"
        try:
            way.check_address(address)
        except ValueError as wrong:
            return str(wrong)
        return ""
