"""What people do by RPC: send a text of their own, look into the delivery log, resend, cancel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from mesh.clock import Clock
from mesh.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from mesh.paging import Listed, Page
from notify.app.planning import Recipients, recipient_facts
from notify.app.ports import Channel, Directory
from notify.model.names import CANCELLED, CHANNELS, DIGEST, MESSAGE, PENDING, WAITING, key_of
from notify.model.records import ChannelPreference, Delivery, Facts, Person, Preferences
from notify.settings import NotifySettings

MAX_SUBJECT_CHARACTERS: Final = 998
"""Of a line of mail (RFC 5322, 2.1.1)."""


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries; None: all."""

    recipient: str | None = None
    state: str | None = None
    channel: str | None = None
    event: str | None = None
    task_id: str | None = None
    process_instance_id: str | None = None
    digest_id: str | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    tenant_id: str | None = None
    without_tenant_id: bool = False


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A message to send. Either `user_id`, or `channel` and `address`."""

    user_id: str = ""
    channel: str = ""
    address: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    task_id: str = ""
    instance_id: str = ""
    tenant_id: str = ""


class Deliveries(Protocol):
    """The delivery log. All methods raise Unavailable."""

    def add(self, deliveries: Sequence[Delivery], request_id: str) -> Awaitable[Sequence[Delivery]]:
        """Add deliveries, or return those of the first answer."""
        ...

    def change(
        self, delivery_id: str, request_id: str, method: str, change: Callable[[Delivery], Delivery]
    ) -> Awaitable[Delivery | None]:
        """Lock one and write what is made of it; None if there is none."""
        ...


class DeliveryLog(Protocol):
    """Reads the delivery log. All methods raise Unavailable."""

    def delivery(self, delivery_id: str) -> Awaitable[Delivery | None]:
        """Return one, or None."""
        ...

    def deliveries(self, wanted: DeliveryFilter, page: Page) -> Awaitable[Listed[Delivery]]:
        """Return a page. Raises InvalidArgument."""
        ...


class PreferenceReader(Protocol):
    """What users set."""

    def get(self, user_id: str) -> Awaitable[Preferences | None]:
        """Return it, or None. Raises Unavailable."""
        ...


class Notifications:
    """The use cases. `tenant_id` None: the caller may see every tenant's."""

    def __init__(
        self,
        deliveries: Deliveries,
        log: DeliveryLog,
        preferences: PreferenceReader,
        directory: Directory,
        channels: Mapping[str, Channel],
        settings: NotifySettings,
        clock: Clock,
        new_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called when something became due."""
        self._deliveries = deliveries
        self._log = log
        self._preferences = preferences
        self._directory = directory
        self._settings = settings
        self._recipients = Recipients(channels, settings)
        self._clock = clock
        self._new_id = new_id
        self._wake = wake

    async def send(self, note: Note, request_id: str, tenant_id: str | None) -> Sequence[Delivery]:
        """Send a text. Raises InvalidArgument, FailedPrecondition, Unavailable."""
        _check(note)
        if note.user_id:
            found = await self._to_user(note, tenant_id)
        else:
            way = ChannelPreference(channel=note.channel, address=note.address)
            address, error = self._recipients.address(way, None)
            if error:
                raise _refuse("address", error)
            found = [self._delivery(note, note.channel, address, None, self._settings.language)]
        sent = await self._deliveries.add(found, request_id)
        self._wake()
        return sent

    async def get(self, delivery_id: str, tenant_id: str | None) -> Delivery:
        """One delivery. Raises NotFound, Unavailable."""
        found = await self._log.delivery(delivery_id)
        if found is None or not _visible(found, tenant_id):
            raise _not_found(delivery_id)
        return found

    async def listed(self, wanted: DeliveryFilter, page: Page, tenant_id: str | None) -> Listed[Delivery]:
        """A page of deliveries. Raises InvalidArgument, Unavailable."""
        if tenant_id is not None:
            if wanted.tenant_id not in (None, tenant_id):
                return Listed(rows=[], total=0, start=0, sort="createTime", order="asc", next_page_token="")
            wanted = msgspec.structs.replace(wanted, tenant_id=tenant_id)
        return await self._log.deliveries(wanted, page)

    async def resend(self, delivery_id: str, request_id: str, tenant_id: str | None) -> Delivery:
        """Send one that is over once more. Raises NotFound, FailedPrecondition, Unavailable."""

        def change(delivery: Delivery) -> Delivery:
            _check_visible(delivery, tenant_id)
            if delivery.state in WAITING:
                raise _wrong_state(delivery, "over")
            if delivery.event == DIGEST:
                raise FailedPrecondition(
                    "digest-not-resendable",
                    f"expected a single message, found digest '{delivery_id}': resend what it collected",
                    delivery_id=delivery_id,
                )
            # On its own from now on, also if it was collected before.
            return msgspec.structs.replace(
                delivery,
                state=PENDING,
                attempts=0,
                error="",
                digest_id="",
                resends=delivery.resends + 1,
                due_at=self._clock.now(),
            )

        found = await self._deliveries.change(delivery_id, request_id, "ResendDelivery", change)
        if found is None:
            raise _not_found(delivery_id)
        self._wake()
        return found

    async def cancel(self, delivery_id: str, request_id: str, tenant_id: str | None) -> Delivery:
        """Give up one that waits. Raises NotFound, FailedPrecondition, Unavailable."""

        def change(delivery: Delivery) -> Delivery:
            _check_visible(delivery, tenant_id)
            if delivery.state not in WAITING or delivery.lease_owner:
                raise _wrong_state(delivery, "waiting")
            return msgspec.structs.replace(delivery, state=CANCELLED, due_at=None)

        found = await self._deliveries.change(delivery_id, request_id, "CancelDelivery", change)
        if found is None:
            raise _not_found(delivery_id)
        return found

    async def _to_user(self, note: Note, tenant_id: str | None) -> list[Delivery]:
        person = (await self._directory.people([note.user_id])).get(note.user_id)
        if person is not None and not (person.active and tenant_id in (None, person.tenant_id)):
            # Who they are is nobody's business in another tenant.
            raise _not_reachable(note.user_id, "nobody who could be told")
        preferences = await self._preferences.get(note.user_id) or self._recipients.usual(note.user_id)
        found, errors = [], []
        for way in self._recipients.wanted_channels(preferences, MESSAGE):
            if note.channel and way.channel != note.channel:
                continue
            address, error = self._recipients.address(way, person)
            if error:
                errors.append(error)
            else:
                language = preferences.language or self._settings.language
                found.append(self._delivery(note, way.channel, address, person, language))
        if not found:
            raise _not_reachable(note.user_id, "; ".join(errors) or "none that they want")
        return found

    def _delivery(self, note: Note, channel: str, address: str, person: Person | None, language: str) -> Delivery:
        now = self._clock.now()
        context: Facts = {
            "event": MESSAGE,
            "message": {"subject": note.subject, "text": note.text, "html": note.html},
            "recipient": recipient_facts(person, note.user_id or note.address),
            "time_zone": self._settings.time_zone,
            "language": language,
        }
        return Delivery(
            id=key_of(MESSAGE, self._new_id(), channel, address),
            event=MESSAGE,
            channel=channel,
            recipient=note.user_id,
            address=address,
            state=PENDING,
            created_at=now,
            due_at=now,
            task_id=note.task_id,
            instance_id=note.instance_id,
            tenant_id=note.tenant_id,
            language=language,
            context=context,
        )


def _check(note: Note) -> None:
    if not note.user_id and not note.channel:
        raise _refuse("user_id", "expected a user, or a channel and an address, found neither")
    if note.channel and note.channel not in CHANNELS:
        raise _refuse("channel", f"expected one of {', '.join(CHANNELS)}, found '{note.channel}'")
    if note.user_id and note.address:
        raise _refuse("address", "expected a user or an address, found both")
    if not note.text:
        raise _refuse("text", "expected a plain text, found none")
    if len(note.subject) > MAX_SUBJECT_CHARACTERS:
        message = f"expected at most {MAX_SUBJECT_CHARACTERS} characters (limit: MAX_SUBJECT_CHARACTERS)"
        raise _refuse("subject", f"{message}, found {len(note.subject)}")


def _refuse(field: str, message: str) -> InvalidArgument:
    return InvalidArgument("invalid-notification", message, violations=[FieldViolation(field, message)])


def _not_reachable(user_id: str, why: str) -> FailedPrecondition:
    message = f"expected a channel to user '{user_id}', found {why}"
    return FailedPrecondition("user-not-reachable", message, user_id=user_id)


def _visible(delivery: Delivery, tenant_id: str | None) -> bool:
    return tenant_id is None or delivery.tenant_id == tenant_id


def _check_visible(delivery: Delivery, tenant_id: str | None) -> None:
    if not _visible(delivery, tenant_id):
        raise _not_found(delivery.id)


def _wrong_state(delivery: Delivery, wanted: str) -> FailedPrecondition:
    found = f"{delivery.state}, being sent at this moment" if delivery.lease_owner else delivery.state
    return FailedPrecondition(
        "delivery-not-" + wanted,
        f"expected delivery '{delivery.id}' to be {wanted}, found it {found}",
        delivery_id=delivery.id,
    )


def _not_found(delivery_id: str) -> NotFound:
    return NotFound(
        "delivery-not-found", f"expected a delivery, found none with id '{delivery_id}'", delivery_id=delivery_id
    )
