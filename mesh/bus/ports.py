"""What a bus promises, and what an implementation needs from its surroundings.

- Order: a group handles the messages of one key in the order of their sequence, never two at a time.
- At least once: after a crash a group gets again what it handled since its last durable offset; a handler that records
  what it applied in the transaction of its effect makes that once.
- A handler gets batches. If one fails, the messages that fail are found by halving; such a message is tried again with
  growing pauses and then parked in the dead letters, together with what comes after it under the same key (its
  effects may need the missing one). Other keys go on meanwhile.
- A handler that raises `mesh.errors.Unavailable` says that not the message but the surroundings are at fault: the group
  waits and tries again for as long as it takes, and parks nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from mesh.bus.message import Message
from mesh.settings import setting

Handler: TypeAlias = Callable[[Sequence[Message]], Awaitable[None]]
"""Takes a batch, never empty, in the order of delivery. Returns when its effects are durable."""

Span: TypeAlias = tuple[int, int]
"""Sequences from the first to the second number, both included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """How a consumer group reads and retries."""

    batch_messages: int = setting(200, doc="The most messages that a handler gets at once.", minimum=1, maximum=10_000)
    tries: int = setting(3, doc="How often a failing message is tried before it is parked.", minimum=1, maximum=100)
    retry_seconds: float = setting(2.0, doc="The pause before the second try; each further one is twice as long.")
    away_seconds: float = setting(0.5, doc="The first pause while the surroundings are away; likewise.")
    max_retry_seconds: float = setting(30.0, doc="The longest pause between tries.")
    linger_seconds: float = setting(0.01, doc="How long to gather a batch once woken, sparing the writers' processor.")
    poll_seconds: float = setting(0.5, doc="How often to look for messages of other processes when nobody wakes.")
    gap_patience_seconds: float = setting(5.0, doc="How old a gap in the sequence must be to be looked into.")
    max_gaps: int = setting(500, doc="With more open gaps than this, nothing new is read.", minimum=1, maximum=10_000)
    max_held: int = setting(2_000, doc="With more messages waiting for a retry, nothing new is read.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A message that a group gave up on, or that waits behind such a one (`tries` is 0 then)."""

    message: Message
    error: str
    tries: int
    parked_at: datetime


class DeadLetters(Protocol):
    """The parked messages of one group, durable. Parking a message that is parked already changes nothing."""

    async def park(self, letters: Sequence[Parked]) -> None:
        """Keep these."""
        ...

    async def keys(self) -> Collection[str]:
        """Return the keys that have parked messages."""
        ...

    async def listed(self, limit: int, after_sequence: int = 0) -> Sequence[Parked]:
        """Return the parked messages behind that sequence, in order."""
        ...

    async def of_key(self, key: str) -> Sequence[Parked]:
        """Return all parked messages of a key, in order."""
        ...

    async def drop(self, sequences: Sequence[int]) -> None:
        """Forget these."""
        ...


class Offsets(Protocol):
    """How far consumer groups have come, durable."""

    async def claim(self, group: str) -> int | None:
        """Become the one process that reads for this group, and return the sequence up to which all was handled.

        None: another process reads for it at present. 0: nothing was handled yet. To claim again what one has gives the
        same answer.
        """
        ...

    async def store(self, group: str, sequence: int) -> None:
        """Remember that everything up to the sequence was handled. Raises ClaimLost if another process may read now."""
        ...

    async def release(self, group: str) -> None:
        """Let another process read; does nothing without a claim."""
        ...


class ClaimLost(Exception):
    """Another process may read for this group by now."""


class OutboxReader(Protocol):
    """Reads committed messages from where a service's transactions wrote them.

    Sequences are given when a row is written, but rows become visible when their transactions commit: the row of a
    lower sequence can appear after that of a higher one. Who reads on from the highest sequence seen would skip it. So
    a group remembers the gaps that it read past and asks for them again (`in_spans`) until it is certain that nothing
    comes any more (`settle`).

    Writers hold a lock on the key (the root instance) from before they write until they have committed; therefore the
    rows of one key become visible in the order of their sequences.
    """

    gaps_can_fill: bool
    """False where rows become visible in the order of their sequences (SQLite: one writer at a time)."""

    async def read(self, after_sequence: int, limit: int) -> Sequence[Message]:
        """Return visible messages with a higher sequence, lowest first."""
        ...

    async def in_spans(self, spans: Sequence[Span], limit: int) -> Sequence[Message]:
        """Return visible messages within the spans, lowest first."""
        ...

    async def settle(self) -> bool:
        """Wait until every transaction that has been given a sequence so far has ended; soon give up with False.

        After True, a gap below any sequence that was visible before the call, if it is not filled now, stays one.
        """
        ...

    async def last_sequence(self) -> int:
        """Return the highest visible sequence, 0 if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a group stands. `behind`: how much it has not handled yet, an open gap counted as one message."""

    safe_sequence: int
    """Everything up to here was handled (or parked); a restart goes on from here."""
    seen_sequence: int
    """The highest sequence that was read."""
    held: int
    """Messages that wait for their next try, or behind such a one."""
    behind: int


class Subscription(Protocol):
    """A handler at work for a group."""

    async def wait_until(self, sequence: int) -> None:
        """Return once the message of this sequence, and those before it of its key, were handled or parked."""
        ...

    async def position(self) -> Position:
        """Return where the group stands; asks the source how far there is to go."""
        ...

    async def replay(self, key: str) -> int:
        """Deliver the parked messages of a key anew, in order; return how many. What fails again stays parked."""
        ...

    async def discard(self, sequence: int) -> bool:
        """Drop a parked message for good; tell whether it was there. With the last of its key the key is free."""
        ...

    async def probe(self) -> None:
        """Raise if the source or the handler has not worked when it was tried last."""
        ...

    async def stop(self) -> None:
        """Let the batch under way end, remember the offset, and deliver no more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A parked message as an operator sees it: whose it is, and an id that follows from group, topic and event."""

    id: str
    group: str
    parked: Parked
    payload_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay did: how many are gone, and how many of the key are still parked."""

    replayed: int
    left: int


class DeadLetterDesk(Protocol):
    """The dead letters of all groups of a bus, wherever their consumers run."""

    async def letters(self) -> Sequence[DeadLetter]:
        """Return all letters, the longest parked first; of Kafka without their payloads. Raises Unavailable."""
        ...

    async def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one letter, with its payload. Raises Unavailable."""
        ...

    async def replay(self, letter: DeadLetter) -> Replayed:
        """Have its group try the letters of its key again. Raises Unavailable if the group does not answer."""
        ...

    async def discard(self, letter: DeadLetter) -> None:
        """Have its group drop it for good. Raises Unavailable if the group does not answer."""
        ...


def letter_id(group: str, topic: str, event_id: str) -> str:
    """Return a dead letter's id: the same when the message is parked again."""
    return hashlib.blake2b(f"{group}\n{topic}\n{event_id}".encode(), digest_size=16).hexdigest()


class EventBus(Protocol):
    """Publish and subscribe."""

    @property
    def desk(self) -> DeadLetterDesk:
        """The dead letters of its groups."""
        ...

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when the messages are durable; those of one key keep their order. The bus gives the sequences."""
        ...

    async def subscribe(
        self,
        topic: str,
        group: str,
        handler: Handler,
        dead_letters: DeadLetters,
        settings: GroupSettings | None = None,
        *,
        applied_sequence: int | None = None,
    ) -> Subscription:
        """Start to deliver the topic to the group's handler, from the group's durable offset.

        `applied_sequence`: the highest sequence whose effects the consumer has. If the durable offset is beyond it, the
        consumer has lost effects (a new or restored database) and gets them again.
        """
        ...

    async def read_all(self, topic: str, handler: Handler, batch_messages: int) -> int:
        """Have the handler take a topic outside any group: from its beginning to the end that it has now.

        The messages of one key come in their order; returns how many there were. Nobody's offset moves. Raises
        InvalidArgument for another topic, Unavailable if the source does not answer, and what the handler raises.
        """
        ...

    async def stop(self) -> None:
        """Stop every subscription."""
        ...
