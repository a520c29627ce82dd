"""An outbox, offsets and dead letters in memory: for tests, and for a mesh that may forget."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from mesh.bus.message import Message
from mesh.bus.ports import ClaimLost, Parked, Span


class MemoryOutbox:
    """An `OutboxReader`, and the appending side. A test may let rows become visible in another order."""

    gaps_can_fill = True

    def __init__(self) -> None:
        self._next = 1
        self._visible: dict[int, Message] = {}
        self._open: dict[int, Message] = {}

    async def append(self, messages: Sequence[Message]) -> None:
        """Give sequences and make the messages visible at once."""
        for message in messages:
            self.commit(self.begin(message))

    def begin(self, message: Message) -> int:
        """Give a sequence to a message of a transaction that is still under way, and return it."""
        sequence, self._next = self._next, self._next + 1
        self._open[sequence] = replace(message, sequence=sequence)
        return sequence

    def commit(self, sequence: int) -> None:
        """Make the message visible."""
        self._visible[sequence] = self._open.pop(sequence)

    def roll_back(self, sequence: int) -> None:
        """Leave a gap for ever."""
        del self._open[sequence]

    async def read(self, after_sequence: int, limit: int) -> Sequence[Message]:
        """Return visible messages with a higher sequence, lowest first."""
        found = sorted(sequence for sequence in self._visible if sequence > after_sequence)
        return [self._visible[sequence] for sequence in found[:limit]]

    async def in_spans(self, spans: Sequence[Span], limit: int) -> Sequence[Message]:
        """Return visible messages within the spans, lowest first."""
        found = sorted(sequence for sequence in self._visible if any(a <= sequence <= b for a, b in spans))
        return [self._visible[sequence] for sequence in found[:limit]]

    async def settle(self) -> bool:
        """Tell whether no transaction is under way; waits for none."""
        return not self._open

    async def last_sequence(self) -> int:
        """Return the highest visible sequence."""
        return max(self._visible, default=0)


class MemoryOffsets:
    """`Offsets`, to be shared by those that play processes: each takes one `for_process`."""

    def __init__(self) -> None:
        self.sequences: dict[str, int] = {}
        self.owners: dict[str, object] = {}

    def for_process(self) -> ProcessOffsets:
        """Return the offsets as one process sees them."""
        return ProcessOffsets(self)


class ProcessOffsets:
    """What one process does with the shared offsets."""

    def __init__(self, shared: MemoryOffsets) -> None:
        self._shared = shared

    async def claim(self, group: str) -> int | None:
        """Claim if nobody else has."""
        if self._shared.owners.setdefault(group, self) is not self:
            return None
        return self._shared.sequences.get(group, 0)

    async def store(self, group: str, sequence: int) -> None:
        """Remember. Raises ClaimLost without the claim."""
        if self._shared.owners.get(group) is not self:
            raise ClaimLost(f"expected to read for {group}, found another process doing so")
        self._shared.sequences[group] = sequence

    async def release(self, group: str) -> None:
        """Give the claim back."""
        if self._shared.owners.get(group) is self:
            del self._shared.owners[group]


class MemoryDeadLetters:
    """`DeadLetters` of one group."""

    def __init__(self) -> None:
        self.letters: dict[int, Parked] = {}

    async def park(self, letters: Sequence[Parked]) -> None:
        """Keep these."""
        for letter in letters:
            self.letters.setdefault(letter.message.sequence, letter)

    async def keys(self) -> Collection[str]:
        """Return the keys that have parked messages."""
        return {letter.message.key for letter in self.letters.values()}

    async def listed(self, limit: int, after_sequence: int = 0) -> Sequence[Parked]:
        """Return the parked messages behind that sequence, in order."""
        return [self.letters[found] for found in sorted(self.letters) if found > after_sequence][:limit]

    async def of_key(self, key: str) -> Sequence[Parked]:
        """Return all parked messages of a key, in order."""
        return [self.letters[found] for found in sorted(self.letters) if self.letters[found].message.key == key]

    async def drop(self, sequences: Sequence[int]) -> None:
        """Forget these."""
        for sequence in sequences:
            self.letters.pop(sequence, None)
