"""What travels over the bus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. Messages of one `key` are handled one after the other, in the order of their `sequence`.

    `event_id` is unique and stays the same when the message comes again. `sequence` is given by the source when it
    takes the message (0 before that); it grows within a key, but between keys it need not be the order in which
    messages become visible. `occurred_at` is aware UTC. `partition` and `offset`: where a broker keeps it, or -1.
    """

    topic: str
    key: str
    event_id: str
    sequence: int
    payload: bytes
    occurred_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    partition: int = -1
    offset: int = -1
