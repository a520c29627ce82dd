"""Sagas of the contract and sagas of the engine, both ways."""

from __future__ import annotations

from typing import Any, Final

from flowloom.engine.v1 import saga_service_pb2 as pb
from google.protobuf import json_format, struct_pb2

from engine.app.sagas.declarations import COMPLETION
from engine.app.sagas.operations import SagaOperations, Word
from engine.app.sagas.state import EXECUTE, LogLine, Participant, PlannedStep, Saga
from engine.kernel.durations import parse_duration
from engine.rpc.context import tenant_asked
from engine.rpc.errors import invalid_request
from engine.rpc.mapping_lists import timestamp

DEFAULT_TRIES: Final = 4
DEFAULT_TIMEOUT_SECONDS: Final = 10.0
MAX_DURATION_MS: Final = 2**31 - 1


def saga(found: Saga) -> pb.Saga:
    """Return a saga."""
    step = found.plan[found.position] if found.is_open and 0 <= found.position < len(found.plan) else None
    due_at = found.due_at if found.is_open else None
    return pb.Saga(
        id=found.id,
        name=found.name,
        state=found.state,
        process_instance_id=found.instance_id or None,
        process_definition_key=found.definition_key or None,
        task_id=found.task_id or None,
        step_id=found.step_id(step) if step is not None else None,
        attempts=found.attempts,
        round=found.round,
        error=found.error or None,
        create_time=timestamp(found.created_at),
        end_time=timestamp(found.ended_at) if found.ended_at is not None else None,
        due_date=timestamp(due_at) if due_at is not None else None,
        tenant_id=found.tenant_id,
        steps=[_step(one) for one in found.plan],
        data=_struct(found.data),
    )


def _step(step: PlannedStep) -> pb.SagaStep:
    return pb.SagaStep(
        name=step.name,
        kind=step.kind,
        target=step.target or None,
        timeout=_seconds(step.timeout_seconds),
        tries=step.tries,
        compensates=step.compensates,
    )


def entry(saga_id: str, line: LogLine) -> pb.SagaLogEntry:
    """Return a line of a saga's log."""
    passed = line.ended_at - line.started_at
    return pb.SagaLogEntry(
        saga_id=saga_id,
        number=line.number,
        step_id=line.step_id or None,
        state=line.state,
        attempt=line.attempt,
        start_time=timestamp(line.started_at),
        end_time=timestamp(line.ended_at),
        duration_in_millis=min(max(int(passed.total_seconds() * 1000), 0), MAX_DURATION_MS),
        error=line.error or None,
    )


def participant(found: Participant) -> pb.SagaParticipant:
    """Return a participant."""
    return pb.SagaParticipant(
        id=found.id,
        name=found.name,
        saga_name=found.saga_name,
        process_definition_key=found.definition_key or None,
        target=found.target or None,
        topic=found.topic or None,
        timeout=_seconds(found.timeout_seconds),
        tries=found.tries,
        position=found.position,
        compensates=found.compensates,
        tenant_id=found.tenant_id,
        create_time=timestamp(found.created_at),
    )


def registration(request: pb.RegisterSagaParticipantRequest, operations: SagaOperations) -> Participant:
    """Return who is to be registered. Raises InvalidArgument for a timeout that is no duration."""
    return operations.new_participant(
        name=request.name,
        saga_name=request.saga_name or COMPLETION.name,
        definition_key=request.process_definition_key,
        target=request.target,
        topic=request.topic,
        timeout_seconds=_timeout(request.timeout) if request.timeout else DEFAULT_TIMEOUT_SECONDS,
        tries=request.tries if request.HasField("tries") else DEFAULT_TRIES,
        position=request.position,
        compensates=request.compensates if request.HasField("compensates") else True,
        tenant_id=tenant_asked(request.tenant_id),
    )


def word(request: pb.ConfirmSagaStepRequest) -> Word:
    """Return what a participant says."""
    return Word(
        step_id=request.step_id,
        action=request.action or EXECUTE,
        error=request.error if request.HasField("error") else "",
        final=request.final,
        result=json_format.MessageToDict(request.result),
    )


def _timeout(text: str) -> float:
    try:
        duration = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise invalid_request("timeout", str(error)) from error
    if duration.months:
        raise invalid_request("timeout", f"expected days or less, found '{text}'")
    return duration.rest.total_seconds()


def _seconds(seconds: float) -> str:
    return f"PT{seconds:g}S"


def _struct(data: dict[str, Any]) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(data)
    return found
