"""What privileges mean: names, wildcards, and who has more than whom."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

ALL: Final = "*"
ALL_TENANTS: Final = "tenants.all"
"""Who has it acts for every tenant."""
_NAME: Final = re.compile(r"\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?", re.ASCII)


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """All that a user may do. Groups and privileges are in order; nobody inactive has any."""

    user_id: str
    active: bool = False
    tenant_id: str = ""
    groups: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ()
    token_generation: int = 0
    revoked_token_ids: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Another text whenever anything here is another."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=12).hexdigest()


def is_name(name: str) -> bool:
    """Tell whether it can be the name of a privilege: words between dots, a wildcard only at the end."""
    return _NAME.fullmatch(name) is not None


def includes(pattern: str, name: str) -> bool:
    """Tell whether who has `pattern` has `name`, which may be a wildcard itself."""
    if pattern in (ALL, name):
        return True
    return pattern.endswith(".*") and name.startswith(pattern[:-1])


def has(patterns: Iterable[str], name: str) -> bool:
    """Tell whether one of the patterns includes the name."""
    return any(includes(pattern, name) for pattern in patterns)


def missing(patterns: Sequence[str], wanted: Iterable[str]) -> str | None:
    """The first of the wanted names that no pattern includes; None if all are included."""
    return next((name for name in wanted if not has(patterns, name)), None)
