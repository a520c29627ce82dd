"""Starting instances, messages and signals: requests as what is asked, and their answers."""

from __future__ import annotations

from typing import TypeAlias

from flowloom.engine.v1 import process_instance_pb2
from flowloom.engine.v1 import runtime_service_pb2 as pb

from engine.app.correlation import CorrelateAsk, Correlated
from engine.app.form_submissions import StartSubmission
from engine.app.instance_changes import MigrationTarget
from engine.app.signalling import SignalAsk
from engine.app.starting import StartAsk, Started
from engine.kernel.state import COMPLETED
from engine.rpc import mapping_lists
from engine.rpc.context import PROCESS_MANAGE, named_user, own_tenant, tenant_asked
from engine.rpc.errors import invalid_request
from engine.rpc.mapping_instances import Migration, plain_variables
from engine.rpc.variables import read_variables

Starts: TypeAlias = pb.StartProcessInstanceRequest


def start(request: Starts, caller: str) -> StartAsk:
    """Return what is asked, but for what was written into a start form.

    Raises InvalidArgument for a bad variable.
    """
    variables = read_variables(request.variables) if request.variables else {}
    transient = request.transient_variables
    return StartAsk(
        definition_id=request.process_definition_id,
        key=request.process_definition_key,
        message=request.message,
        version=request.version if request.HasField("version") else None,
        # An id says by itself whose definition it is.
        tenant_id=(own_tenant if request.process_definition_id else tenant_asked)(request.tenant_id),
        name=request.name,
        business_key=request.business_key,
        business_status=request.business_status,
        variables=variables,
        transient_variables=read_variables(transient, "transient_variables") if transient else {},
        user_id=named_user(request.start_user_id, PROCESS_MANAGE) if request.start_user_id else caller,
        override_tenant_id=own_tenant(request.override_definition_tenant_id),
        return_variables=request.return_variables,
        callback_id=request.callback_id,
        callback_type=request.callback_type,
        reference_id=request.reference_id,
        reference_type=request.reference_type,
        request_id=request.request_id,
    )


def start_submission(request: Starts, ask: StartAsk) -> StartSubmission | None:
    """Return what was written into the start form; None if nothing was. Raises InvalidArgument for a bad variable."""
    if not request.start_form_variables and not request.outcome:
        return None
    values = read_variables(request.start_form_variables, "start_form_variables")
    return StartSubmission(ask=ask, values=values, outcome=request.outcome)


def started(found: Started) -> process_instance_pb2.ProcessInstance:
    """Return the instance after its start."""
    message = mapping_lists.process_instance(found.view)
    if found.ended:
        message.ended = True
        message.completed = found.view.state == COMPLETED
    return message


def correlate(request: pb.CorrelateMessageRequest, caller: str) -> CorrelateAsk:
    """Return what is asked. Raises InvalidArgument without a message name, and for a variable that cannot be read."""
    if not request.message_name:
        raise invalid_request("message_name", "expected the name of a message, found none")
    return CorrelateAsk(
        name=request.message_name,
        process_instance_id=request.process_instance_id,
        business_key=request.business_key,
        tenant_id=tenant_asked(request.tenant_id),
        variables=read_variables(request.variables),
        transient_variables=read_variables(request.transient_variables, "transient_variables"),
        user_id=caller,
        request_id=request.request_id,
    )


def correlated(found: Correlated) -> pb.CorrelateMessageResponse:
    """Return who got the message."""
    return pb.CorrelateMessageResponse(
        process_instance_id=found.process_instance_id, execution_id=found.execution_id or None, started=found.started
    )


def signal(request: pb.SendSignalRequest, caller: str) -> SignalAsk:
    """Return what is asked.

    Raises InvalidArgument without a signal name, for async with variables, for another action than
    signalEventReceived, and for a variable that cannot be read.
    """
    if not request.signal_name:
        raise invalid_request("signal_name", "expected the name of a signal, found none")
    if request.action and request.action != "signalEventReceived":
        raise invalid_request("action", f"expected action signalEventReceived, found '{request.action}'")
    if getattr(request, "async") and request.variables:
        raise invalid_request("async", "expected no variables with an asynchronous signal, found some")
    return SignalAsk(
        name=request.signal_name,
        process_instance_id=request.process_instance_id,
        tenant_id=tenant_asked(request.tenant_id),
        variables=read_variables(request.variables),
        awaited=not getattr(request, "async"),
        user_id=caller,
        request_id=request.request_id,
    )


def migration_target(request: Migration) -> MigrationTarget:
    """Return the definition to go on by, and the variables to set."""
    return MigrationTarget(
        definition_id=request.to_process_definition_id,
        key=request.to_process_definition_key,
        version=request.to_process_definition_version if request.HasField("to_process_definition_version") else None,
        tenant_id=tenant_asked(request.to_process_definition_tenant_id),
        variables=plain_variables(request.process_instance_variables, "process_instance_variables"),
    )
