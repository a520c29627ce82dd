"""The signing keys as this process knows them: it signs with the one whose time has come, and reads what any signed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from identity.app.ports import Signatures, Store, Work
from identity.model.keys import Rotation, SigningKey, plan, signing
from identity.model.people import User
from identity.model.tokens import Claims
from identity.settings import KeySettings, TokenSettings
from mesh.clock import Clock
from mesh.errors import Unavailable
from mesh.ids import IdSource

LATCH: Final = "signing-keys"


class KeyRing:
    """Signs and reads access tokens; `rotate` keeps the keys in the database as they have to be.

    Several processes share the keys. A new one is published for longer than any process or client keeps its list, so
    nobody meets a token of a key that they do not know.
    """

    def __init__(
        self,
        store: Store,
        signatures: Signatures,
        *,
        clock: Clock,
        ids: IdSource,
        tokens: TokenSettings,
        keys: KeySettings,
    ) -> None:
        """Raises ValueError if a key would sign before everybody knows it."""
        known_after = keys.poll_seconds + keys.jwks_cache_seconds
        if keys.lead_seconds < known_after:
            raise ValueError(
                f"expected lead_seconds of at least poll_seconds + jwks_cache_seconds = {known_after:g}, so that a key "
                f"is known before it signs, found {keys.lead_seconds:g}"
            )
        self._store = store
        self._signatures = signatures
        self._clock = clock
        self._ids = ids
        self._tokens = tokens
        self._rotation = Rotation(
            rotation_seconds=keys.rotation_seconds,
            lead_seconds=keys.lead_seconds,
            token_seconds=tokens.access_seconds,
        )
        self._keys: tuple[SigningKey, ...] = ()
        self._reading = asyncio.Lock()

    @property
    def keys(self) -> Sequence[SigningKey]:
        """All keys whose tokens are good, or will be."""
        return self._keys

    async def rotate(self) -> None:
        """Make and drop keys as the time demands, and learn those of other processes.

        Raises Unavailable, FailedPrecondition if the keys cannot be opened.
        """
        now = self._clock.now()
        present = await self._store.read(lambda work: tuple(work.keys.all()))
        wanted = plan(present, self._rotation, now)
        if wanted.make_from is not None or wanted.drop or not all(map(self._signatures.is_current, present)):
            present = await self._store.write(self._change)
        self._keys = present

    def _change(self, work: Work) -> tuple[SigningKey, ...]:
        work.lock(LATCH)
        now = self._clock.now()
        wanted = plan(work.keys.all(), self._rotation, now)
        if wanted.make_from is not None:
            work.keys.add(self._signatures.new_key(now, wanted.make_from, self._rotation.token_seconds))
        for kid in wanted.drop:
            work.keys.drop(kid)
        for key in work.keys.all():
            if not self._signatures.is_current(key):
                work.keys.seal(self._signatures.resealed(key))
        return tuple(work.keys.all())

    def sign(self, user: User, session_id: str = "", at_most_seconds: float | None = None) -> tuple[str, int]:
        """A new access token of a user, and for how many seconds it is good. Raises Unavailable before the start."""
        now = self._clock.now()
        key = signing(self._keys, now)
        if key is None:
            raise Unavailable("no-signing-key", "expected a key that signs now, found none")
        # JWTs count whole seconds: one that began a moment ago would otherwise live longer than it may.
        issued_at = now.replace(microsecond=0)
        seconds = self._tokens.access_seconds
        if at_most_seconds is not None:
            seconds = max(min(seconds, int(at_most_seconds)), 1)
        claims = Claims(
            user_id=user.id,
            tenant_id=user.tenant_id,
            token_id=self._ids.root(),
            session_id=session_id,
            generation=user.token_generation,
            issued_at=issued_at,
            expires_at=issued_at + timedelta(seconds=seconds),
        )
        return self._signatures.sign(key, claims), seconds

    async def read(self, token: str) -> Claims | None:
        """What a token of ours says, also an expired one; None for any other text. Raises Unavailable."""
        found = self._signatures.read(self._keys, token)
        if found is None and not self._reading.locked():
            # Perhaps another process has a key that this one has not seen yet.
            async with self._reading:
                self._keys = await self._store.read(lambda work: tuple(work.keys.all()))
            found = self._signatures.read(self._keys, token)
        return found
