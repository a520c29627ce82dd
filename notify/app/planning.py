"""Plans notices: who hears of it, over which channels, when and in which language.

A notice is planned when it is due, so what is no longer true (a task that is done, or has another assignee) is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from mesh.clock import Clock
from mesh.errors import Unavailable
from notify.app.contexts import facts_of
from notify.app.ports import Channel, Directory
from notify.model.names import (
    DEAD,
    DIGEST,
    INCIDENT,
    MAIL,
    PENDING,
    PROCESS_COMPLETED,
    PROCESS_FAILED,
    SUPPRESSED,
    TASK_ASSIGNED,
    TASK_CREATED,
    TASK_OVERDUE,
    key_of,
)
from notify.model.records import ChannelPreference, Delivery, Notice, Person, Preferences, Task
from notify.model.schedule import after_quiet, end_of_period, zone_of
from notify.settings import NotifySettings

_LOGGER: Final = logging.getLogger(__name__)
USER: Final = "user"
GROUP: Final = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A notice under lease, with its task as it is now (None: no task, or it is over)."""

    notice: Notice
    task: Task | None


@dataclass(slots=True, kw_only=True)
class Plan:
    """Deliveries by notice, and the digests that some are collected into, by id."""

    deliveries: dict[str, list[Delivery]] = field(default_factory=dict)
    digests: dict[str, Delivery] = field(default_factory=dict)


class PlanningStore(Protocol):
    """Notices and preferences. All methods raise Unavailable."""

    def take(self, now: datetime, limit: int, owner: str, until: datetime) -> Awaitable[Sequence[Taken]]:
        """Take due notices under a lease."""
        ...

    def preferences(self, user_ids: Sequence[str]) -> Awaitable[Mapping[str, Preferences]]:
        """Return the preferences of those who set some."""
        ...

    def operators(self, limit: int) -> Awaitable[Sequence[str]]:
        """Return who wants to hear of incidents."""
        ...

    def finish(self, notice_ids: Sequence[str], owner: str, plan: Plan) -> Awaitable[None]:
        """Write the deliveries of notices whose lease holds, and drop these notices."""
        ...

    def put_off(self, notice_ids: Sequence[str], owner: str, until: datetime) -> Awaitable[None]:
        """Give notices back, to be taken again later."""
        ...


class Planner:
    """Takes due notices and makes deliveries of them."""

    def __init__(
        self,
        store: PlanningStore,
        directory: Directory,
        channels: Mapping[str, Channel],
        settings: NotifySettings,
        clock: Clock,
        new_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called when there are new deliveries."""
        self._store = store
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._wake = wake
        self._recipients = Recipients(channels, settings)

    async def turn(self) -> int:
        """Plan one batch; returns how many notices were taken. Raises Unavailable."""
        sending = self._settings.sending
        now = self._clock.now()
        owner = self._new_id()
        until = now + timedelta(seconds=sending.lease_seconds)
        taken = await self._store.take(now, sending.batch, owner, until)
        if not taken:
            return 0
        ids = [one.notice.id for one in taken]
        try:
            plan = await self._plan(taken, now)
        except Unavailable as away:
            # Identity is away, or the database: nothing is lost, all of it is taken again.
            pause = min(sending.retry_seconds * 2 ** min(taken[0].notice.attempts, 16), sending.max_retry_seconds)
            _LOGGER.warning("%s notices wait for %s s: %s", len(ids), pause, away)
            await self._store.put_off(ids, owner, now + timedelta(seconds=pause))
            return 0
        await self._store.finish(ids, owner, plan)
        self._wake()
        return len(taken)

    async def _plan(self, taken: Sequence[Taken], now: datetime) -> Plan:
        heard = {one.notice.id: await self._audience(one) for one in taken}
        everybody = sorted({user_id for users in heard.values() for user_id in users})
        people = await self._directory.people(everybody) if everybody else {}
        preferred = await self._store.preferences(everybody) if everybody else {}
        plan = Plan()
        for one in taken:
            deliveries: list[Delivery] = []
            for user_id in heard[one.notice.id]:
                preferences = preferred.get(user_id) or self._recipients.usual(user_id)
                try:
                    deliveries += self._recipients.deliveries(one, people.get(user_id), preferences, now, plan)
                except Exception as bug:  # one person's preferences must not keep everybody else's messages back
                    _LOGGER.exception("notice %s could not be planned for %s", one.notice.id, user_id)
                    deliveries.append(_unplanned(one.notice, user_id, now, f"{type(bug).__name__}: {bug}"))
            plan.deliveries[one.notice.id] = deliveries
        return plan

    async def _audience(self, one: Taken) -> Sequence[str]:
        """The users who are to hear of it, each once, without whoever did it."""
        found: dict[str, None] = {}
        for kind, key in await self._concerned(one):
            found.update(dict.fromkeys(await self._directory.members(key) if kind == GROUP else (key,)))
        if one.notice.event in (TASK_CREATED, TASK_ASSIGNED):
            found.pop(one.notice.facts.get("actor", ""), None)
        found.pop("", None)
        limit = self._settings.max_recipients
        if len(found) > limit:
            _LOGGER.warning("%s of %s people hear of %s (setting: max_recipients)", limit, len(found), one.notice.id)
        return list(found)[:limit]

    async def _concerned(self, one: Taken) -> Iterable[tuple[str, str]]:
        notice, task = one.notice, one.task
        if notice.event in (PROCESS_COMPLETED, PROCESS_FAILED):
            return [(USER, notice.facts.get("starter", ""))]
        if notice.event == INCIDENT:
            preferring = await self._store.operators(self._settings.max_recipients)
            return [(USER, user_id) for user_id in (*self._settings.operators, *preferring)]
        if task is None:
            return []
        if notice.event == TASK_ASSIGNED:
            return [(USER, task.assignee)] if task.assignee == notice.facts.get("assignee") else []
        if notice.event == TASK_CREATED:
            return [] if task.assignee else task.candidates
        if task.assignee:
            return [(USER, task.assignee)]
        return task.candidates or [(USER, task.owner)]


class Recipients:
    """Makes a recipient's deliveries by their preferences."""

    def __init__(self, channels: Mapping[str, Channel], settings: NotifySettings) -> None:
        self._channels = channels
        self._settings = settings

    def usual(self, user_id: str) -> Preferences:
        """What holds for users who set nothing."""
        return Preferences(user_id=user_id, muted_events=self._settings.muted_events)

    def wanted_channels(self, preferences: Preferences, event: str) -> Sequence[ChannelPreference]:
        """The channels for an event."""
        usual = tuple(ChannelPreference(channel=name) for name in self._settings.channels)
        chosen = preferences.channels or usual
        return [channel for channel in chosen if not channel.events or event in channel.events]

    def deliveries(
        self, one: Taken, person: Person | None, preferences: Preferences, now: datetime, plan: Plan
    ) -> list[Delivery]:
        """The deliveries of a notice to one person; a digest that one of them needs is put into the plan."""
        notice = one.notice
        if notice.event in preferences.muted_events or not _may_hear(notice, person):
            return []
        zone = zone_of(preferences.time_zone or self._settings.time_zone)
        language = preferences.language or self._settings.language
        context = {
            **facts_of(notice, one.task, self._settings.task_url),
            "recipient": recipient_facts(person, preferences.user_id),
            "time_zone": zone.key,
            "language": language,
        }
        found = []
        for channel in self.wanted_channels(preferences, notice.event):
            address, error = self.address(channel, person)
            delivery = Delivery(
                id=key_of(
                    notice.event,
                    notice.task_id or notice.instance_id,
                    preferences.user_id,
                    channel.channel,
                    address,
                    notice.occurrence,
                ),
                event=notice.event,
                channel=channel.channel,
                recipient=preferences.user_id,
                address=address,
                state=SUPPRESSED if error else PENDING,
                error=error,
                created_at=now,
                task_id=notice.task_id,
                instance_id=notice.instance_id,
                definition_key=(context.get("process") or {}).get("definition_key", ""),
                tenant_id=notice.tenant_id,
                language=language,
                context=context,
            )
            found.append(delivery if error else self._timed(delivery, preferences, now, plan))
        return found

    def address(self, channel: ChannelPreference, person: Person | None) -> tuple[str, str]:
        """Where a channel leads for a person, and what keeps it from leading anywhere."""
        way = self._channels.get(channel.channel)
        if way is None:
            return "", f"expected a channel that is set up, found {channel.channel}"
        address = channel.address
        if not address and channel.channel == MAIL and person is not None:
            address = person.email
        if not address and way.needs_address:
            return "", f"expected an address for {channel.channel}, found none"
        try:
            way.check_address(address)
        except ValueError as wrong:
            return address, str(wrong)
        return address, ""

    def _timed(self, delivery: Delivery, preferences: Preferences, now: datetime, plan: Plan) -> Delivery:
        """When it goes out: now, after the quiet hours, or with a digest."""
        zone = zone_of(preferences.time_zone or self._settings.time_zone)
        is_overdue = delivery.event == TASK_OVERDUE
        quiet = preferences.quiet_hours
        if quiet is not None and quiet.overdue_breaks and is_overdue:
            quiet = None
        if not preferences.digest_seconds or (is_overdue and preferences.overdue_skips_digest):
            return msgspec.structs.replace(delivery, due_at=after_quiet(now, quiet, zone))
        end = after_quiet(end_of_period(now, preferences.digest_seconds, zone), preferences.quiet_hours, zone)
        digest = Delivery(
            id=key_of(
                DIGEST, delivery.recipient, delivery.channel, delivery.address, delivery.tenant_id, end.isoformat()
            ),
            event=DIGEST,
            channel=delivery.channel,
            recipient=delivery.recipient,
            address=delivery.address,
            state=PENDING,
            created_at=now,
            due_at=end,
            tenant_id=delivery.tenant_id,
            language=delivery.language,
            context={key: delivery.context[key] for key in ("recipient", "time_zone", "language")},
        )
        plan.digests[digest.id] = digest
        return msgspec.structs.replace(delivery, digest_id=digest.id)


def _unplanned(notice: Notice, user_id: str, now: datetime, why: str) -> Delivery:
    """What the log says of somebody who could not be told."""
    return Delivery(
        id=key_of("unplanned", notice.id, user_id),
        event=notice.event,
        channel="",
        recipient=user_id,
        state=DEAD,
        error=f"it could not be planned: {why}",
        created_at=now,
        task_id=notice.task_id,
        instance_id=notice.instance_id,
        tenant_id=notice.tenant_id,
    )


def recipient_facts(person: Person | None, user_id: str) -> dict[str, str]:
    """A recipient as templates see them."""
    return {"id": user_id, "name": (person.name if person is not None else "") or user_id}


def _may_hear(notice: Notice, person: Person | None) -> bool:
    """Nobody hears of another tenant's processes, and nobody who may not log in any more hears of anything."""
    if person is None:
        return True
    return person.active and (not person.tenant_id or person.tenant_id == notice.tenant_id)
