"""Between the messages of the contract and identity's values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, get_type_hints
from urllib.parse import quote

import msgspec
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import api_token_pb2, group_pb2, privilege_pb2, tenant_pb2, user_pb2
from flowloom.identity.v1 import identity_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from identity.app.accounts import NewUser, UserChange
from identity.app.groups import GroupChange
from identity.app.privileges import Held
from identity.model.keys import SigningKey
from identity.model.people import Group, Privilege, Tenant, User, UserInfo
from identity.model.permissions import Permissions
from identity.model.tokens import ApiToken, Opened
from mesh.paging import Listed, Page, refuse

F = TypeVar("F", bound=msgspec.Struct)

BEARER: Final = "Bearer"
PICTURE_PATH: Final = "/process-api/identity/users/{}/picture"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# --- requests ---------------------------------------------------------------------------------------------------------


def read_filter(kind: type[F], request: Any) -> F:
    """The filter of a list request: its fields have the names of the request's."""
    values: dict[str, Any] = {}
    for name, hint in _hints_of(kind).items():
        if hint == tuple[str, ...]:
            values[name] = tuple(getattr(request, name))
        elif hint in (bool, str):
            values[name] = getattr(request, name)
        else:
            values[name] = optional(request, name)
    return kind(**values)


def read_page(request: Any) -> Page:
    """The paging fields that all list requests have."""
    return Page(
        start=request.start,
        size=optional(request, "size"),
        sort=request.sort,
        order=request.order,
        page_token=request.page_token,
    )


def new_user(request: pb.CreateUserRequest) -> NewUser:
    """The user to make."""
    return NewUser(
        user=User(
            id=request.id,
            first_name=request.first_name,
            last_name=request.last_name,
            display_name=request.display_name,
            email=request.email,
            disabled=request.disabled,
            issuer=request.issuer,
        ),
        tenant_id=optional(request, "tenant_id"),
        password=optional(request, "password"),
        must_change_password=request.must_change_password,
    )


def user_change(request: pb.UpdateUserRequest) -> UserChange:
    """What to change of a user."""
    given = {
        name: optional(request, name)
        for name in (
            "first_name",
            "last_name",
            "display_name",
            "email",
            "password",
            "tenant_id",
            "disabled",
            "issuer",
        )
    }
    return UserChange(user_id=request.user_id, must_change_password=request.must_change_password, **given)


def group_change(request: pb.UpdateGroupRequest) -> GroupChange:
    """What to change of a group."""
    return GroupChange(group_id=request.group_id, name=optional(request, "name"), type=optional(request, "type"))


def optional(request: Any, name: str) -> Any:
    """A field, or None if it was not given."""
    return getattr(request, name) if request.HasField(name) else None


def moment(request: Any, name: str) -> datetime | None:
    """A moment, or None. Raises InvalidArgument for one beyond the calendar."""
    if not request.HasField(name):
        return None
    stamp: Timestamp = getattr(request, name)
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError as error:
        raise refuse(name, "expected a moment of the years 1 to 9999, found another one") from error


_known: dict[type[Any], Mapping[str, Any]] = {}


def _hints_of(kind: type[Any]) -> Mapping[str, Any]:
    found = _known.get(kind)
    if found is None:
        found = _known[kind] = get_type_hints(kind)
    return found


# --- answers ----------------------------------------------------------------------------------------------------------


def user(record: User) -> user_pb2.User:
    """A user."""
    return user_pb2.User(
        id=record.id,
        first_name=record.first_name or None,
        last_name=record.last_name or None,
        display_name=record.display_name or None,
        email=record.email or None,
        tenant_id=record.tenant_id,
        picture_url=PICTURE_PATH.format(quote(record.id, safe="")) if record.has_picture else None,
        disabled=record.disabled,
        issuer=record.issuer,
        must_change_password=record.must_change_password,
    )


def info(record: UserInfo) -> user_pb2.UserInfo:
    """A word of info."""
    return user_pb2.UserInfo(key=record.key, value=record.value)


def group(record: Group) -> group_pb2.Group:
    """A group."""
    return group_pb2.Group(id=record.id, name=record.name or None, type=record.type or None, tenant_id=record.tenant_id)


def privilege(record: Privilege) -> privilege_pb2.Privilege:
    """A privilege, without who has it."""
    return privilege_pb2.Privilege(id=record.id, name=record.name)


def held(record: Held) -> privilege_pb2.Privilege:
    """A privilege and who has it."""
    return privilege_pb2.Privilege(
        id=record.privilege.id,
        name=record.privilege.name,
        users=map(user, record.users),
        groups=map(group, record.groups),
    )


def tenant(record: Tenant) -> tenant_pb2.Tenant:
    """A tenant."""
    return tenant_pb2.Tenant(id=record.id, name=record.name or None, create_time=_stamp(record.created_at))


def api_token(record: ApiToken, now: datetime) -> api_token_pb2.ApiToken:
    """An API token without its secret."""
    return api_token_pb2.ApiToken(
        id=record.id,
        user_id=record.user_id,
        name=record.name,
        prefix=record.prefix,
        create_time=_stamp(record.created_at),
        expire_time=_stamp(record.expires_at),
        last_used_time=_stamp(record.last_used_at),
        active=record.is_active(now),
    )


def permissions(record: Permissions) -> access_pb.GetPermissionsResponse:
    """All that a user may do."""
    return access_pb.GetPermissionsResponse(
        user_id=record.user_id,
        active=record.active,
        tenant_id=record.tenant_id,
        groups=record.groups,
        privileges=record.privileges,
        version=record.version,
        token_generation=record.token_generation,
        revoked_token_ids=record.revoked_token_ids,
    )


def opened(record: Opened) -> dict[str, Any]:
    """What every answer with an access token says."""
    return {
        "access_token": record.access_token,
        "token_type": BEARER,
        "expires_in": record.expires_seconds,
        "user_id": record.user_id,
        "tenant_id": record.tenant_id,
    }


def opened_session(record: Opened) -> dict[str, Any]:
    """The same with a refresh token."""
    return opened(record) | {
        "refresh_token": record.refresh_token,
        "refresh_expires_in": record.refresh_seconds,
    }


def json_web_key(key: SigningKey) -> access_pb.JsonWebKey:
    """The public half of a key."""
    return access_pb.JsonWebKey(kty="EC", crv="P-256", x=key.x, y=key.y, kid=key.kid, use="sig", alg="ES256")


def envelope(page: Listed[Any]) -> dict[str, Any]:
    """What every list says besides its data; `size` is that of the data, as in Flowable."""
    return {
        "total": page.total,
        "start": page.start,
        "sort": page.sort,
        "order": page.order,
        "size": len(page.rows),
        "next_page_token": page.next_page_token or None,
    }


def _stamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    since = at - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)
