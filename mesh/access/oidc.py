"""The keys of an outside issuer (OpenID Connect), fetched over HTTPS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from mesh.errors import Unavailable

FETCH_SECONDS: Final = 5.0
MAX_JWKS_BYTES: Final = 256 * 1024
ALGORITHMS: Final = ("ES256", "RS256", "PS256", "EdDSA")


class JwksUrl:
    """A `KeySource` at a URL."""

    def __init__(self, url: str) -> None:
        """`url` is where the issuer publishes its JWKS."""
        self._url = url

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """Fetch the keys. Raises Unavailable if they cannot be had, or are no JWKS."""
        try:
            async with httpx.AsyncClient(timeout=FETCH_SECONDS) as client:
                answer = await client.get(self._url)
            answer.raise_for_status()
            if len(answer.content) > MAX_JWKS_BYTES:
                raise ValueError(f"more than {MAX_JWKS_BYTES} bytes")
            return [dict(key) for key in answer.json()["keys"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as failed:
            raise Unavailable(
                "issuer-away", f"expected a JWKS at {self._url}, found {type(failed).__name__}"
            ) from failed
