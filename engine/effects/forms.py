"""The forms service behind the engine's port `Forms`, over its generated stubs.

The engine asks as itself: whoever may complete a task may submit its form, and nobody may prepare submissions by hand.
Deadlines are short of what the engine's own callers wait for; what may be repeated is, for the barrier of a step makes
that harmless.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import grpc
from flowloom.engine.v1 import variable_pb2
from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_repository_service_pb2 as repository_pb
from flowloom.forms.v1 import form_repository_service_pb2_grpc as repository_services
from flowloom.forms.v1 import form_service_pb2 as pb
from flowloom.forms.v1 import form_service_pb2_grpc as services
from google.protobuf import struct_pb2
from google.protobuf.message import Message

from engine.app.archives import File
from engine.app.forms import FieldState, FormInfo, Step, Submission, SubmittedForm
from engine.kernel.values import BOOLEAN, DATE, DOUBLE, INTEGER, LONG, NULL, STRING, Variable, parse_datetime
from mesh.errors import DomainError, NotFound, Unavailable
from mesh.rpc_errors import refusal_in
from mesh.settings import setting

M = TypeVar("M", bound=Message)
Metadata = tuple[tuple[str, str], ...]

_FIRST_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FormsCallSettings:
    """How the forms service is called."""

    call_seconds: float = setting(5.0, doc="How long one call to forms may take.", minimum=0.1)
    tries: int = setting(3, doc="Tries of a call while forms is away.", minimum=1)
    kept: int = setting(500, doc="Form definitions that are kept in memory.", minimum=0)


class GrpcForms:
    """The `Forms` of the engine."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        settings: FormsCallSettings,
        credentials: Callable[[], Metadata] = tuple,
    ) -> None:
        """`credentials` gives the metadata with which the engine says who it is."""
        self._repository: Any = repository_services.FormRepositoryServiceStub(channel)
        self._forms: Any = services.FormServiceStub(channel)
        self._settings = settings
        self._credentials = credentials
        self._kept: OrderedDict[str, FormInfo] = OrderedDict()

    async def by_key(self, key: str, *, tenant_id: str, deployment_id: str) -> FormInfo:
        request = repository_pb.ResolveFormRequest(
            form_key=key, tenant_id=tenant_id, parent_deployment_id=deployment_id or None
        )
        found: repository_pb.ResolveFormResponse = await self._ask(self._repository.ResolveForm, request)
        return self._keep(_form(found.definition, found.model))

    async def by_id(self, form_definition_id: str) -> FormInfo:
        # A definition never changes; one that is deleted is refused when something is submitted with it.
        kept = self._kept.get(form_definition_id)
        if kept is not None:
            self._kept.move_to_end(form_definition_id)
            return kept
        definition = await self._ask(
            self._repository.GetFormDefinition,
            repository_pb.GetFormDefinitionRequest(form_definition_id=form_definition_id),
        )
        model = await self._ask(
            self._repository.GetFormDefinitionModel,
            repository_pb.GetFormDefinitionModelRequest(form_definition_id=form_definition_id),
        )
        return self._keep(_form(definition, model))

    def _keep(self, form: FormInfo) -> FormInfo:
        self._kept[form.id] = form
        while len(self._kept) > self._settings.kept:
            self._kept.popitem(last=False)
        return form

    async def prepare(self, step: Step, submission: Submission) -> dict[str, Variable]:
        request = pb.PrepareSubmissionRequest(
            saga_id=step.saga_id,
            step_id=step.step_id,
            form_definition_id=submission.form_definition_id,
            tenant_id=submission.tenant_id,
            task_id=submission.task_id or None,
            process_instance_id=submission.process_instance_id or None,
            process_definition_id=submission.process_definition_id or None,
            user_id=submission.user_id or None,
            outcome=submission.outcome or None,
            values=_struct(submission.values),
            field_states=[_state(each) for each in submission.states],
        )
        found: pb.PrepareSubmissionResponse = await self._ask(self._forms.PrepareSubmission, request)
        return {each.name: _variable(each) for each in found.variables}

    async def confirm(self, step: Step, process_instance_id: str = "") -> None:
        request = pb.ConfirmSubmissionRequest(
            saga_id=step.saga_id, step_id=step.step_id, process_instance_id=process_instance_id or None
        )
        await self._ask(self._forms.ConfirmSubmission, request)

    async def discard(self, step: Step) -> None:
        request = pb.DiscardSubmissionRequest(saga_id=step.saga_id, step_id=step.step_id)
        await self._ask(self._forms.DiscardSubmission, request)

    async def waiting_submissions(self, before: datetime, most: int) -> Sequence[tuple[Step, str]]:
        request = pb.ListFormInstancesRequest(state="prepared", size=most, sort="submittedDate")
        request.submitted_before.FromDatetime(before)
        found: pb.ListFormInstancesResponse = await self._ask(self._forms.ListFormInstances, request)
        return [(Step(each.saga_id, each.step_id), each.task_id) for each in found.data]

    async def submitted_with(self, task_id: str) -> SubmittedForm | None:
        request = pb.ListFormInstancesRequest(task_id=task_id, size=1, sort="submittedDate", order="desc")
        found: pb.ListFormInstancesResponse = await self._ask(self._forms.ListFormInstances, request)
        if not found.data:
            return None
        (instance,) = found.data
        return SubmittedForm(
            form_definition_id=instance.form_definition_id,
            values=_plain_struct(instance.values),
            outcome=instance.outcome,
            submitted_by=instance.submitted_by,
            tenant_id=instance.tenant_id,
        )

    async def prepare_deployment(self, deployment_id: str, name: str, tenant_id: str, files: Sequence[File]) -> None:
        request = repository_pb.PrepareFormDeploymentRequest(
            parent_deployment_id=deployment_id,
            name=name or None,
            tenant_id=tenant_id,
            resources=[form_pb2.FormResource(name=file.name, data=file.data) for file in files],
        )
        await self._ask(self._repository.PrepareFormDeployment, request)

    async def confirm_deployment(self, deployment_id: str) -> None:
        request = repository_pb.ConfirmFormDeploymentRequest(parent_deployment_id=deployment_id)
        await self._ask(self._repository.ConfirmFormDeployment, request)

    async def discard_deployment(self, deployment_id: str) -> None:
        request = repository_pb.DiscardFormDeploymentRequest(parent_deployment_id=deployment_id)
        await self._ask(self._repository.DiscardFormDeployment, request)

    async def waiting_deployments(self, before: datetime, most: int) -> Sequence[str]:
        request = repository_pb.ListFormDeploymentsRequest(state="prepared", size=most, sort="deployTime")
        request.deployed_before.FromDatetime(before)
        found: repository_pb.ListFormDeploymentsResponse = await self._ask(
            self._repository.ListFormDeployments, request
        )
        return [each.parent_deployment_id for each in found.data]

    async def deployments_with_forms(self, page_token: str, most: int) -> tuple[Sequence[str], str]:
        request = repository_pb.ListFormDeploymentsRequest(size=most, page_token=page_token)
        found: repository_pb.ListFormDeploymentsResponse = await self._ask(
            self._repository.ListFormDeployments, request
        )
        ids = [each.parent_deployment_id for each in found.data if each.parent_deployment_id]
        return ids, found.next_page_token

    async def _ask(self, method: Callable[..., Awaitable[M]], request: Message) -> M:
        """Call, again while forms is away. Raises what it refuses; Unavailable."""
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, self._settings.tries + 1):
            try:
                return await method(request, timeout=self._settings.call_seconds, metadata=self._credentials() or None)
            except grpc.aio.AioRpcError as failed:
                refused = _refusal(failed)
                if attempt == self._settings.tries or not isinstance(refused, Unavailable):
                    raise refused from failed
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("the last try returns or raises")


def _refusal(failed: grpc.aio.AioRpcError) -> DomainError:
    found = refusal_in(failed)
    if found is not None:
        return found
    if failed.code() is grpc.StatusCode.NOT_FOUND:
        return NotFound("form-not-found", failed.details() or "expected a form, found none")
    return Unavailable("forms-away", f"expected the forms service to answer, found {failed.code().name.lower()}")


def _form(definition: form_pb2.FormDefinition, model: struct_pb2.Struct) -> FormInfo:
    return FormInfo(
        id=definition.id,
        key=definition.key,
        version=definition.version,
        name=definition.name,
        description=definition.description,
        category=definition.category,
        tenant_id=definition.tenant_id,
        deployment_id=definition.deployment_id,
        resource_name=definition.resource_name,
        model=_plain_struct(model),
    )


def _state(state: FieldState) -> form_pb2.FieldState:
    return form_pb2.FieldState(
        id=state.id,
        required=state.required,
        read_only=state.read_only,
        ignored=state.ignored,
        options=state.options,
    )


def _variable(message: variable_pb2.Variable) -> Variable:
    """The variable as the kernel has it; forms answers only the types that fields have."""
    value = _plain(message.value)
    kind = message.type
    if kind in (INTEGER, LONG):
        return Variable(kind, int(value))
    if kind == DOUBLE:
        return Variable(kind, float(value))
    if kind == DATE:
        return Variable(kind, parse_datetime(str(value)))
    if kind in (STRING, BOOLEAN, NULL):
        return Variable(kind, value)
    raise ValueError(f"expected a variable of a form field, found one of type '{kind}'")


def _plain_struct(message: struct_pb2.Struct) -> dict[str, Any]:
    return {name: _plain(value) for name, value in message.fields.items()}


def _plain(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return None if kind in (None, "null_value") else getattr(value, kind)


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    for name, value in values.items():
        _fill(message.fields[name], value)
    return message


def _fill(target: struct_pb2.Value, value: Any) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int) and abs(value) >= 2**53:
        # No double holds it; forms takes the digits.
        target.string_value = str(value)
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Mapping):
        target.struct_value.CopyFrom(_struct(value))
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for each in value:
            _fill(target.list_value.values.add(), each)
    else:
        raise TypeError(f"expected a JSON value, found {type(value).__name__}")
