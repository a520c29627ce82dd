"""What notify keeps. Texts that are not given are empty, moments None; moments are aware UTC. Ids are the engine's.

Tasks and processes change while a batch of events is applied to them; outside they are read only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

import msgspec

Facts: TypeAlias = dict[str, Any]
"""JSON: what a template is given."""

Candidate: TypeAlias = tuple[str, str]
"""`user` or `group`, and the id."""


class Task(msgspec.Struct, kw_only=True):
    """An open task."""

    id: str
    root_id: str
    instance_id: str = ""
    definition_key: str = ""
    definition_name: str = ""
    instance_name: str = ""
    business_key: str = ""
    tenant_id: str = ""
    name: str = ""
    description: str = ""
    assignee: str = ""
    owner: str = ""
    priority: int = 0
    due_date: datetime | None = None
    candidates: tuple[Candidate, ...] = ()
    created_at: datetime


class Process(msgspec.Struct, kw_only=True):
    """A running process instance."""

    id: str
    root_id: str
    super_instance_id: str = ""
    definition_key: str = ""
    definition_name: str = ""
    name: str = ""
    business_key: str = ""
    tenant_id: str = ""
    start_user_id: str = ""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people are to hear of, from `due_at` on; who, is found out then.

    `occurrence` tells two of one event and subject apart: the due date, the incident, the turn of an assignment.
    """

    id: str
    event: str
    task_id: str = ""
    instance_id: str = ""
    tenant_id: str = ""
    occurrence: str = ""
    due_at: datetime
    attempts: int = 0
    lease_owner: str = ""
    facts: Facts = {}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one recipient over one channel; the rows of the delivery log.

    `due_at` is None when there is no next attempt of its own; while it is being sent, it is the end of the lease of
    `lease_owner`. `context` is what its template is given.
    """

    id: str
    event: str
    channel: str
    recipient: str = ""
    address: str = ""
    state: str
    attempts: int = 0
    error: str = ""
    subject: str = ""
    created_at: datetime
    due_at: datetime | None = None
    sent_at: datetime | None = None
    task_id: str = ""
    instance_id: str = ""
    definition_key: str = ""
    digest_id: str = ""
    resends: int = 0
    tenant_id: str = ""
    language: str = ""
    lease_owner: str = ""
    context: Facts = {}

    def message_id(self, domain: str) -> str:
        """The same for every attempt; another one after a resend, which is meant to arrive once more."""
        turn = f".{self.resends}" if self.resends else ""
        return f"<{self.id}{turn}@{domain}>"


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """Texts of an event; empty `channel` and `tenant_id`: of all that have none of their own."""

    id: str
    event: str
    channel: str = ""
    language: str
    tenant_id: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    updated_at: datetime | None = None
    shipped: bool = False


class ChannelPreference(msgspec.Struct, frozen=True, kw_only=True):
    """A channel that a user wants; `events` empty: for all."""

    channel: str
    address: str = ""
    events: tuple[str, ...] = ()


class QuietHours(msgspec.Struct, frozen=True, kw_only=True):
    """Minutes of the day from and to which nothing is delivered; over midnight if the end is not after the start."""

    start_minute: int
    end_minute: int
    overdue_breaks: bool = False


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """What a user wants. Empty texts and no channels: the settings'."""

    user_id: str
    language: str = ""
    time_zone: str = ""
    channels: tuple[ChannelPreference, ...] = ()
    muted_events: tuple[str, ...] = ()
    incidents: bool = False
    quiet_hours: QuietHours | None = None
    digest_seconds: int = 0
    overdue_skips_digest: bool = False
    updated_at: datetime | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A user as the directory knows them."""

    id: str
    name: str = ""
    email: str = ""
    tenant_id: str = ""
    active: bool = True
