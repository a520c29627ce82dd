"""Users, groups, privileges and tenants. A text that is not given is empty."""

from __future__ import annotations

from datetime import datetime

import msgspec


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user, without their password. `token_generation` only grows, also when an id is deleted and made anew."""

    id: str
    first_name: str = ""
    last_name: str = ""
    display_name: str = ""
    email: str = ""
    tenant_id: str = ""
    disabled: bool = False
    issuer: str = ""
    token_generation: int = 0
    must_change_password: bool = False
    has_picture: bool = False


class Password(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a password. One that must be changed is good for changing it only."""

    hash: str
    must_change: bool = False


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """An image as it came."""

    content_type: str
    data: bytes


class UserInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A word about a user."""

    key: str
    value: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group; without a tenant it is one of all tenants."""

    id: str
    name: str = ""
    type: str = ""
    tenant_id: str = ""


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """A user in a group."""

    user_id: str
    group_id: str


class Privilege(msgspec.Struct, frozen=True, kw_only=True):
    """A privilege; `name` may end in a wildcard."""

    id: str
    name: str


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    name: str
    created_at: datetime
