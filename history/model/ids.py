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


def ordinal_id(root_id: str, ordinal: int) -> str:
    """The id of what has none of its own: 32 hexadecimal digits, the same whenever the message comes."""
    return hashlib.blake2b(f"{root_id}\n{ordinal}".encode(), digest_size=16).hexdigest()


def digest(*parts: str) -> str:
    """A key made of several texts: 32 hexadecimal digits."""
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def person_digest(user_id: str) -> str:
    """What stands for an erased person: 64 hexadecimal digits."""
    return hashlib.blake2b(user_id.encode(), digest_size=32, person=b"flowloom-person").hexdigest()


def key_of_definition(definition_id: str) -> str:
    """The key in an id of the form key:version:id; the id itself if it has another one."""
    return definition_id.split(":", 1)[0]


def tenant_digest(tenant_id: str) -> str:
    """What stands for an erased tenant: 64 hexadecimal digits."""
    return hashlib.blake2b(tenant_id.encode(), digest_size=32, person=b"flowloom-tenant").hexdigest()
