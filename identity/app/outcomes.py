"""What became of credentials: counted, and logged where they were not good. Without the credentials.

An unknown user is not logged by the id that was given: people type passwords into the wrong field.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

_LOGGER: Final = logging.getLogger(__name__)

PASSWORD: Final = "password"  # noqa: S105 - a kind of credentials
API_TOKEN: Final = "api-token"  # noqa: S105 - as above
OUTSIDE_TOKEN: Final = "outside-token"  # noqa: S105 - as above
REFRESH_TOKEN: Final = "refresh-token"  # noqa: S105 - as above

GOOD: Final = "good"
BAD: Final = "bad"
TOO_SOON: Final = "too-soon"
REUSED: Final = "reused"

Observe = Callable[[str, str], None]
"""Takes note of a kind of credentials and of what became of them; must be quick and must not raise."""


def unobserved(kind: str, outcome: str) -> None:
    """Take no note."""


class Outcomes:
    """Notes what became of credentials."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    def good(self, kind: str) -> None:
        """They opened something."""
        self._observe(kind, GOOD)

    def refused(self, kind: str, outcome: str, *, known_user_id: str = "", address: str = "") -> None:
        """They opened nothing, for the reason that the outcome names."""
        self._observe(kind, outcome)
        whose = f"of user {known_user_id}" if known_user_id else "of an unknown user"
        where = address or "an unknown address"
        _LOGGER.info("refused a %s %s from %s: %s", kind, whose, where, outcome)
