"""Deployments, their resources, and process definitions."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, exists, func, or_, select

from engine.app.queries.filters import DeploymentFilter, ProcessDefinitionFilter
from engine.app.queries.paging import Listed, Page
from engine.app.queries.views import (
    DeploymentView,
    IdentityLinkView,
    ProcessDefinitionView,
    ResourceData,
    ResourceView,
)
from engine.storage import tables
from engine.storage.queries import links
from engine.storage.queries.conditions import Conditions, limited
from engine.storage.queries.listing import Listing, Sorting, fetch
from engine.storage.queries.seen import seen
from mesh.errors import InvalidArgument, NotFound

_P: Final = tables.deployment.c
_R: Final = tables.resource.c
_D: Final = tables.process_definition.c
_L: Final = tables.identity_link.c

XML, OCTETS = "text/xml", "application/octet-stream"
BPMN_SUFFIXES: Final = (".bpmn20.xml", ".bpmn")
PROCESS_DEFINITION, RESOURCE = "processDefinition", "resource"

_DEPLOYMENT_SORTING: Final = Sorting(
    list_name="deployments",
    sorts={"id": _P.id, "name": _P.name, "deployTime": _P.deployed_at, "tenantId": _P.tenant_id},
    default="id",
    key=(_P.id,),
)
_DEFINITION_SORTING: Final = Sorting(
    list_name="process definitions",
    sorts={
        "name": _D.name,
        "id": _D.id,
        "key": _D.key,
        "category": _D.category,
        "deploymentId": _D.deployment_id,
        "version": _D.version,
        "tenantId": _D.tenant_id,
    },
    default="name",
    key=(_D.id,),
)
_DEPLOYMENTS: Final = select(*tables.deployment.c)
_DEFINITIONS: Final = select(*tables.process_definition.c)


# --- deployments ------------------------------------------------------------------------------------------------------

_TENANT_OF_RESOURCE: Final = select(_P.tenant_id).where(_P.id == _R.deployment_id).scalar_subquery()


def get_deployment(connection: Connection, deployment_id: str) -> DeploymentView:
    """One deployment. Raises NotFound."""
    rows = connection.execute(seen(connection, _DEPLOYMENTS.where(_P.id == deployment_id), _P.tenant_id)).all()
    if not rows:
        raise _no_deployment(deployment_id)
    return _deployments(connection, rows)[0]


def list_deployments(
    connection: Connection, wanted: DeploymentFilter, page: Page, *, sqlite: bool
) -> Listed[DeploymentView]:
    """Deployments."""
    where = Conditions(sqlite=sqlite)
    where.equal(_P.name, wanted.name)
    where.like(_P.name, wanted.name_like)
    where.equal(_P.category, wanted.category)
    where.unequal(_P.category, wanted.category_not_equals)
    where.equal(_P.key, wanted.key)
    where.like(_P.key, wanted.key_like)
    where.tenant(_P.tenant_id, wanted)
    statement = seen(connection, where.on(_DEPLOYMENTS), _P.tenant_id)
    found = Listing(sorting=_DEPLOYMENT_SORTING, statement=statement, read=_deployments)
    return fetch(connection, found, wanted, page)


def _deployments(_: Connection, rows: Sequence[Row[Any]]) -> list[DeploymentView]:
    return [
        DeploymentView(
            id=row.id,
            name=row.name,
            deployment_time=row.deployed_at,
            category=row.category,
            key=row.key,
            parent_deployment_id=row.parent_deployment_id,
            tenant_id=row.tenant_id,
        )
        for row in rows
    ]


def _no_deployment(deployment_id: str) -> NotFound:
    return NotFound(
        "deployment-not-found",
        f"expected a deployment with id '{deployment_id}', found none",
        deployment_id=deployment_id,
    )


# --- resources --------------------------------------------------------------------------------------------------------


def list_resources(connection: Connection, deployment_id: str) -> list[ResourceView]:
    """The files of a deployment, by name. Raises NotFound."""
    get_deployment(connection, deployment_id)
    names = connection.execute(select(_R.name).where(_R.deployment_id == deployment_id).order_by(_R.name)).scalars()
    return [_resource(deployment_id, name) for name in names]


def get_resource(connection: Connection, deployment_id: str, name: str) -> ResourceView:
    """One of them, without its bytes. Raises NotFound."""
    wanted = select(_R.name).where(_R.deployment_id == deployment_id, _R.name == name)
    found = connection.execute(seen(connection, wanted, _TENANT_OF_RESOURCE)).scalar()
    if found is None:
        raise _no_resource(connection, deployment_id, name)
    return _resource(deployment_id, name)


def get_resource_data(connection: Connection, deployment_id: str, name: str) -> ResourceData:
    """The bytes of one of them. Raises NotFound."""
    wanted = select(_R.bytes).where(_R.deployment_id == deployment_id, _R.name == name)
    data = connection.execute(seen(connection, wanted, _TENANT_OF_RESOURCE)).scalar()
    if data is None:
        raise _no_resource(connection, deployment_id, name)
    return ResourceData(name=name, media_type=media_type(name), data=bytes(data))


def media_type(name: str) -> str:
    """What a file's name says of its content."""
    if name.endswith(BPMN_SUFFIXES):
        return XML
    # The module knows from its own table, not from files of the machine, so every machine says the same.
    return _TYPES.guess_type(name)[0] or OCTETS


_TYPES: Final = mimetypes.MimeTypes()


def _resource(deployment_id: str, name: str) -> ResourceView:
    kind = PROCESS_DEFINITION if name.endswith(BPMN_SUFFIXES) else RESOURCE
    return ResourceView(id=name, deployment_id=deployment_id, media_type=media_type(name), type=kind)


def _no_resource(connection: Connection, deployment_id: str, name: str) -> NotFound:
    get_deployment(connection, deployment_id)
    return NotFound(
        "resource-not-found",
        f"expected deployment {deployment_id} to have a resource '{name}', found none",
        deployment_id=deployment_id,
        resource=name,
    )


# --- definitions ------------------------------------------------------------------------------------------------------


def get_definition(connection: Connection, definition_id: str) -> ProcessDefinitionView:
    """One definition. Raises NotFound."""
    rows = connection.execute(seen(connection, _DEFINITIONS.where(_D.id == definition_id), _D.tenant_id)).all()
    if not rows:
        raise NotFound(
            "process-definition-not-found",
            f"expected a process definition with id '{definition_id}', found none",
            process_definition_id=definition_id,
        )
    return _definitions(connection, rows)[0]


def list_definitions(
    connection: Connection, wanted: ProcessDefinitionFilter, page: Page, *, sqlite: bool
) -> Listed[ProcessDefinitionView]:
    """Definitions."""
    statement = seen(connection, definitions(wanted, sqlite=sqlite), _D.tenant_id)
    return fetch(connection, Listing(sorting=_DEFINITION_SORTING, statement=statement, read=_definitions), wanted, page)


def definitions(wanted: ProcessDefinitionFilter, *, sqlite: bool) -> Select[Any]:
    """The filtered list without order."""
    where = Conditions(sqlite=sqlite)
    where.equal(_D.id, wanted.id)
    where.equal(_D.key, wanted.key)
    where.like(_D.key, wanted.key_like)
    where.equal(_D.name, wanted.name)
    where.like(_D.name, wanted.name_like)
    where.like_ignore_case(_D.name, wanted.name_like_ignore_case)
    where.equal(_D.category, wanted.category)
    where.like(_D.category, wanted.category_like)
    where.unequal(_D.category, wanted.category_not_equals)
    where.equal(_D.version, wanted.version)
    where.equal(_D.deployment_id, wanted.deployment_id)
    where.equal(_D.resource_name, wanted.resource_name)
    where.like(_D.resource_name, wanted.resource_name_like)
    where.tenant(_D.tenant_id, wanted)
    if wanted.suspended is not None:
        where.add(_D.suspended.is_(wanted.suspended))
    if wanted.latest:
        newer = tables.process_definition.alias()
        same = (newer.c.key == _D.key) & (newer.c.tenant_id == _D.tenant_id)
        where.add(_D.version == select(func.max(newer.c.version)).where(same).scalar_subquery())
    if wanted.startable_by_user is not None:
        who = _L.user_id == wanted.startable_by_user
        if wanted.startable_by_groups:
            who = or_(who, _L.group_id.in_(limited(wanted.startable_by_groups, "startable_by_groups")))
        where.add(exists().where(_L.owner_id == _D.id, _L.kind == links.CANDIDATE, who))
    return where.on(_DEFINITIONS)


def _definitions(_: Connection, rows: Sequence[Row[Any]]) -> list[ProcessDefinitionView]:
    return [
        ProcessDefinitionView(
            id=row.id,
            key=row.key,
            version=row.version,
            name=row.name,
            description=row.description,
            tenant_id=row.tenant_id,
            deployment_id=row.deployment_id,
            resource=row.resource_name,
            diagram_resource=row.diagram_resource_name,
            category=row.category,
            suspended=row.suspended,
            start_form_key=row.start_form_key,
        )
        for row in rows
    ]


def get_definition_data(connection: Connection, definition_id: str) -> ResourceData:
    """The BPMN file of a definition. Raises NotFound."""
    definition = get_definition(connection, definition_id)
    return get_resource_data(connection, definition.deployment_id, definition.resource)


def get_definition_image(connection: Connection, definition_id: str) -> ResourceData:
    """The picture of a definition. Raises NotFound, InvalidArgument if it has none (Flowable does so)."""
    definition = get_definition(connection, definition_id)
    if not definition.diagram_resource:
        raise InvalidArgument(
            "no-image",
            f"expected process definition {definition_id} to have a picture, found none",
            process_definition_id=definition_id,
        )
    return get_resource_data(connection, definition.deployment_id, definition.diagram_resource)


def list_definition_links(connection: Connection, definition_id: str) -> list[IdentityLinkView]:
    """Who may start a definition. Raises NotFound."""
    get_definition(connection, definition_id)
    return links.read_links(connection, definition_id)


def get_definition_link(connection: Connection, definition_id: str, family: str, identity_id: str) -> IdentityLinkView:
    """One of them. Raises NotFound, InvalidArgument for the family."""
    links.check_family(family)
    found = links.of_family(list_definition_links(connection, definition_id), family)
    return links.pick(found, identity_id, "", f"process definition {definition_id}")
