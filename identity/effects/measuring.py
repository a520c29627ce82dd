"""Counts what became of credentials, for whoever watches over logins."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter

CREDENTIALS_TOTAL: Final = "flowloom_identity_credentials"
"""Counter; labels kind (password, api-token, outside-token, refresh-token), outcome (good, bad, too-soon, reused)."""


class CredentialCounter:
    """An `Observe` that counts."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        """`registry` None: nobody reads it."""
        self._counter = Counter(
            CREDENTIALS_TOTAL, "Credentials that were shown.", ("kind", "outcome"), registry=registry
        )

    def __call__(self, kind: str, outcome: str) -> None:
        """Count one."""
        self._counter.labels(kind, outcome).inc()
