"""Signing keys and their rotation: published before they sign, kept until their last token has expired.

created_at        signs_from            signs_from of the next one    + longest token
|  in the JWKS    |  in the JWKS, signs  |  in the JWKS                |  gone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import msgspec

SKEW_SECONDS: Final = 60
"""How much later than by our clock another process may still sign with the key before."""


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair of P-256. `x` and `y` are base64url; `private` is PEM, encrypted if `sealed`."""

    kid: str
    x: str
    y: str
    private: bytes
    sealed: bool
    created_at: datetime
    signs_from: datetime
    token_seconds: int
    """The longest life of a token that it may sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """How long a key signs, how long before it is published, and how long the tokens live."""

    rotation_seconds: float
    lead_seconds: float
    token_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done now: make a key that signs from then, and drop those keys."""

    make_from: datetime | None
    drop: tuple[str, ...]


def plan(keys: Sequence[SigningKey], rotation: Rotation, now: datetime) -> Plan:
    """Return what is to be done with the keys, given in the order of `signs_from`."""
    if not keys:
        return Plan(make_from=now, drop=())
    due = keys[-1].signs_from + timedelta(seconds=rotation.rotation_seconds)
    lead = timedelta(seconds=rotation.lead_seconds)
    # Late, as after a long stop: the lead is kept nevertheless, and the old key signs for so long.
    make_from = max(due, now + lead) if now >= due - lead else None
    drop = [
        key.kid
        for key, later in pairwise(keys)
        if now > later.signs_from + timedelta(seconds=max(key.token_seconds, rotation.token_seconds) + SKEW_SECONDS)
    ]
    return Plan(make_from=make_from, drop=tuple(drop))


def signing(keys: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    """The key that signs now: the last one whose time has come."""
    begun = [key for key in keys if key.signs_from <= now]
    return begun[-1] if begun else None
