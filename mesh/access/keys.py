"""The public keys of an issuer, by their id: fetched when first needed, for an unknown id, and now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, Protocol

import jwt

from mesh.errors import DomainError, Unavailable

_LOGGER: Final = logging.getLogger(__name__)

REFRESH_PAUSE_SECONDS: Final = 3.0
MAX_KEY_AGE_SECONDS: Final = 300.0
MAX_KEYS: Final = 100

Key = Any
"""What PyJWT verifies with."""


class KeySource(Protocol):
    """Publishes an issuer's keys."""

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """Return the keys as JSON Web Keys (RFC 7517), those of one JWKS. Raises Unavailable."""
        ...


class KeyRing:
    """The keys of one issuer. An unknown id makes it look again, but at most every `pause_seconds`: callers send ids.

    Keys that are at hand stay in use while the source is away.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        algorithms: Sequence[str],
        pause_seconds: float = REFRESH_PAUSE_SECONDS,
        max_age_seconds: float = MAX_KEY_AGE_SECONDS,
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        """`elapsed` counts seconds. Keys for other algorithms, or not meant for signatures, are left out."""
        self._source = source
        self._algorithms = frozenset(algorithms)
        self._pause_seconds = pause_seconds
        self._max_age_seconds = max_age_seconds
        self._elapsed = elapsed
        self._keys: dict[str, Key] = {}
        self._looked_at: float | None = None
        self._fetched_at: float | None = None
        self._failure: DomainError | None = None
        self._looking = asyncio.Lock()

    async def key(self, key_id: str, algorithm: str) -> Key | None:
        """Return the key for an id and an algorithm, or None if the issuer has none.

        Raises Unavailable if the key is unknown and the issuer could not be asked.
        """
        found = self._keys.get(key_id)
        if found is None or self._is_old():
            await self._look(key_id)
            found = self._keys.get(key_id)
        if found is None:
            if self._failure is not None:
                raise Unavailable(
                    "keys-away", "expected the issuer's keys, found that they cannot be had now"
                ) from self._failure
            return None
        return found if found.algorithm_name == algorithm else None

    def _is_old(self) -> bool:
        return self._fetched_at is None or self._elapsed() - self._fetched_at > self._max_age_seconds

    async def _look(self, key_id: str) -> None:
        async with self._looking:
            # Whoever waited here for another's look may find what they need, or must not look again so soon.
            if key_id in self._keys and not self._is_old():
                return
            now = self._elapsed()
            if self._looked_at is not None and now - self._looked_at < self._pause_seconds:
                return
            self._looked_at = now
            try:
                self._keys = self._read(await self._source.keys())
            except DomainError as away:
                _LOGGER.warning("the issuer's keys cannot be had now (%s); those at hand go on", away.reason)
                self._failure = away
                return
            self._failure = None
            self._fetched_at = now

    def _read(self, published: Sequence[Mapping[str, Any]]) -> dict[str, Key]:
        read: dict[str, Key] = {}
        for each in published[:MAX_KEYS]:
            key_id = each.get("kid")
            if not isinstance(key_id, str) or each.get("use", "sig") != "sig":
                continue
            try:
                key = jwt.PyJWK(dict(each))
            except jwt.PyJWTError:
                _LOGGER.warning("left out a published key that cannot be read")
                continue
            if key.algorithm_name in self._algorithms:
                read[key_id] = key
        return read
