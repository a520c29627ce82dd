"""What users may do: the union of what they and their groups have, and who is told when it changes."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb
from sqlalchemy import func, select

from identity.model.permissions import Permissions, has, is_name, missing
from identity.storage import tables
from mesh.errors import Unavailable
from mesh.testing.statements import note_statements
from tests.identity.conftest import Refused
from tests.identity.worlds import World, as_user

Worlds = Callable[..., Awaitable[World]]
EVERYONE = ("identity.self.*", "notify.own-preferences.*")


async def check(world: World, user_id: str, privilege: str, tenant_id: str = "") -> tuple[bool, str]:
    answer = await world.access.CheckAccess(
        access_pb.CheckAccessRequest(user_id=user_id, privilege=privilege, tenant_id=tenant_id)
    )
    return answer.allowed, answer.reason


async def test_a_user_may_what_they_and_their_groups_may(world: World) -> None:
    await world.user("anna", email="anna@example.org")
    await world.group("clerks", "anna")
    await world.group("bosses")
    await world.privilege("engine.task.complete", users=["anna"], groups=["clerks"])
    await world.privilege("history.*", groups=["clerks"])
    await world.privilege("forms.*", groups=["bosses"])

    found = await world.permissions("anna")

    assert (found.active, found.tenant_id, list(found.groups)) == (True, "", ["clerks"])
    assert list(found.privileges) == ["engine.task.complete", "history.*", *EVERYONE]
    assert await check(world, "anna", "history.process-instance.read") == (True, "")
    assert await check(world, "anna", "identity.self.read") == (True, "")
    assert await check(world, "anna", "notify.own-preferences.update") == (True, "")
    assert await check(world, "anna", "notify.preferences.update") == (False, "privilege-missing")
    assert await check(world, "anna", "forms.form.read") == (False, "privilege-missing")
    assert await check(world, "nobody", "identity.self.read") == (False, "user-inactive")


async def test_what_is_asked_must_be_one_privilege(small_world: World, refused: Refused) -> None:
    for wrong in ("", "*", "engine.*", "en*gine", ".", "a..b", "x y"):
        assert (await refused(check(small_world, "admin", wrong)))[0] == "INVALID_ARGUMENT"
    assert (await refused(small_world.permissions("")))[0] == "INVALID_ARGUMENT"


async def test_a_tenant_is_that_of_the_user_unless_they_have_none_and_act_for_all(world: World) -> None:
    for tenant_id in ("acme", "other"):
        await world.identity.CreateTenant(pb.CreateTenantRequest(id=tenant_id))
    await world.user("anna", tenant_id="acme")
    await world.user("free")
    await world.user("agent")
    await world.privilege("engine.*", users=["anna", "free", "agent"])
    await world.privilege("tenants.all", users=["anna", "agent"])

    what = "engine.task.read"

    assert await check(world, "anna", what, "acme") == (True, "")
    assert await check(world, "anna", what, "other") == (False, "foreign-tenant")
    assert await check(world, "free", what, "acme") == (False, "foreign-tenant")
    assert await check(world, "agent", what, "other") == (True, "")
    assert await check(world, "admin", what, "other") == (True, "")


async def test_the_version_is_another_one_exactly_when_something_is(world: World) -> None:
    await world.user("anna")
    versions = [(await world.permissions("anna")).version]

    async def after(change: Awaitable[Any]) -> None:
        await change
        versions.append((await world.permissions("anna")).version)

    await after(world.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", first_name="Anna")))
    assert versions[1] == versions[0]
    await after(world.group("clerks", "anna"))
    await after(world.privilege("engine.*", groups=["clerks"]))
    await after(world.access.RevokeSessions(access_pb.RevokeSessionsRequest(user_id="anna")))
    await after(world.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", disabled=True)))

    assert len(set(versions)) == 5


async def test_every_change_tells_whom_it_touches_once_it_is_committed(url: str, worlds: Worlds) -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []
    reader: list[World] = []

    async def invalidate(*user_ids: str) -> None:
        # Another replica that looks now must see the change already.
        seen.extend([(each, tuple((await reader[0].permissions(each)).privileges)) for each in user_ids if reader])

    world = await worlds(url, invalidate=invalidate)
    reader.append(await worlds(url, clock=world.clock))
    await world.user("anna")
    await world.user("berta")
    await world.group("clerks", "anna", "berta")
    privilege = await world.privilege("engine.*", groups=["clerks"])
    own = await world.privilege("history.*")

    async def told(change: Awaitable[Any]) -> dict[str, tuple[str, ...]]:
        seen.clear()
        await change
        return dict(seen)

    identity = world.identity
    user = pb.AddPrivilegeUserRequest(privilege_id=own.id, user_id="anna")
    both = {"anna", "berta"}

    assert await told(identity.AddPrivilegeUser(user)) == {"anna": ("engine.*", "history.*", *EVERYONE)}
    assert (
        set(
            await told(
                identity.RemovePrivilegeGroup(
                    pb.RemovePrivilegeGroupRequest(privilege_id=privilege.id, group_id="clerks")
                )
            )
        )
        == both
    )
    assert (
        await told(
            identity.AddPrivilegeGroup(pb.AddPrivilegeGroupRequest(privilege_id=privilege.id, group_id="clerks"))
        )
    )["berta"] == ("engine.*", *EVERYONE)
    assert await told(identity.DeleteMembership(pb.DeleteMembershipRequest(group_id="clerks", user_id="berta"))) == {
        "berta": EVERYONE
    }
    assert set(
        await told(identity.CreateMembership(pb.CreateMembershipRequest(group_id="clerks", user_id="berta")))
    ) == both - {"anna"}
    assert await told(
        identity.RemovePrivilegeUser(pb.RemovePrivilegeUserRequest(privilege_id=own.id, user_id="anna"))
    ) == {"anna": ("engine.*", *EVERYONE)}
    assert set(await told(identity.DeletePrivilege(pb.DeletePrivilegeRequest(privilege_id=privilege.id)))) == both
    assert set(await told(identity.DeleteGroup(pb.DeleteGroupRequest(group_id="clerks")))) == both
    assert await told(identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", disabled=True))) == {"anna": ()}
    assert await told(identity.DeleteUser(pb.DeleteUserRequest(user_id="anna"))) == {"anna": ()}


async def test_caches_that_could_not_be_told_are_told_later_by_any_replica(url: str, worlds: Worlds) -> None:
    away = [True]
    told: list[str] = []

    async def invalidate(*user_ids: str) -> None:
        if away[0]:
            raise Unavailable("away", "expected somebody to listen, found nobody")
        told.extend(user_ids)

    world = await worlds(url, invalidate=invalidate)
    other = await worlds(url, invalidate=invalidate, clock=world.clock)

    await world.user("anna")
    assert await other.service.tell_untold() == 0, "it is left to the process that made the change for a while"
    other.later(seconds=6)
    assert await other.service.tell_untold() == 0
    away[0] = False

    assert await other.service.tell_untold() > 0
    assert "anna" in told
    assert await world.service.tell_untold() == 0

    def count(work: Any) -> int:
        return int(work._connection.execute(select(func.count()).select_from(tables.invalidation)).scalar_one())

    assert await world.service._store.read(count) == 0


async def test_permissions_are_read_with_as_many_statements_whatever_somebody_has(world: World) -> None:
    await world.user("poor")
    await world.user("rich")
    for n in range(5):
        await world.group(f"group-{n}", "rich")
        await world.privilege(f"engine.thing-{n}.read", groups=[f"group-{n}"], users=["rich"])
    statements: list[str] = []
    note_statements(world.service._database, lambda text, _: statements.append(text))
    counts = []

    for user_id in ("poor", "rich"):
        statements.clear()
        await world.permissions(user_id)
        counts.append(sum(text.startswith("SELECT") for text in statements))

    assert counts[0] == counts[1] <= 5


async def test_who_one_is_is_told_without_any_privilege_of_others(small_world: World) -> None:
    await small_world.user("anna")
    await small_world.group("clerks", "anna")

    found = await small_world.access.GetCurrentUser(
        access_pb.GetCurrentUserRequest(), metadata=as_user("anna", *EVERYONE)
    )

    assert (found.user_id, list(found.groups), list(found.privileges)) == ("anna", ["clerks"], list(EVERYONE))


async def test_the_privileges_of_everyone_can_be_set(sqlite_url: str, worlds: Worlds) -> None:
    world = await worlds(sqlite_url, everyone=("access-rest-api", "engine.task.*"))
    await world.user("anna")

    assert list((await world.permissions("anna")).privileges) == ["access-rest-api", "engine.task.*"]
    with pytest.raises(ValueError, match="everyone"):
        World(sqlite_url, everyone=("en gine",))


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "engine.task.complete", True),
        ("engine.*", "engine.task.complete", True),
        ("engine.task.*", "engine.task.complete", True),
        ("engine.task.complete", "engine.task.complete", True),
        ("engine.*", "engine.task.*", True),
        ("engine.task.*", "engine.*", False),
        ("engine.*", "*", False),
        ("engine.*", "engine", False),
        ("engine.*", "engines.task.complete", False),
        ("engine.task.complete", "engine.task", False),
        ("access-rest-api", "access-rest-api", True),
    ],
)
def test_a_wildcard_stands_for_all_that_begin_so(pattern: str, name: str, expected: bool) -> None:
    assert has([pattern], name) is expected
    assert (missing([pattern], [name]) is None) is expected


def test_names_are_words_between_dots_with_a_wildcard_only_at_the_end() -> None:
    good = ("*", "engine.*", "engine.task.complete", "access-rest-api", "a_b.C9")
    bad = ("", ".", "engine.", ".engine", "*.task", "engine.*.read", "engine*", "en gine", "ä", "a\n", "**")

    assert [name for name in good if not is_name(name)] == []
    assert [name for name in bad if is_name(name)] == []


def test_a_version_depends_on_every_field() -> None:
    base = Permissions(user_id="anna")
    others = [
        Permissions(user_id="berta"),
        Permissions(user_id="anna", active=True),
        Permissions(user_id="anna", tenant_id="t"),
        Permissions(user_id="anna", groups=("g",)),
        Permissions(user_id="anna", privileges=("g",)),
        Permissions(user_id="anna", token_generation=1),
        Permissions(user_id="anna", revoked_token_ids=("g",)),
    ]

    assert len({each.version for each in (base, *others)}) == 8
