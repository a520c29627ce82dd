"""Between the messages of the contract and notify's values."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from flowloom.notify.v1 import delivery_pb2, notification_service_pb2, preferences_pb2, template_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import FieldViolation, InvalidArgument
from mesh.paging import Listed, Page, refuse
from notify.app.notifications import DeliveryFilter, Note
from notify.model.records import ChannelPreference, Delivery, Preferences, QuietHours, Template

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
MAX_REQUEST_ID_CHARACTERS: Final = 128
_HIDDEN: Final = "…"


# --- requests ---------------------------------------------------------------------------------------------------------


def read_page(request: Any) -> Page:
    """The paging fields that all list requests have."""
    return Page(
        start=request.start,
        size=request.size if request.HasField("size") else None,
        sort=request.sort,
        order=request.order,
        page_token=request.page_token,
    )


def request_id(given: str) -> str:
    """Raises InvalidArgument for one that is too long."""
    if len(given) > MAX_REQUEST_ID_CHARACTERS:
        message = f"expected a request_id of at most {MAX_REQUEST_ID_CHARACTERS} characters, found {len(given)}"
        raise InvalidArgument("request-id-too-long", message)
    return given


def note(request: notification_service_pb2.SendNotificationRequest, tenant_id: str) -> Note:
    """A message to send, of this tenant."""
    return Note(
        user_id=request.user_id,
        channel=request.channel,
        address=request.address,
        subject=request.subject,
        text=request.text,
        html=request.html,
        task_id=request.task_id,
        instance_id=request.process_instance_id,
        tenant_id=tenant_id,
    )


def delivery_filter(request: notification_service_pb2.ListDeliveriesRequest) -> DeliveryFilter:
    """Raises InvalidArgument for a moment that cannot be read."""
    return DeliveryFilter(
        recipient=optional(request, "recipient"),
        state=optional(request, "state"),
        channel=optional(request, "channel"),
        event=optional(request, "event"),
        task_id=optional(request, "task_id"),
        process_instance_id=optional(request, "process_instance_id"),
        digest_id=optional(request, "digest_id"),
        created_before=_moment(request, "created_before"),
        created_after=_moment(request, "created_after"),
        tenant_id=optional(request, "tenant_id"),
        without_tenant_id=request.without_tenant_id,
    )


def read_preferences(given: preferences_pb2.Preferences, user_id: str) -> Preferences:
    """What a user wants. Raises InvalidArgument for hours that are none."""
    quiet = None
    if given.HasField("quiet_hours"):
        quiet = QuietHours(
            start_minute=_minute(given.quiet_hours.start, "start"),
            end_minute=_minute(given.quiet_hours.end, "end"),
            overdue_breaks=given.quiet_hours.overdue_breaks,
        )
    return Preferences(
        user_id=user_id,
        language=given.language,
        time_zone=given.time_zone,
        channels=tuple(
            ChannelPreference(channel=one.channel, address=one.address, events=tuple(one.events))
            for one in given.channels
        ),
        muted_events=tuple(given.muted_events),
        incidents=given.incidents,
        quiet_hours=quiet,
        digest_seconds=given.digest_period.seconds,
        overdue_skips_digest=given.overdue_skips_digest,
    )


def optional(request: Any, name: str) -> str | None:
    """The field if it was given."""
    return getattr(request, name) if request.HasField(name) else None


def _moment(request: Any, name: str) -> datetime | None:
    if not request.HasField(name):
        return None
    stamp: Timestamp = getattr(request, name)
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError as error:
        raise refuse(name, "expected a moment of the years 1 to 9999, found another one") from error


def _minute(text: str, name: str) -> int:
    found = _HOUR.fullmatch(text)
    if found is None:
        field = f"preferences.quiet_hours.{name}"
        message = f"expected an hour as HH:MM, found '{text}'"
        raise InvalidArgument("invalid-preferences", f"{field}: {message}", violations=[FieldViolation(field, message)])
    return int(found[1]) * 60 + int(found[2])


# --- answers ----------------------------------------------------------------------------------------------------------


def delivery(record: Delivery, domain: str) -> delivery_pb2.Delivery:
    """A row of the delivery log; its address without what opens the door there."""
    return delivery_pb2.Delivery(
        id=record.id,
        event=record.event,
        channel=record.channel,
        recipient=record.recipient or None,
        address=shown_address(record.address),
        state=record.state,
        attempts=record.attempts,
        error=record.error or None,
        subject=record.subject or None,
        message_id=record.message_id(domain),
        create_time=_stamp(record.created_at),
        due_time=_maybe_stamp(record.due_at),
        sent_time=_maybe_stamp(record.sent_at),
        task_id=record.task_id or None,
        process_instance_id=record.instance_id or None,
        process_definition_key=record.definition_key or None,
        digest_id=record.digest_id or None,
        resends=record.resends,
        tenant_id=record.tenant_id,
        language=record.language,
    )


def shown_address(address: str) -> str:
    """An address for people: of a URL the scheme, of a web address also host and path; tokens are in the rest."""
    scheme, is_url, _ = address.partition("://")
    if not is_url:
        return address
    if scheme not in ("http", "https"):
        return f"{scheme}://{_HIDDEN}"
    parts = urlsplit(address)
    return f"{scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}" + (
        f"?{_HIDDEN}" if parts.query else ""
    )


def template(record: Template) -> template_pb2.Template:
    """A template."""
    return template_pb2.Template(
        id=record.id,
        event=record.event,
        channel=record.channel,
        language=record.language,
        tenant_id=record.tenant_id,
        subject=record.subject,
        text=record.text,
        html=record.html,
        update_time=_maybe_stamp(record.updated_at),
        shipped=record.shipped,
    )


def preferences(record: Preferences) -> preferences_pb2.Preferences:
    """What a user wants; to them and to whoever may read it, addresses are shown whole."""
    quiet = record.quiet_hours
    return preferences_pb2.Preferences(
        user_id=record.user_id,
        language=record.language,
        time_zone=record.time_zone,
        channels=[
            preferences_pb2.ChannelPreference(channel=one.channel, address=one.address, events=one.events)
            for one in record.channels
        ],
        muted_events=record.muted_events,
        incidents=record.incidents,
        quiet_hours=None
        if quiet is None
        else preferences_pb2.QuietHours(
            start=_hour(quiet.start_minute), end=_hour(quiet.end_minute), overdue_breaks=quiet.overdue_breaks
        ),
        digest_period=Duration(seconds=record.digest_seconds) if record.digest_seconds else None,
        overdue_skips_digest=record.overdue_skips_digest,
        update_time=_maybe_stamp(record.updated_at),
    )


def envelope(page: Listed[Any]) -> dict[str, Any]:
    """What every list says besides its data; `size` is that of the data, as in Flowable."""
    return {
        "total": page.total,
        "start": page.start,
        "sort": page.sort,
        "order": page.order,
        "size": len(page.rows),
        "next_page_token": page.next_page_token or None,
    }


def _hour(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _stamp(moment: datetime) -> Timestamp:
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def _maybe_stamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else _stamp(moment)
