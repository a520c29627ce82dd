"""Several embedded buses as one: each topic has its own; what derives a topic begins with the first reader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from mesh.bus.desk import SeveralDesks
from mesh.bus.embedded import EmbeddedBus
from mesh.bus.message import Message
from mesh.bus.ports import DeadLetterDesk, DeadLetters, GroupSettings, Handler, Subscription
from mesh.errors import InvalidArgument


class EmbeddedTopics:
    """An `EventBus` over the buses of several topics."""

    def __init__(
        self,
        main: EmbeddedBus,
        derived: Mapping[str, EmbeddedBus],
        begin: Callable[[], Awaitable[None]],
        open_topic: Callable[[str], EmbeddedBus | None] = lambda _: None,
    ) -> None:
        """`main` carries the topic from which the `derived` ones follow; `begin` sees to it that they are written.

        `open_topic` gives the bus of a topic that comes into being when somebody wants it, or None if it never does.
        """
        self._main = main
        self._derived = dict(derived)
        self._open_topic = open_topic
        self._begin = begin
        self._groups: dict[str, str] = {}

    @property
    def desk(self) -> DeadLetterDesk:
        """The dead letters of all groups."""
        return SeveralDesks(lambda: [bus.desk for bus in self._all()])

    async def publish(self, messages: Sequence[Message]) -> None:
        """Hand on to the main topic. Raises InvalidArgument for another one: those are derived."""
        await self._main.publish(messages)

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
        """Start to deliver; see `EventBus`. Raises InvalidArgument for another topic, ValueError for a busy group."""
        bus = self._of(topic)
        if self._groups.setdefault(group, topic) != topic:
            raise ValueError(f"expected the group {group} to read one topic, found {self._groups[group]} and {topic}")
        if bus is not self._main:
            await self._begin()
        return await bus.subscribe(topic, group, handler, dead_letters, settings, applied_sequence=applied_sequence)

    async def read_all(self, topic: str, handler: Handler, batch_messages: int) -> int:
        """See `EventBus`."""
        return await self._of(topic).read_all(topic, handler, batch_messages)

    def wake(self) -> None:
        """Say that something was committed. Cheap; from any thread."""
        self._main.wake()

    def wake_derived(self) -> None:
        """Say that derived messages were written. Cheap; from any thread."""
        for bus in self._derived.values():
            bus.wake()

    async def stop(self) -> None:
        """Stop every subscription."""
        await asyncio.gather(*(bus.stop() for bus in self._all()))

    def _of(self, topic: str) -> EmbeddedBus:
        """Return the bus of a topic. Raises InvalidArgument for one that never comes into being."""
        if topic == self._main.topic:
            return self._main
        bus = self._derived.get(topic) or self._open_topic(topic)
        if bus is None:
            known = ", ".join((self._main.topic, *self._derived))
            raise InvalidArgument("unknown-topic", f"expected one of the topics {known}, found {topic}", topic=topic)
        self._derived[topic] = bus
        return bus

    def _all(self) -> list[EmbeddedBus]:
        return [self._main, *self._derived.values()]
