"""The dead letters of groups that read in this process, as an operator deals with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mesh.bus.ports import DeadLetter, DeadLetterDesk, DeadLetters, Replayed, Subscription, letter_id
from mesh.errors import Unavailable

MAX_LETTERS: Final = 10_000
"""Of one group; whoever has more should look at why, not at all of them."""

Groups = Callable[[], Sequence[tuple[str, DeadLetters, Subscription]]]
"""The groups at work: name, letters, subscription."""


class EmbeddedDesk:
    """A `DeadLetterDesk` over the letters that each consumer keeps in its own database."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def letters(self) -> Sequence[DeadLetter]:
        """Return all letters, the longest parked first. Raises Unavailable."""
        found: dict[str, DeadLetter] = {}
        for name, store, _ in self._groups():
            for parked in await store.listed(MAX_LETTERS):
                message = parked.message
                made = letter_id(name, message.topic, message.event_id)
                found[made] = DeadLetter(id=made, group=name, parked=parked, payload_bytes=len(message.payload))
        return sorted(found.values(), key=lambda letter: (letter.parked.parked_at, letter.parked.message.sequence))

    async def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one letter. Raises Unavailable."""
        return next((letter for letter in await self.letters() if letter.id == letter_id), None)

    async def replay(self, letter: DeadLetter) -> Replayed:
        """Try the letters of its key again. Raises Unavailable."""
        replayed = left = 0
        for store, subscription in self._of(letter):
            replayed += await subscription.replay(letter.parked.message.key)
            left += len(await store.of_key(letter.parked.message.key))
        return Replayed(replayed=replayed, left=left)

    async def discard(self, letter: DeadLetter) -> None:
        """Drop it. Raises Unavailable."""
        for _, subscription in self._of(letter):
            await subscription.discard(letter.parked.message.sequence)

    def _of(self, letter: DeadLetter) -> list[tuple[DeadLetters, Subscription]]:
        return [(store, subscription) for name, store, subscription in self._groups() if name == letter.group]


class SeveralDesks:
    """Several desks as one: a bus of several topics, or the relay's letters beside those of the broker."""

    def __init__(self, desks: Callable[[], Sequence[DeadLetterDesk]]) -> None:
        self._desks = desks

    async def letters(self) -> Sequence[DeadLetter]:
        """Return all letters, the longest parked first. Raises Unavailable."""
        found: dict[str, DeadLetter] = {}
        for desk in self._desks():
            found.update((letter.id, letter) for letter in await desk.letters())
        return sorted(found.values(), key=lambda letter: (letter.parked.parked_at, letter.parked.message.sequence))

    async def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one letter. Raises Unavailable."""
        for desk in self._desks():
            found = await desk.letter(letter_id)
            if found is not None:
                return found
        return None

    async def replay(self, letter: DeadLetter) -> Replayed:
        """Have its desk replay it. Raises Unavailable."""
        return await (await self._that_has(letter)).replay(letter)

    async def discard(self, letter: DeadLetter) -> None:
        """Have its desk discard it. Raises Unavailable."""
        await (await self._that_has(letter)).discard(letter)

    async def _that_has(self, letter: DeadLetter) -> DeadLetterDesk:
        for desk in self._desks():
            if await desk.letter(letter.id) is not None:
                return desk
        raise Unavailable("bus-group-away", f"expected the group {letter.group} to be at work, found it is not")
