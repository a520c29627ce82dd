"""Ids of variables: the engine names one by its scope and name, so history does too, in the same spelling.

A variable that is removed and set again is the same one. What clients see can be longer than an index takes, so the
key in the database is a digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib


def variable_key(scope_id: str, name: str) -> str:
    """The key of a variable in the database: 32 hexadecimal digits."""
    return hashlib.blake2b(f"{scope_id}\n{name}".encode(), digest_size=16).hexdigest()


def variable_id(scope_id: str, name: str) -> str:
    """The id that clients see; fit for a path. The scope is an instance, execution or task."""
    return base64.urlsafe_b64encode(f"{scope_id}\n{name}".encode()).decode().rstrip("=")


def key_of_id(seen: str) -> str | None:
    """The key of an id that clients see; None if it cannot be one."""
    try:
        text = base64.b64decode(seen + "=" * (-len(seen) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    scope_id, separator, name = text.partition("\n")
    return variable_key(scope_id, name) if separator else None
