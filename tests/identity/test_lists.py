"""Lists: filters, sorting, Flowable's envelope, page tokens."""

from typing import Any

import pytest
from flowloom.identity.v1 import identity_service_pb2 as pb

from tests.identity.conftest import Refused
from tests.identity.worlds import World

PEOPLE = {
    "anna": ("Anna", "Berg", "Anna B.", "anna@example.org"),
    "berta": ("Berta", "Amsel", "Berta A.", "berta@example.com"),
    "carla": ("Carla", "Berg", "100% Carla", "carla@example.org"),
    "dora_x": ("dora", "Zeh", "Dora*", ""),
}


@pytest.fixture
async def people(world: World) -> World:
    await world.identity.CreateTenant(pb.CreateTenantRequest(id="acme", name="ACME"))
    for user_id, (first, last, display, email) in PEOPLE.items():
        await world.user(
            user_id,
            password=None,
            first_name=first,
            last_name=last,
            display_name=display,
            email=email,
            tenant_id="acme" if user_id == "carla" else "",
        )
    await world.group("clerks", "anna", "berta", name="Clerks", type="assignment")
    await world.group("bosses", "anna", name="Bosses", type="security-role")
    return world


async def users(world: World, **filters: Any) -> list[str]:
    found = await world.identity.ListUsers(pb.ListUsersRequest(**filters))
    return [each.id for each in found.data if each.id != "admin"]


async def groups(world: World, **filters: Any) -> list[str]:
    return [each.id for each in (await world.identity.ListGroups(pb.ListGroupsRequest(**filters))).data]


FILTERS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "anna berta carla dora_x"),
    ({"id": "anna"}, "anna"),
    ({"ids": ["dora_x", "anna", "anna", "nobody"]}, "anna dora_x"),
    ({"first_name": "Anna"}, "anna"),
    ({"first_name": "anna"}, ""),
    ({"first_name_like": "%a"}, "anna berta carla dora_x"),
    ({"first_name_like": "D%"}, ""),
    ({"first_name_like": "_erta"}, "berta"),
    ({"last_name": "Berg"}, "anna carla"),
    ({"last_name_like": "%m%"}, "berta"),
    ({"display_name": "Anna B."}, "anna"),
    ({"display_name_like": "Dora*"}, "dora_x"),
    ({"display_name_like": "D*"}, ""),
    ({"email": "anna@example.org"}, "anna"),
    ({"email_like": "%.org"}, "anna carla"),
    ({"email": ""}, "dora_x"),
    ({"member_of_group": "clerks"}, "anna berta"),
    ({"member_of_groups": ["clerks", "bosses"]}, "anna berta"),
    ({"member_of_groups": ["bosses"], "last_name": "Berg"}, "anna"),
    ({"member_of_group": "none"}, ""),
    ({"tenant_id": "acme"}, "carla"),
    ({"without_tenant_id": True}, "anna berta dora_x"),
    ({"disabled": True}, ""),
    ({"disabled": False, "last_name": "Berg"}, "anna carla"),
)


async def test_users_are_found_by_all_filters_that_are_given(people: World) -> None:
    found = [" ".join(await users(people, **filters)) for filters, _ in FILTERS]

    assert found == [expected for _, expected in FILTERS]


async def test_users_are_sorted_by_what_flowable_sorts_by(people: World) -> None:
    orders = {
        name: await users(people, sort=name)
        for name in ("id", "firstName", "lastName", "displayName", "email", "tenantId")
    }

    assert orders["id"] == ["anna", "berta", "carla", "dora_x"]
    assert orders["firstName"] == ["anna", "berta", "carla", "dora_x"]
    assert orders["lastName"] == ["berta", "anna", "carla", "dora_x"]
    assert orders["displayName"] == ["carla", "anna", "berta", "dora_x"]
    assert orders["email"] == ["dora_x", "anna", "berta", "carla"]
    assert orders["tenantId"] == ["anna", "berta", "dora_x", "carla"]
    assert await users(people, sort="lastName", order="desc") == ["dora_x", "carla", "anna", "berta"]


async def test_a_page_has_flowables_envelope_and_a_token_that_goes_on(people: World, refused: Refused) -> None:
    first = await people.identity.ListUsers(pb.ListUsersRequest(size=2, sort="lastName"))
    second = await people.identity.ListUsers(
        pb.ListUsersRequest(size=2, sort="lastName", page_token=first.next_page_token)
    )
    started = await people.identity.ListUsers(pb.ListUsersRequest(size=2, start=2, sort="lastName"))

    assert (first.total, first.start, first.sort, first.order, first.size) == (5, 0, "lastName", "asc", 2)
    assert [each.id for each in second.data] == [each.id for each in started.data]
    assert not second.HasField("total")
    for wrong in (
        {"sort": "password"},
        {"order": "up"},
        {"size": -1},
        {"size": 10_001},
        {"page_token": "x"},
        {"page_token": first.next_page_token},
        {"ids": [str(n) for n in range(10_001)]},
    ):
        found = await refused(people.identity.ListUsers(pb.ListUsersRequest(**wrong)))
        assert found == ("INVALID_ARGUMENT", "invalid-query")


async def test_groups_are_found_and_sorted(people: World) -> None:
    assert await groups(people) == ["bosses", "clerks"]
    assert await groups(people, id="clerks") == ["clerks"]
    assert await groups(people, ids=["clerks", "none"]) == ["clerks"]
    assert await groups(people, name="Bosses") == ["bosses"]
    assert await groups(people, name_like="%er%") == ["clerks"]
    assert await groups(people, type="assignment") == ["clerks"]
    assert await groups(people, member="berta") == ["clerks"]
    assert await groups(people, member="anna", sort="type", order="desc") == ["bosses", "clerks"]
    assert await groups(people, without_tenant_id=True) == ["bosses", "clerks"]
    assert await groups(people, tenant_id="acme") == []


async def test_privileges_are_found_by_who_has_them(people: World) -> None:
    engine = await people.privilege("engine.*", users=["anna"], groups=["clerks"])
    history = await people.privilege("history.*", groups=["clerks", "bosses"])

    async def names(**filters: Any) -> list[str]:
        found = await people.identity.ListPrivileges(pb.ListPrivilegesRequest(sort="name", **filters))
        return [each.name for each in found.data]

    assert await names() == ["*", "engine.*", "history.*"]
    assert await names(id=engine.id) == ["engine.*"]
    assert await names(name="history.*") == ["history.*"]
    assert await names(user_id="anna") == ["engine.*"], "not by way of a group"
    assert await names(group_id="clerks") == ["engine.*", "history.*"]
    assert await names(group_id="bosses", id=history.id) == ["history.*"]


async def test_tenants_are_found_and_sorted(people: World) -> None:
    await people.identity.CreateTenant(pb.CreateTenantRequest(id="zeta", name="A Company"))

    async def tenants(**filters: Any) -> list[str]:
        return [each.id for each in (await people.identity.ListTenants(pb.ListTenantsRequest(**filters))).data]

    assert await tenants() == ["acme", "zeta"]
    assert await tenants(sort="name") == ["zeta", "acme"]
    assert await tenants(sort="createTime", order="desc") == ["zeta", "acme"]
    assert await tenants(id="acme") == ["acme"]
    assert await tenants(name="ACME") == ["acme"]
    assert await tenants(name_like="A C%") == ["zeta"]
