"""What the use cases need of the world outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from notify.model.records import Facts, Person, Template


class Directory(Protocol):
    """Who users are, and who is in a group. Raises Unavailable while nobody can tell."""

    async def people(self, user_ids: Sequence[str]) -> Mapping[str, Person]:
        """Return those of the users that exist, by id."""
        ...

    async def members(self, group_id: str) -> Sequence[str]:
        """Return the ids of a group's users; none for a group that does not exist."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A message as it is sent. `html` may be empty."""

    subject: str
    text: str
    html: str


class TemplateFailed(Exception):
    """A template cannot be rendered; says what failed."""


class Renderer(Protocol):
    """Makes texts of templates, in bounded time and space."""

    async def render(self, template: Template, context: Facts) -> Texts:
        """Render. Raises TemplateFailed, Unavailable if the renderer itself is not there."""
        ...

    async def check(self, template: Template) -> None:
        """Raise TemplateFailed unless the texts are templates."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message as a channel gets it. `message_id` is the same for each attempt; `key` is it without brackets."""

    message_id: str
    key: str
    event: str
    recipient: str
    address: str
    texts: Texts
    created_at: datetime
    facts: Facts = field(default_factory=dict)
    """What it is about, for receivers that are programs."""


class SendFailed(Exception):
    """A message was not taken. `permanent`: it never will be; `retry_seconds`: what the other side asks us to wait."""

    def __init__(self, message: str, *, permanent: bool = False, retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_seconds = retry_seconds


class Channel(Protocol):
    """A way to reach people."""

    needs_address: bool
    """False where the settings say where everything goes."""

    def check_address(self, address: str) -> None:
        """Raise ValueError, saying what was expected, for an address that nothing can be sent to."""
        ...

    async def send(self, message: Outgoing) -> None:
        """Return once the other side has taken it. Raises SendFailed."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
