"""Deployments, resources and definitions."""

from typing import Any

import pytest

from engine.app.queries import DeploymentFilter, IdentityLinkView, Page, ProcessDefinitionFilter
from engine.storage import tables
from mesh.errors import InvalidArgument, NotFound
from tests.engine.storage.queries.world import REVIEW, ReadWorld
from tests.engine.storage.support import ONE_TASK, START

PAGE = Page()
XML = b"<definitions/>\r\n"


def _deploy(world: ReadWorld) -> None:
    world.deploy_row("d", name="Leave", key="k", category="c", tenant_id="acme")
    world.deploy_row("e", name="Other")
    for name, data in (("test.bpmn", XML), ("a.png", b"\x89PNG"), ("notes", b"x")):
        world.bench.insert(tables.resource, {"deployment_id": "d", "name": name, "bytes": data, "generated": False})


async def test_deployments_are_found_by_their_fields(world: ReadWorld) -> None:
    _deploy(world)

    async def ids(**wanted: Any) -> list[str]:
        listed = await world.queries.list_deployments(DeploymentFilter(**wanted), PAGE)
        return [row.id for row in listed.rows]

    for wanted in (
        {"name": "Leave"},
        {"name_like": "L%"},
        {"category": "c"},
        {"key": "k"},
        {"key_like": "_"},
        {"tenant_id": "acme"},
        {"tenant_id_like": "ac%"},
    ):
        assert await ids(**wanted) == ["d"], wanted
    assert await ids(category_not_equals="c") == await ids(without_tenant_id=True) == ["e"]
    found = await world.queries.get_deployment("d")
    assert (found.name, found.deployment_time, found.tenant_id) == ("Leave", START, "acme")
    with pytest.raises(NotFound, match="'x'"):
        await world.queries.get_deployment("x")


async def test_resources_come_by_name_and_byte_for_byte(world: ReadWorld) -> None:
    _deploy(world)

    found = await world.queries.list_deployment_resources("d")

    assert [(r.id, r.type, r.media_type) for r in found] == [
        ("a.png", "resource", "image/png"),
        ("notes", "resource", "application/octet-stream"),
        ("test.bpmn", "processDefinition", "text/xml"),
    ]
    assert await world.queries.get_deployment_resource("d", "notes") == found[1]
    data = await world.queries.get_deployment_resource_data("d", "test.bpmn")
    assert (data.data, data.media_type, data.name) == (XML, "text/xml", "test.bpmn")
    for ask in (
        world.queries.list_deployment_resources("x"),
        world.queries.get_deployment_resource("d", "x"),
        world.queries.get_deployment_resource_data("x", "test.bpmn"),
    ):
        with pytest.raises(NotFound, match="'x'"):
            await ask


async def test_definitions_are_found_by_their_fields(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK, definition_id="one:1")
    world.bench.define(ONE_TASK, definition_id="one:2")
    world.bench.define(REVIEW, tenant_id="acme")

    async def ids(**wanted: Any) -> list[str]:
        listed = await world.queries.list_process_definitions(ProcessDefinitionFilter(**wanted), Page(sort="id"))
        return [row.id for row in listed.rows]

    assert await ids() == ["one:1", "one:2", "review"]
    assert await ids(latest=True) == ["one:2", "review"]
    assert await ids(key="one", version=1) == ["one:1"]
    assert await ids(key_like="o%", latest=True) == ["one:2"]
    assert await ids(tenant_id="acme") == await ids(id="review") == ["review"]
    assert await ids(resource_name="test.bpmn", deployment_id="d", suspended=False) == await ids()
    assert await ids(suspended=True) == await ids(category="x") == await ids(name_like_ignore_case="x%") == []


async def test_definitions_that_somebody_may_start(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    world.bench.define(REVIEW)
    link = {"root_id": "", "task_id": "", "instance_id": "", "kind": "candidate", "user_id": "", "group_id": ""}
    world.bench.insert(tables.identity_link, link | {"owner_id": "one", "id": "1", "user_id": "kermit"})
    world.bench.insert(tables.identity_link, link | {"owner_id": "review", "id": "2", "group_id": "managers"})

    async def ids(*groups: str) -> list[str]:
        wanted = ProcessDefinitionFilter(startable_by_user="kermit", startable_by_groups=groups)
        return [row.id for row in (await world.queries.list_process_definitions(wanted, Page(sort="id"))).rows]

    assert await ids() == ["one"]
    assert await ids("managers") == ["one", "review"]
    assert await world.queries.list_process_definition_identity_links("one") == [
        IdentityLinkView(user="kermit", type="candidate")
    ]
    found = await world.queries.get_process_definition_identity_link("review", "groups", "managers")
    assert found.group == "managers"
    with pytest.raises(NotFound):
        await world.queries.get_process_definition_identity_link("review", "users", "managers")
    with pytest.raises(InvalidArgument, match="users or groups"):
        await world.queries.get_process_definition_identity_link("review", "people", "managers")


async def test_definition_gives_its_file_and_says_that_it_has_no_picture(world: ReadWorld) -> None:
    _deploy(world)
    world.bench.define(ONE_TASK)

    data = await world.queries.get_process_definition_resource_data("one")

    assert data.data == XML
    with pytest.raises(InvalidArgument, match="picture"):
        await world.queries.get_process_definition_image("one")
    with pytest.raises(NotFound, match="'x'"):
        await world.queries.get_process_definition("x")
