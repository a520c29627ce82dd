"""What a principal may do, and whose rows it sees."""

import asyncio

import pytest

from mesh.access import NOBODY, TENANTS_ALL, Principal, acting_as, current_principal, privilege_patterns
from mesh.errors import PermissionDenied


def principal(*privileges: str, tenant_id: str = "") -> Principal:
    return Principal(user_id="kermit", tenant_id=tenant_id, privileges=frozenset(privileges))


def test_a_privilege_is_granted_by_its_name_and_by_every_pattern_above_it() -> None:
    assert privilege_patterns("engine.task.complete") == {"engine.task.complete", "engine.task.*", "engine.*", "*"}
    for granted in privilege_patterns("engine.task.complete"):
        assert principal(granted).may("engine.task.complete")


@pytest.mark.parametrize(
    "granted",
    ["engine.task", "engine.task.claim", "history.*", "engine.task.complete.*", "engine.t*", "", "access-rest-api"],
)
def test_no_other_name_grants_it(granted: str) -> None:
    assert not principal(granted).may("engine.task.complete")


def test_a_plain_name_is_granted_by_itself_and_by_everything() -> None:
    assert principal("access-rest-api").may("access-rest-api")
    assert principal("*").may("access-rest-api")


def test_requiring_a_privilege_names_the_one_that_is_missing() -> None:
    with pytest.raises(PermissionDenied) as refused:
        principal("engine.task.read").require("engine.task.manage")

    assert refused.value.reason == "privilege-missing"
    assert refused.value.facts == {"privilege": "engine.task.manage"}


def test_whoever_has_a_tenant_sees_that_one_whatever_else_is_granted() -> None:
    assert principal("*", tenant_id="acme").visible_tenant == "acme"


def test_without_a_tenant_all_are_seen_by_privilege_and_otherwise_only_rows_without_one() -> None:
    assert principal(TENANTS_ALL).visible_tenant is None
    assert principal("*").visible_tenant is None
    assert principal("engine.*").visible_tenant == ""


def test_naming_a_tenant_that_is_not_seen_is_refused() -> None:
    principal(tenant_id="acme").check_tenant("acme")
    principal(tenant_id="acme").check_tenant("")
    principal(TENANTS_ALL).check_tenant("acme")
    for who in (principal(tenant_id="acme"), principal("engine.*")):
        with pytest.raises(PermissionDenied, match="tenant"):
            who.check_tenant("other")


def test_there_is_no_principal_where_nobody_is_served() -> None:
    with pytest.raises(LookupError):
        current_principal()


def test_acting_as_somebody_ends() -> None:
    async def inside() -> Principal:
        return current_principal()

    with acting_as(NOBODY):
        assert asyncio.run(inside()) is NOBODY
    with pytest.raises(LookupError):
        current_principal()
