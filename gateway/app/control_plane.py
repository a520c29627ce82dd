"""Publishes a snapshot to every Envoy that is connected: new clusters first, old ones last, refusals taken back."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from gateway.app.discovery import Answer, Ask, Conversation
from gateway.app.generator import Resources as Generated
from gateway.app.generator import generate, version_of
from gateway.app.sources import StreamSource
from gateway.model.published import Json, Kind, Published, Resource, Resources, by_name, name_of
from gateway.model.snapshot import Snapshot

_log: Final = logging.getLogger(__name__)


class RefusedError(RuntimeError):
    """An Envoy refuses what was published; the text holds Envoy's own words. It serves what it had."""


class Encoder(Protocol):
    """Turns resources from protobuf's JSON into its messages."""

    def __call__(self, resource: Json) -> bytes:
        """Return the message. Raises ValueError for what is no such resource."""
        ...


class ControlPlane:
    """What is published now, and the conversations with Envoys about it."""

    def __init__(self, encode: Encoder, *, access_log_path: str | None = None, apply_seconds: float = 15.0) -> None:
        """`apply_seconds` is how long an Envoy may take for a change before we go on without it."""
        self._encode = encode
        self._access_log_path = access_log_path
        self._apply_seconds = apply_seconds
        self._published = Published(serial=0, by_kind=MappingProxyType({}))
        self._changed = asyncio.Condition()
        self._conversations: set[Conversation] = set()
        self._applying = asyncio.Lock()
        self._snapshot: Snapshot | None = None
        self.refusals = 0

    @property
    def snapshot(self) -> Snapshot | None:
        """What the edge is now; None before the first `apply`."""
        return self._snapshot

    @property
    def envoys(self) -> int:
        """How many Envoys are connected."""
        return len(self._conversations)

    async def apply(self, snapshot: Snapshot) -> None:
        """Change every edge to `snapshot` while it serves; no request is lost.

        Raises:
            UnsoundSnapshotError: if the snapshot has problems; nothing is published then.
            RefusedError: if an Envoy refuses it; what was published before is published again then.
        """
        async with self._applying:
            generated = generate(snapshot, StreamSource(), access_log_path=self._access_log_path)
            wanted = await asyncio.to_thread(self._encoded, generated)
            before = self._published.by_kind
            try:
                for step in _steps(before, wanted):
                    await self._publish({**self._published.by_kind, **step})
                    await self._until_taken(step.keys())
            except RefusedError:
                await self._publish(before)
                raise
            self._snapshot = snapshot

    def join(self, *, delta: bool) -> Conversation:
        """Begin a conversation; `leave` ends it."""
        conversation = Conversation(delta=delta)
        self._conversations.add(conversation)
        return conversation

    async def leave(self, conversation: Conversation) -> None:
        """End a conversation: nobody waits for this Envoy any more."""
        self._conversations.discard(conversation)
        await self._notify()

    async def hear(self, conversation: Conversation, ask: Ask) -> None:
        """Take note of what an Envoy says, loudly if it refuses something."""
        if ask.refusal:
            self.refusals += 1
            _log.error("Envoy %s refuses %s: %s", conversation.node or "?", ask.kind.name.lower(), ask.refusal)
        conversation.hear(ask)
        await self._notify()

    async def answer(self, conversation: Conversation) -> Answer:
        """Wait until something is to be sent, and return it."""
        async with self._changed:
            while True:
                answer = conversation.next_answer(self._published)
                if answer is not None:
                    return answer
                await self._changed.wait()

    def _encoded(self, generated: Generated) -> Mapping[Kind, Resources]:
        kinds: Mapping[Kind, Sequence[Json]] = {
            Kind.CLUSTERS: generated.clusters,
            Kind.ENDPOINTS: generated.endpoints,
            Kind.CERTIFICATES: generated.secrets,
            Kind.LISTENERS: generated.listeners,
            Kind.ROUTES: generated.routes,
        }
        return {kind: by_name(map(self._resource, resources)) for kind, resources in kinds.items()}

    def _resource(self, resource: Json) -> Resource:
        return Resource(name=name_of(resource), version=version_of((resource,)), body=self._encode(resource))

    async def _publish(self, by_kind: Mapping[Kind, Resources]) -> None:
        if by_kind != self._published.by_kind:
            self._published = Published(serial=self._published.serial + 1, by_kind=MappingProxyType(dict(by_kind)))
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until_taken(self, kinds: Iterable[Kind]) -> None:
        published, wanted = self._published, tuple(kinds)

        def refused() -> str:
            for conversation in self._conversations:
                for kind, of_serial, why in conversation.refusals:
                    if of_serial >= published.serial:
                        return f"{kind.name.lower()}: {why}"
            return ""

        def taken() -> bool:
            return all(each.has_taken(kind, published) for each in self._conversations for kind in wanted)

        try:
            async with asyncio.timeout(self._apply_seconds), self._changed:
                while not taken():
                    if why := refused():
                        raise RefusedError(f"Envoy refuses the new configuration and keeps the old one: {why}")
                    await self._changed.wait()
        except TimeoutError:
            _log.error(
                "an Envoy has not taken the change after %.0f s; it will get it when it asks", self._apply_seconds
            )
        if why := refused():
            raise RefusedError(f"Envoy refuses the new configuration and keeps the old one: {why}")


def _steps(before: Mapping[Kind, Resources], wanted: Mapping[Kind, Resources]) -> list[dict[Kind, Resources]]:
    """What is published one after the other, each step once the one before was taken."""
    both: dict[Kind, Resources] = {
        kind: MappingProxyType({**before.get(kind, {}), **wanted[kind]}) for kind in (Kind.CLUSTERS, Kind.ENDPOINTS)
    }
    rest = {kind: wanted[kind] for kind in (Kind.CERTIFICATES, Kind.LISTENERS, Kind.ROUTES)}
    return [both, rest, {kind: wanted[kind] for kind in both}]
