"""The people of the demonstration: made by the administrator over REST, with the privileges that the story needs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from host.demo.rest import ShownRest

ADMINISTRATOR: Final = "admin"
EMPLOYEE: Final = "kermit"
MANAGER: Final = "maria"
ROBOT: Final = "robot"

PRIVILEGES: Final[Mapping[str, Sequence[str]]] = {
    "employees": ("engine.process-definition.read", "engine.process-instance.start", "engine.task.act"),
    "managers": ("engine.task.*",),
    "robots": ("engine.external-job.*",),
}
"""By group: names that the contract gives to its methods (docs/reference/privileges.md), or patterns of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everybody's client, and the API token of the worker."""

    administrator: ShownRest
    employee: ShownRest
    manager: ShownRest
    worker_token: str


async def assemble(rest: ShownRest, password: str, say: Callable[[str], None]) -> People:
    """Log the administrator in with the password of the first start, and make the others."""
    admin = await rest.login(ADMINISTRATOR, password)
    say("  ... the token is now in $ADMIN")
    for group, privileges in PRIVILEGES.items():
        await admin.post("/idm-api/groups", {"id": group, "name": group.title()}, 201)
        for privilege in privileges:
            made = await admin.post("/idm-api/privileges", {"name": privilege}, 201)
            await admin.post(f"/idm-api/privileges/{made['id']}/groups", {"groupId": group}, 200)
    passwords = {user: secrets.token_urlsafe(12) for user in (EMPLOYEE, MANAGER, ROBOT)}
    for user, group in ((EMPLOYEE, "employees"), (MANAGER, "managers"), (ROBOT, "robots")):
        body = {"id": user, "firstName": user.title(), "email": f"{user}@example.org", "password": passwords[user]}
        await admin.post("/idm-api/users", body, 201, ("id", "email"), hidden="password")
        await admin.post(f"/idm-api/groups/{group}/members", {"userId": user}, 201)
    say("  A program gets an API token instead of a password, shown once:")
    body = {"userId": ROBOT, "name": "absence booking"}
    made = await admin.post("/identity-api/api-tokens", body, 201, ("apiToken",))
    return People(
        administrator=admin,
        employee=await rest.login(EMPLOYEE, passwords[EMPLOYEE]),
        manager=await rest.login(MANAGER, passwords[MANAGER]),
        worker_token=str(made["secret"]),
    )
