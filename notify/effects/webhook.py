"""Webhooks: one signed POST of JSON for each message.

    Flowloom-Timestamp: 1767225600
    Flowloom-Signature: v1=<hex of HMAC-SHA256 of "<timestamp>.<body>" under the secret>
    Idempotency-Key: <the same at every attempt>

A receiver computes the signature over the bytes that it got, compares in constant time, and refuses a timestamp that is
more than some minutes away.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import httpx
import msgspec

from mesh.addresses import AddressRefused, GuardedTransport, Resolver, resolve
from mesh.clock import Clock
from notify.app.ports import Outgoing, SendFailed
from notify.settings import WebhookSettings

TIMESTAMP_HEADER: Final = "Flowloom-Timestamp"
SIGNATURE_HEADER: Final = "Flowloom-Signature"
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
_SCHEMES: Final = frozenset(("http", "https"))
_LATER: Final = frozenset((408, 425, 429))
_ERROR_CHARACTERS: Final = 200


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of the signature's header."""
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1={signed.hexdigest()}"


class Webhooks:
    """A `Channel`; an address is a URL. Follows no redirects: what is signed goes where it was meant to go."""

    needs_address = True

    def __init__(
        self, settings: WebhookSettings, clock: Clock, timeout_seconds: float, resolver: Resolver = resolve
    ) -> None:
        self._settings = settings
        self._clock = clock
        # No kept connections: see GuardedTransport. No environment: a proxy would resolve names behind our back.
        inner = httpx.AsyncHTTPTransport(
            trust_env=False,
            limits=httpx.Limits(max_connections=settings.connections, max_keepalive_connections=0),
        )
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(
                inner,
                allow_private=settings.allow_private_addresses,
                resolver=resolver,
                setting="webhook_allow_private_addresses",
            ),
            trust_env=False,
            timeout=timeout_seconds,
            headers={"User-Agent": "flowloom", "Content-Type": "application/json"},
        )

    def check_address(self, address: str) -> None:
        """Raise ValueError for what is no http or https URL."""
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise ValueError(f"expected a URL, found another text: {error}") from error
        if url.scheme not in _SCHEMES or not url.host or url.userinfo:
            raise ValueError("expected a URL with http or https and a host, without a user, found another one")

    async def send(self, message: Outgoing) -> None:
        """Return once the other side has answered with 2xx. Raises SendFailed."""
        if not self._settings.secret:
            raise SendFailed("expected a secret to sign with (setting: webhook_secret), found none", permanent=True)
        body = msgspec.json.encode(
            {
                "id": message.key,
                "event": message.event,
                "recipient": message.recipient,
                "createTime": message.created_at.isoformat(),
                "subject": message.texts.subject,
                "text": message.texts.text,
                **message.facts,
            }
        )
        timestamp = int(self._clock.now().timestamp())
        headers = {
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: signature(self._settings.secret, timestamp, body),
            IDEMPOTENCY_HEADER: message.key,
        }
        try:
            async with self._client.stream("POST", message.address, content=body, headers=headers) as response:
                # Its body says nothing to us, however long it is.
                status, reason, wait = response.status_code, response.reason_phrase, response.headers.get("Retry-After")
        except AddressRefused as error:
            raise SendFailed(str(error), permanent=True) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise SendFailed(f"expected an answer, found {type(error).__name__}: {error}") from error
        if not 200 <= status < 300:
            later = status in _LATER or status >= 500
            seconds = float(wait) if later and wait is not None and wait.isdecimal() else None
            text = f"expected a status of 2xx, found {status} {reason[:_ERROR_CHARACTERS]}"
            raise SendFailed(text, permanent=not later, retry_seconds=seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
