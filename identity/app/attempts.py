"""Counting wrong credentials: before they are looked at, so that many at once are as slow as one after the other."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from identity.app.accounts import subject_of
from identity.app.ports import Work
from identity.model.throttling import Policy, blocked_seconds, with_another, with_one_less
from identity.settings import ThrottleSettings
from mesh.errors import ResourceExhausted

USER: Final = "user"
ADDRESS: Final = "address"
IPV6_PREFIX: Final = 64
"""Who has one IPv6 address has this many bits of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whose credentials come from where; empty: not known, and not counted."""

    user_id: str = ""
    address: str = ""


class Throttle:
    """Slows down users and addresses with wrong credentials."""

    def __init__(self, settings: ThrottleSettings) -> None:
        self._policies = {
            USER: _policy(settings, settings.user_free, settings.user_longest_seconds),
            ADDRESS: _policy(settings, settings.address_free, settings.address_longest_seconds),
        }

    def begin(self, work: Work, source: Source, now: datetime) -> float:
        """Count an attempt; or, if it comes too soon, count nothing and return how many seconds too soon."""
        known = {(kind, subject): work.counts.known(kind, subject) for kind, subject in _subjects(source)}
        wait_seconds = max((blocked_seconds(each, now) for each in known.values()), default=0.0)
        if wait_seconds > 0:
            return wait_seconds
        for (kind, subject), attempts in known.items():
            counted = with_another(self._policies[kind], attempts, now)
            if attempts is None:
                work.counts.add(kind, subject, counted)
            else:
                work.counts.put(kind, subject, counted)
        return 0.0

    def succeeded(self, work: Work, source: Source) -> None:
        """Forget the user's attempts, and this one of the address: a good password must not wash the others away."""
        for kind, subject in _subjects(source):
            if kind == USER:
                work.counts.drop(kind, subject)
            elif (known := work.counts.known(kind, subject)) is not None:
                work.counts.put(kind, subject, with_one_less(known))


def too_many(wait_seconds: float) -> ResourceExhausted:
    """Tell somebody to wait."""
    return ResourceExhausted(
        "too-many-attempts",
        "expected credentials after the wait that wrong ones cost (limits: throttle), found them too soon",
        retry_after_seconds=round(wait_seconds, 3),
    )


def _policy(settings: ThrottleSettings, free: int, longest_seconds: float) -> Policy:
    return Policy(
        free=free,
        first_seconds=settings.first_seconds,
        longest_seconds=longest_seconds,
        forget_seconds=settings.forget_seconds,
    )


def _subjects(source: Source) -> list[tuple[str, str]]:
    """In one order, so that two transactions wait for each other and never in a circle."""
    found = []
    if source.address:
        found.append((ADDRESS, subject_of(_network(source.address))))
    if source.user_id:
        found.append((USER, subject_of(source.user_id)))
    return found


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped or ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
