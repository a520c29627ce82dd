"""Identity links of tasks, process instances and process definitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, select

from engine.app.queries.views import IdentityLinkView
from engine.storage import tables
from engine.storage.queries.listing import invalid
from mesh.errors import NotFound

USERS, GROUPS = "users", "groups"
FAMILIES: Final = (USERS, GROUPS)
ASSIGNEE, OWNER, STARTER, PARTICIPANT, CANDIDATE = "assignee", "owner", "starter", "participant", "candidate"


def read_links(connection: Connection, owner_id: str) -> list[IdentityLinkView]:
    """The links of a task, an instance or a definition, in the order in which they were added."""
    columns = tables.identity_link.c
    statement = (
        select(columns.kind, columns.user_id, columns.group_id).where(columns.owner_id == owner_id).order_by(columns.id)
    )
    return [IdentityLinkView(user=user, group=group, type=kind) for kind, user, group in connection.execute(statement)]


def check_family(family: str) -> None:
    """Raises InvalidArgument for anything but users and groups."""
    if family not in FAMILIES:
        raise invalid("family", f"expected family {' or '.join(FAMILIES)}, found '{family}'")


def of_family(links: Iterable[IdentityLinkView], family: str) -> list[IdentityLinkView]:
    """Only the users' or the groups'."""
    return [link for link in links if (link.user if family == USERS else link.group)]


def pick(links: Sequence[IdentityLinkView], identity_id: str, kind: str, owner: str) -> IdentityLinkView:
    """The link of a user or group, of that type unless it is empty. Raises NotFound."""
    for link in links:
        if identity_id in (link.user, link.group) and identity_id and kind in ("", link.type):
            return link
    of_type = f" of type {kind}" if kind else ""
    raise NotFound(
        "identity-link-not-found",
        f"expected {owner} to have an identity link{of_type} with '{identity_id}', found none",
        identity_id=identity_id,
    )
