"""Sends due deliveries: each is taken under a lease, rendered, handed to its channel, and its outcome written at once.

At least once: whoever dies between the sending and the writing leaves a lease that runs out, and the delivery is sent
again with the same message id. What is written decides everything else, so nothing is lost and nothing sent for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol, TypeAlias

import msgspec

from mesh.clock import Clock
from mesh.errors import Unavailable
from notify.app.contexts import localized
from notify.app.ports import Channel, Outgoing, Renderer, SendFailed, TemplateFailed, Texts
from notify.app.templates import TemplateChoice
from notify.model.names import DEAD, DIGEST, FAILED, SENT, SUPPRESSED
from notify.model.records import Delivery, Facts
from notify.settings import SendingSettings

_LOGGER: Final = logging.getLogger(__name__)
MAX_ERROR_CHARACTERS: Final = 2000
SETTLE_PAUSE_SECONDS: Final = 0.2
_FACTS: Final = ("task", "process", "incident", "reason", "message", "entries")

Observe: TypeAlias = Callable[[str, str], None]
"""Is told the channel and the state of each outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an attempt: the delivery as it is to be written, and of a digest the entries that it told."""

    delivery: Delivery
    entries: Sequence[str] = ()


class DeliveryStore(Protocol):
    """Deliveries under way. All methods raise Unavailable."""

    def take(self, limit: int, owner: str) -> Awaitable[Sequence[Delivery]]:
        """Take due deliveries under a lease; an attempt is counted when it begins."""
        ...

    def entries(self, digest_id: str, limit: int) -> Awaitable[Sequence[Delivery]]:
        """Return what waits for a digest, oldest first."""
        ...

    def settle(self, outcomes: Sequence[Outcome]) -> Awaitable[None]:
        """Write outcomes, of those whose lease still holds. A digest with entries left over stays due."""
        ...


class Sender:
    """Sends what is due, so many at a time."""

    def __init__(
        self,
        store: DeliveryStore,
        channels: Mapping[str, Channel],
        choice: TemplateChoice,
        renderer: Renderer,
        settings: SendingSettings,
        domain: str,
        clock: Clock,
        new_id: Callable[[], str],
        observe: Observe,
    ) -> None:
        """`domain` is the right side of message ids."""
        self._store = store
        self._channels = channels
        self._choice = choice
        self._renderer = renderer
        self._settings = settings
        self._domain = domain
        self._clock = clock
        self._new_id = new_id
        self._observe = observe
        self._settler = _Settler(store, settings.lease_seconds)
        self._under_way: set[asyncio.Task[None]] = set()

    async def turn(self) -> int:
        """Begin what is due, as far as there is room, and wait for room; returns how many were begun.

        Raises Unavailable.
        """
        room = self._settings.concurrency - len(self._under_way)
        taken = await self._store.take(room, self._new_id()) if room else ()
        for delivery in taken:
            task = asyncio.create_task(self._deliver(delivery), name=f"delivery {delivery.id}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if len(self._under_way) >= self._settings.concurrency:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        return len(taken)

    async def drain(self) -> None:
        """Let everything under way end."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            outcome = await self._attempt(delivery)
        except Unavailable as away:
            outcome = Outcome(delivery=self._failed(delivery, SendFailed(away.message)))
        except Exception as bug:  # the outer loop of a worker: one delivery's bug is not the next one's
            _LOGGER.exception("delivery %s failed", delivery.id)
            outcome = Outcome(delivery=self._failed(delivery, SendFailed(f"{type(bug).__name__}: {bug}")))
        await self._settler.settle(outcome)
        self._observe(delivery.channel, outcome.delivery.state)

    async def _attempt(self, delivery: Delivery) -> Outcome:
        if delivery.attempts > self._settings.tries:
            # It was begun often enough, and whoever sent it did not live to tell.
            message = delivery.error or "whoever sent it ended before it could tell what became of it"
            return Outcome(delivery=_over(delivery, DEAD, message))
        entries: Sequence[Delivery] = ()
        context = delivery.context
        if delivery.event == DIGEST:
            entries = await self._store.entries(delivery.id, self._settings.digest_entries)
            if not entries:
                state = SENT if delivery.sent_at is not None else SUPPRESSED
                return Outcome(delivery=_over(delivery, state, "nothing is left to tell"))
            context = {**context, "event": DIGEST, "entries": [entry.context for entry in entries]}
        told = tuple(entry.id for entry in entries)
        try:
            texts = await self._texts(delivery, context)
        except (TemplateFailed, ValueError) as failed:
            return Outcome(delivery=_over(delivery, DEAD, f"its template failed: {failed}"), entries=told)
        try:
            await self._send(delivery, texts, context)
        except SendFailed as failed:
            found = self._failed(delivery, failed)
            # What a dead digest was to tell is dead with it; the log says so of each entry.
            return Outcome(delivery=found, entries=told if found.state == DEAD else ())
        sent = msgspec.structs.replace(
            delivery, state=SENT, error="", subject=texts.subject, due_at=None, sent_at=self._clock.now()
        )
        return Outcome(delivery=sent, entries=told)

    async def _texts(self, delivery: Delivery, context: Facts) -> Texts:
        template = await self._choice.find(delivery.event, delivery.channel, delivery.language, delivery.tenant_id)
        return await self._renderer.render(template, localized(context, self._clock.now()))

    async def _send(self, delivery: Delivery, texts: Texts, context: Facts) -> None:
        channel = self._channels.get(delivery.channel)
        if channel is None:
            raise SendFailed(f"expected a channel that is set up, found {delivery.channel}", permanent=True)
        message_id = delivery.message_id(self._domain)
        outgoing = Outgoing(
            message_id=message_id,
            key=message_id.strip("<>").partition("@")[0],
            event=delivery.event,
            recipient=delivery.recipient,
            address=delivery.address,
            texts=texts,
            created_at=delivery.created_at,
            facts={name: context[name] for name in _FACTS if context.get(name)},
        )
        seconds = self._settings.send_seconds
        try:
            async with asyncio.timeout(seconds):
                await channel.send(outgoing)
        except TimeoutError as error:
            raise SendFailed(f"expected an answer within {seconds:g} s, found none") from error

    def _failed(self, delivery: Delivery, failed: SendFailed) -> Delivery:
        if failed.permanent or delivery.attempts >= self._settings.tries:
            return _over(delivery, DEAD, str(failed))
        pause = min(
            self._settings.retry_seconds * 2 ** min(delivery.attempts - 1, 30), self._settings.max_retry_seconds
        )
        if failed.retry_seconds is not None:
            pause = min(max(pause, failed.retry_seconds), self._settings.max_retry_seconds)
        return msgspec.structs.replace(
            delivery,
            state=FAILED,
            error=str(failed)[:MAX_ERROR_CHARACTERS],
            due_at=self._clock.now() + timedelta(seconds=pause),
        )


def _over(delivery: Delivery, state: str, error: str) -> Delivery:
    return msgspec.structs.replace(delivery, state=state, error=error[:MAX_ERROR_CHARACTERS], due_at=None)


class _Settler:
    """Writes outcomes: one alone at once, a crowd in one transaction."""

    def __init__(self, store: DeliveryStore, patience_seconds: float) -> None:
        self._store = store
        self._patience_seconds = patience_seconds
        self._waiting: list[tuple[Outcome, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def settle(self, outcome: Outcome) -> None:
        """Return when the outcome is written, or its lease ran out with the database away."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((outcome, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="outcomes of deliveries")
        await done

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._persist([outcome for outcome, _ in batch])
            except Exception:  # a worker's outer loop: the leases run out and the deliveries are taken again
                _LOGGER.exception("the outcomes of %s deliveries could not be written", len(batch))
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    async def _persist(self, outcomes: Sequence[Outcome]) -> None:
        async with asyncio.timeout(self._patience_seconds):
            while True:
                try:
                    await self._store.settle(outcomes)
                except Unavailable as away:
                    _LOGGER.warning("outcomes of deliveries wait: %s", away)
                    await asyncio.sleep(SETTLE_PAUSE_SECONDS)
                else:
                    return
