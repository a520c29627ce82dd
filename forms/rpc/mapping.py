"""Between the messages of the contract and the values of forms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_repository_service_pb2 as repository_pb
from flowloom.forms.v1 import form_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from forms.app.deploying import SUFFIXES, Deploy
from forms.app.resolving import FormAsk, Found
from forms.app.submitting import Submit
from forms.app.typed import read_typed
from forms.model.records import DEPLOYED, DISCARDED, PREPARED, SUBMITTED, Definition, Deployment, Instance, Resource
from forms.model.submission import FieldState, Submission
from forms.rpc.caller import caller_of, narrowed, tenant_of, visible_tenant
from forms.rpc.plain import day_or_plain, read_struct, write_struct
from forms.rpc.uploads import read_upload, refused
from mesh.errors import FieldViolation, InvalidArgument
from mesh.paging import Listed, Page, refuse

F = TypeVar("F", bound=msgspec.Struct)

MAX_REQUEST_ID_CHARACTERS: Final = 128
STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "DeploymentFilter": (DEPLOYED, PREPARED),
    "InstanceFilter": (SUBMITTED, PREPARED, DISCARDED),
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# --- requests ---------------------------------------------------------------------------------------------------------


def request_id(given: str) -> str:
    """Return the request id. Raises InvalidArgument for one that is too long to be kept."""
    if len(given) > MAX_REQUEST_ID_CHARACTERS:
        message = f"expected a request_id of at most {MAX_REQUEST_ID_CHARACTERS} characters, found {len(given)}"
        violation = FieldViolation("request_id", message)
        raise InvalidArgument("request-id-too-long", message, violations=[violation])
    return given


def deploy(request: repository_pb.CreateFormDeploymentRequest | repository_pb.PrepareFormDeploymentRequest) -> Deploy:
    """Return what is asked of a deployment."""
    return Deploy(
        resources=[Resource(name=each.name, data=each.data) for each in request.resources],
        name=request.name,
        category=request.category,
        tenant_id=tenant_of(request.tenant_id),
        parent_deployment_id=getattr(request, "parent_deployment_id", ""),
        request_id=request_id(request.request_id),
    )


def upload(request: repository_pb.UploadFormDeploymentRequest) -> Deploy:
    """Return what is asked of the deployment of one file, named after it unless a name is given (Flowable)."""
    found = read_upload(request.file.data, request.file.content_type)
    if not found.file_name.lower().endswith(SUFFIXES):
        raise refused(f"expected a file named .form or .json, found '{found.file_name[:100]}'")
    return Deploy(
        resources=[Resource(name=found.file_name, data=found.data)],
        name=request.deployment_name or found.file_name.split(".", 1)[0] or found.file_name,
        category=request.category,
        tenant_id=tenant_of(request.tenant_id or found.fields.get("tenantId", "")),
        request_id=request_id(request.request_id),
    )


def submit(
    request: pb.PrepareSubmissionRequest | pb.ValidateSubmissionRequest | pb.CreateFormInstanceRequest,
) -> Submit:
    """Return what is submitted; fields that a request does not have are empty.

    Who submits is whom the request names, or the caller.
    """
    return Submit(
        form=FormAsk(
            definition_id=request.form_definition_id,
            key=request.form_key,
            tenant_id=tenant_of(request.tenant_id),
            visible_tenant=visible_tenant(),
            parent_deployment_id=getattr(request, "parent_deployment_id", ""),
        ),
        submission=Submission(
            values=read_struct(request.values),
            outcome=request.outcome,
            states={each.id: _state(each) for each in getattr(request, "field_states", ())},
        ),
        size=request.values.ByteSize(),
        task_id=getattr(request, "task_id", ""),
        process_instance_id=getattr(request, "process_instance_id", ""),
        process_definition_id=getattr(request, "process_definition_id", ""),
        user_id=getattr(request, "user_id", "") or caller_of(),
    )


def _state(message: form_pb2.FieldState) -> FieldState:
    return FieldState(
        required=message.required if message.HasField("required") else None,
        read_only=message.read_only if message.HasField("read_only") else None,
        ignored=message.ignored if message.HasField("ignored") else None,
        options=tuple(message.options),
    )


def form_ask(request: repository_pb.ResolveFormRequest) -> FormAsk:
    """Return which form is meant."""
    return FormAsk(
        key=request.form_key,
        tenant_id=tenant_of(request.tenant_id),
        visible_tenant=visible_tenant(),
        parent_deployment_id=request.parent_deployment_id,
        version=request.version if request.HasField("version") else None,
        fallback=request.fallback_to_default_tenant if request.HasField("fallback_to_default_tenant") else None,
    )


def read_filter(kind: type[F], request: Any) -> F:
    """Return the filter of a list request: its fields have the names of the request's.

    It is bounded to what the caller sees. Raises InvalidArgument, PermissionDenied.
    """
    found = kind(**{name: _READERS[hint](request, name) for name, hint in get_type_hints(kind).items()})
    states = STATES.get(kind.__name__, ())
    state = getattr(found, "state", None)
    if state is not None and state not in states:
        raise refuse("state", f"expected a state of {', '.join(states)}, found '{state}'")
    return narrowed(found)


def read_page(request: Any) -> Page:
    """The paging fields that all list requests have."""
    return Page(
        start=request.start,
        size=request.size if request.HasField("size") else None,
        sort=request.sort,
        order=request.order,
        page_token=request.page_token,
    )


def _optional(request: Any, name: str) -> Any:
    return getattr(request, name) if request.HasField(name) else None


def _plain(request: Any, name: str) -> Any:
    return getattr(request, name)


def _moment(request: Any, name: str) -> datetime | None:
    if not request.HasField(name):
        return None
    stamp: Timestamp = getattr(request, name)
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError as error:
        raise refuse(name, "expected a moment of the years 1 to 9999, found another one") from error


_READERS: Final[Mapping[Any, Any]] = {
    str | None: _optional,
    int | None: _optional,
    bool: _plain,
    datetime | None: _moment,
}


# --- answers ----------------------------------------------------------------------------------------------------------


def deployment(record: Deployment) -> form_pb2.FormDeployment:
    """A deployment."""
    return form_pb2.FormDeployment(
        id=record.id,
        name=record.name or None,
        deployment_time=_stamp(record.deployed_at),
        category=record.category or None,
        tenant_id=record.tenant_id,
        parent_deployment_id=record.parent_deployment_id or None,
        state=record.state,
    )


def definition(record: Definition) -> form_pb2.FormDefinition:
    """A definition."""
    return form_pb2.FormDefinition(
        id=record.id,
        key=record.key,
        version=record.version,
        name=record.name or None,
        description=record.description or None,
        category=record.category or None,
        tenant_id=record.tenant_id,
        deployment_id=record.deployment_id,
        parent_deployment_id=record.parent_deployment_id or None,
        resource_name=record.resource_name,
    )


def instance(record: Instance) -> form_pb2.FormInstance:
    """A submission with its values."""
    values = {name: day_or_plain(typed) for name, typed in read_typed(record.content).items()}
    return form_pb2.FormInstance(
        id=record.id,
        form_definition_id=record.form_definition_id,
        form_key=record.form_key,
        form_version=record.form_version,
        outcome=record.outcome or None,
        task_id=record.task_id or None,
        process_instance_id=record.process_instance_id or None,
        process_definition_id=record.process_definition_id or None,
        submitted_date=_stamp(record.submitted_at),
        submitted_by=record.submitted_by or None,
        tenant_id=record.tenant_id,
        state=record.state,
        values=write_struct(values),
        saga_id=record.saga_id or None,
        # One that was made by itself has its own id there, so that the barrier's key stays unique.
        step_id=record.step_id if record.saga_id else None,
    )


def model(found: Found) -> Any:
    """A form's model: as it was deployed, with what the deployment has made of it."""
    record = found.definition
    return write_struct({**found.form.model, "id": record.id, "key": record.key, "version": record.version})


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


def _stamp(moment: datetime) -> Timestamp:
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)
