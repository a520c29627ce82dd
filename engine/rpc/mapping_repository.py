"""Requests about deployments and definitions as values of the use cases and queries, and their answers as messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import quote

from flowloom.engine.v1 import deployment_pb2, identity_link_pb2, process_definition_pb2
from flowloom.engine.v1 import repository_service_pb2 as pb
from google.api import httpbody_pb2
from google.protobuf import struct_pb2, timestamp_pb2

from engine.app import multipart
from engine.app.archives import File, is_archive
from engine.app.definition_changes import ChangeState
from engine.app.deployments import Deploy
from engine.app.models import BPMN_SUFFIXES
from engine.app.queries import DeploymentView, IdentityLinkView, ProcessDefinitionView, ResourceData, ResourceView
from engine.app.repository import CANDIDATE, DeploymentRecord, Starter
from engine.kernel.values import Value
from engine.rpc.context import tenant_asked
from engine.rpc.errors import invalid_request
from engine.rpc.mapping_lists import identity_link, message_of
from engine.rpc.variables import to_value
from mesh.errors import InvalidArgument

ACTIONS: Final = ("suspend", "activate")
FAMILIES: Final = ("users", "groups")
DEPLOYMENTS: Final = "/process-api/repository/deployments"

LinkRequest: TypeAlias = pb.GetProcessDefinitionIdentityLinkRequest | pb.DeleteProcessDefinitionIdentityLinkRequest


# --- requests ---------------------------------------------------------------------------------------------------------


def deploy(request: pb.CreateDeploymentRequest) -> Deploy:
    """Return what is asked of the deployment."""
    return Deploy(
        files=[File(resource.name, resource.bytes) for resource in request.resources],
        name=request.name,
        key=request.key,
        category=request.category,
        tenant_id=tenant_asked(request.tenant_id),
        skip_duplicate=request.enable_duplicate_filtering,
        request_id=request.request_id,
    )


def upload(request: pb.UploadDeploymentRequest) -> Deploy:
    """Return what is asked of the deployment of one file.

    The name of the deployment is that of the file up to its first dot, unless one is given (Flowable). Raises Refused
    or InvalidArgument for a body that is not multipart, for anything but one file, or for a file of another kind.
    """
    parts = multipart.parse(request.file.data, request.file.content_type)
    files = [part for part in parts if part.is_file]
    if len(files) != 1:
        raise invalid_request("file", f"expected exactly one file, found {len(files)}")
    fields = {part.name: part.data.decode(errors="replace") for part in parts if not part.is_file}
    file_name = next((name for name in (files[0].file_name, files[0].name) if _is_deployable(name)), "")
    if not file_name:
        found = files[0].file_name
        raise invalid_request("file", f"expected a file named .bpmn20.xml, .bpmn, .zip or .bar, found '{found}'")
    return Deploy(
        files=[File(file_name, bytes(files[0].data))],
        name=request.deployment_name or file_name.split(".", 1)[0] or file_name,
        key=request.deployment_key,
        category=request.category,
        tenant_id=tenant_asked(request.tenant_id or fields.get("tenantId", "")),
        skip_duplicate=request.enable_duplicate_filtering,
        request_id=request.request_id,
    )


def _is_deployable(name: str) -> bool:
    return name.lower().endswith(BPMN_SUFFIXES) or is_archive(name)


def change_state(request: pb.UpdateProcessDefinitionRequest) -> ChangeState:
    """Return the change of state. Raises InvalidArgument for an unknown action."""
    if request.action not in ACTIONS:
        raise invalid_request("action", f"expected an action of {', '.join(ACTIONS)}, found '{request.action}'")
    return ChangeState(
        definition_id=request.process_definition_id,
        suspend=request.action == "suspend",
        include_instances=request.include_process_instances,
        at=_moment(request.date) if request.HasField("date") else None,
        request_id=request.request_id,
    )


def _moment(stamp: timestamp_pb2.Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid_request("date", f"expected a date of the years 1 to 9999, found {stamp.seconds} s") from error


def starter(request: pb.CreateProcessDefinitionIdentityLinkRequest) -> Starter:
    """Return the user or the group of a new link; the use case checks that it is one of both."""
    return Starter(user_id=request.user, group_id=request.group)


def linked(request: LinkRequest) -> Starter:
    """Return the user or the group that a path names. Raises InvalidArgument for an unknown family."""
    if request.family not in FAMILIES:
        raise invalid_request("family", f"expected a family of {', '.join(FAMILIES)}, found '{request.family}'")
    of_user = request.family == "users"
    return Starter(user_id=request.identity_id) if of_user else Starter(group_id=request.identity_id)


# --- answers ----------------------------------------------------------------------------------------------------------


def deployment(view: DeploymentView) -> deployment_pb2.Deployment:
    """Return a deployment."""
    return message_of(deployment_pb2.Deployment, view)


def deployed(record: DeploymentRecord) -> deployment_pb2.Deployment:
    """Return a deployment as the use case tells it."""
    return message_of(deployment_pb2.Deployment, record, deployment_time=record.deployed_at)


def definition(view: ProcessDefinitionView) -> process_definition_pb2.ProcessDefinition:
    """Return a definition."""
    return message_of(
        process_definition_pb2.ProcessDefinition,
        view,
        graphical_notation_defined=view.graphical_notation_defined,
        start_form_defined=view.start_form_defined,
    )


def resource(view: ResourceView) -> deployment_pb2.DeploymentResource:
    """Return a file without its bytes."""
    path = f"{DEPLOYMENTS}/{quote(view.deployment_id, safe='')}/resourcedata/{quote(view.id)}"
    return message_of(deployment_pb2.DeploymentResource, view, content_url=path)


def body(data: ResourceData) -> httpbody_pb2.HttpBody:
    """Return a file's bytes as they are."""
    return httpbody_pb2.HttpBody(content_type=data.media_type, data=data.data)


def candidate(found: Starter) -> identity_link_pb2.IdentityLink:
    """Return the link of a candidate starter."""
    return identity_link(IdentityLinkView(user=found.user_id, group=found.group_id, type=CANDIDATE))


def struct(view: dict[str, Value]) -> struct_pb2.Struct:
    """Return JSON-like facts."""
    wrapped = struct_pb2.Value()
    to_value(view, wrapped)
    return wrapped.struct_value


def nothing_to_change() -> InvalidArgument:
    """Return the refusal of an update that names neither an action nor a category."""
    return invalid_request("action", "expected an action or a category, found neither")
