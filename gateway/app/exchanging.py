"""Exchanges credentials for tokens, and remembers the answers: a password is hashed once in a while, not each time."""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.model.credentials import Credentials, Exchanged
from gateway.settings import ExchangeSettings
from mesh.errors import Unauthenticated


class Exchange(Protocol):
    """Whoever knows the credentials: identity."""

    async def exchange(self, credentials: Credentials) -> Exchanged:
        """Return a token. Raises Unauthenticated, ResourceExhausted (too many tries), Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A token, or the refusal, and the time until which it is the answer."""

    until: float
    exchanged: Exchanged | None = None
    refusal: Unauthenticated | None = None


class ExchangeCache:
    """Answers from memory where it can. Secrets are not kept: an entry goes by a keyed hash of its credentials.

    A token is handed out until shortly before it expires and no longer than `kept_seconds`, so that a changed password
    or a revoked API token stops working then at the latest; `forget` ends it at once. Equal requests that come together
    are one exchange.
    """

    def __init__(self, exchange: Exchange, settings: ExchangeSettings, now: Callable[[], float]) -> None:
        """`now` gives Unix time in seconds."""
        self._exchange = exchange
        self._settings = settings
        self._now = now
        self._key: Final = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[Exchanged]] = {}
        self._forgotten = 0
        self.hits = 0
        self.misses = 0

    async def token(self, credentials: Credentials) -> Exchanged:
        """Return a token for the credentials. Raises what `Exchange.exchange` raises."""
        name = self._name(credentials)
        kept = self._kept.get(name)
        if kept is not None and self._now() < kept.until:
            self.hits += 1
            self._kept.move_to_end(name)
            if kept.refusal is not None:
                raise Unauthenticated(kept.refusal.reason, str(kept.refusal))
            if kept.exchanged is not None:
                return kept.exchanged
        self.misses += 1
        running = self._under_way.get(name)
        if running is None:
            running = asyncio.create_task(self._ask(name, credentials))
            self._under_way[name] = running
            running.add_done_callback(lambda _: self._under_way.pop(name, None))
        # One caller who goes away must not take the answer from the others.
        return await asyncio.shield(running)

    def forget(self, user_id: str | None) -> None:
        """Drop what is kept for a user who has changed, and every refusal: it may be theirs. None: drop everything."""
        self._forgotten += 1
        if user_id is None:
            self._kept.clear()
            return
        gone = [
            name for name, kept in self._kept.items() if kept.exchanged is None or kept.exchanged.user_id == user_id
        ]
        for name in gone:
            del self._kept[name]

    async def _ask(self, name: bytes, credentials: Credentials) -> Exchanged:
        forgotten = self._forgotten
        try:
            exchanged = await self._exchange.exchange(credentials)
        except Unauthenticated as refusal:
            self._keep(name, _Kept(until=self._now() + self._settings.refused_seconds, refusal=refusal))
            raise
        if forgotten != self._forgotten:
            # Something changed while we asked: the answer may be from before that, so it is not kept.
            return exchanged
        now = self._now()
        until = min(exchanged.expires_at - self._settings.margin_seconds, now + self._settings.kept_seconds)
        self._keep(name, _Kept(until=until, exchanged=exchanged))
        return exchanged

    def _keep(self, name: bytes, kept: _Kept) -> None:
        self._kept[name] = kept
        self._kept.move_to_end(name)
        while len(self._kept) > self._settings.max_kept:
            self._kept.popitem(last=False)

    def _name(self, credentials: Credentials) -> bytes:
        # Lengths first, so that no two different credentials are written alike.
        parts = (credentials.user_id, credentials.password, credentials.api_token, credentials.outside_token)
        written = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)
        return hmac.digest(self._key, written, hashlib.sha256)
