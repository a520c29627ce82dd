"""Jobs of the contract and jobs of the engine, both ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
from flowloom.engine.v1 import external_worker_service_pb2 as worker_pb
from flowloom.engine.v1 import job_pb2
from flowloom.engine.v1 import management_service_pb2 as pb
from google.api import httpbody_pb2
from google.protobuf import struct_pb2

from engine.app.external_work import Acquire, Report
from engine.app.jobs import LeaseChange, LeasedJob
from engine.app.operations import EngineFacts
from engine.app.queries import ConsistencyReport, ExternalWorkerJobView, JobView
from engine.kernel import commands as cmd
from engine.kernel.durations import Duration, parse_duration
from engine.kernel.errors import Refused
from engine.rpc import mapping_lists as lists
from engine.rpc.errors import domain_error, invalid_request
from engine.rpc.variables import GLOBAL, read_scoped, write_variable
from mesh.errors import DomainError
from mesh.rpc_errors import CODES, code_number

DEFAULT_COUNT: Final = 1
DEFAULT_TRIES: Final = 5
DEFAULT_IN_FLIGHT: Final = 32
SCOPE_TYPE: Final = "bpmn"
LONGEST_MONTH_DAYS: Final = 31
_STACKTRACE: Final = "text/plain; charset=utf-8"
_OK: Final = code_number(grpc.StatusCode.OK)


# --- management -------------------------------------------------------------------------------------------------------


def job(view: JobView) -> job_pb2.Job:
    """Return a job as operators see it."""
    return lists.message_of(job_pb2.Job, view)


def stacktrace(text: str) -> httpbody_pb2.HttpBody:
    """Return why an attempt failed, as text."""
    return httpbody_pb2.HttpBody(content_type=_STACKTRACE, data=text.encode())


def require_action(found: str, *expected: str) -> str:
    """Return the action. Raises InvalidArgument for another one; absent it is the only one that there is."""
    if not found and len(expected) == 1:
        return expected[0]
    if found not in expected:
        raise invalid_request("action", f"expected action {' or '.join(expected)}, found '{found}'")
    return found


def due_date(request: pb.RescheduleTimerJobRequest | pb.ExecuteTimerJobActionRequest) -> datetime:
    """Return the due date. Raises InvalidArgument if there is none."""
    if not request.HasField("due_date"):
        raise invalid_request("due_date", "expected a due date to reschedule to, found none")
    return request.due_date.ToDatetime(tzinfo=UTC)


def clock_move(request: pb.AdvanceClockRequest) -> Callable[[datetime], datetime]:
    """Return where to move a clock. Raises InvalidArgument for anything but exactly one of a duration and a moment."""
    if request.HasField("advance") == request.HasField("to"):
        raise invalid_request("advance", "expected exactly one of advance and to, found both or none")
    if request.HasField("to"):
        to = request.to.ToDatetime(tzinfo=UTC)
        return lambda _: to
    return _duration(request.advance, "advance").after


def capabilities(facts: EngineFacts, *, manual_clock: bool, manual_jobs: bool) -> pb.GetCapabilitiesResponse:
    """Return what this engine can do."""
    known = facts.capabilities
    return pb.GetCapabilitiesResponse(
        element_types=known.element_types,
        event_definitions=known.event_definitions,
        script_languages=known.script_languages,
        limits=known.limits,
        manual_clock=manual_clock,
        manual_jobs=manual_jobs,
    )


def properties(facts: EngineFacts) -> struct_pb2.Struct:
    """Return the engine's properties."""
    found = struct_pb2.Struct()
    found.update(dict(facts.properties))
    return found


def consistency(report: ConsistencyReport) -> pb.CheckConsistencyResponse:
    """Return what a check found."""
    return pb.CheckConsistencyResponse(
        consistent=report.consistent,
        instances_checked=report.instances_checked,
        findings=[
            pb.ConsistencyFinding(
                rule=found.rule,
                process_instance_id=found.process_instance_id or None,
                subject_id=found.subject_id or None,
                message=found.message,
            )
            for found in report.findings
        ],
    )


# --- workers ----------------------------------------------------------------------------------------------------------


def acquire(request: worker_pb.AcquireJobsRequest) -> Acquire:
    """Return what a worker asks for. Raises InvalidArgument for a duration that is none."""
    if request.HasField("scope_type") and request.scope_type not in ("", SCOPE_TYPE):
        raise invalid_request("scope_type", f"expected scope type {SCOPE_TYPE}, found '{request.scope_type}'")
    return Acquire(
        topic=request.topic,
        worker_id=request.worker_id,
        lease=lease_duration(request.lock_duration),
        count=request.number_of_tasks if request.HasField("number_of_tasks") else DEFAULT_COUNT,
        tries=request.number_of_retries if request.HasField("number_of_retries") else DEFAULT_TRIES,
        tenant_id=request.tenant_id if request.HasField("tenant_id") else None,
        request_id=request.request_id,
    )


def listen(request: worker_pb.StreamJobsRequest) -> Acquire:
    """Return what a listening worker asks for; `count` is how many jobs it may hold."""
    return Acquire(
        topic=request.topic,
        worker_id=request.worker_id,
        lease=lease_duration(request.lock_duration),
        count=request.max_in_flight if request.HasField("max_in_flight") else DEFAULT_IN_FLIGHT,
        tenant_id=request.tenant_id if request.HasField("tenant_id") else None,
    )


def lease_duration(text: str) -> timedelta:
    """Return how long a lock lasts; a month counts as its longest. Raises InvalidArgument for what is no duration."""
    duration = _duration(text, "lock_duration")
    return duration.rest + timedelta(days=LONGEST_MONTH_DAYS) * duration.months


def completion(
    item: worker_pb.CompleteJobRequest | worker_pb.JobCompletion, worker_id: str, user_id: str, field: str = ""
) -> cmd.CompleteJob:
    """Return the report of a job that is done; `field` is where the item stands in its request."""
    globals_, locals_ = read_scoped(item.variables, GLOBAL, f"{field}variables")
    return cmd.CompleteJob(
        job_id=item.job_id,
        worker_id=worker_id,
        lock_token=item.lock_token,
        variables=globals_,
        local_variables=locals_,
        user_id=user_id,
    )


def failure(
    item: worker_pb.FailJobRequest | worker_pb.JobFailure, worker_id: str, user_id: str, now: datetime, field: str = ""
) -> cmd.FailJob:
    """Return the report of a job that failed."""
    if item.HasField("retries") and item.retries < 0:
        raise invalid_request(f"{field}retries", f"expected 0 or more retries, found {item.retries}")
    wait = _duration(item.retry_timeout, f"{field}retry_timeout") if item.retry_timeout else None
    return cmd.FailJob(
        job_id=item.job_id,
        worker_id=worker_id,
        lock_token=item.lock_token,
        error=item.error_message,
        details=item.error_details,
        retries=item.retries if item.HasField("retries") else None,
        retry_at=wait.after(now) if wait is not None else None,
        user_id=user_id,
    )


def bpmn_error(
    item: worker_pb.ThrowBpmnErrorRequest | worker_pb.JobBpmnError, worker_id: str, user_id: str, field: str = ""
) -> cmd.ThrowJobError:
    """Return the report of a job that ended in a BPMN error; local variables end with the task and are not kept."""
    globals_, _ = read_scoped(item.variables, GLOBAL, f"{field}variables")
    return cmd.ThrowJobError(
        job_id=item.job_id,
        worker_id=worker_id,
        lock_token=item.lock_token,
        error_code=item.error_code,
        error_message=item.error_message,
        variables=globals_,
        user_id=user_id,
    )


def completions(request: worker_pb.CompleteJobsRequest, user_id: str) -> list[Report]:
    """Return the reports of a batch, in its order."""
    worker = request.worker_id
    return [completion(item, worker, user_id, f"jobs[{index}].") for index, item in enumerate(request.jobs)]


def failures(request: worker_pb.FailJobsRequest, user_id: str, now: datetime) -> list[Report]:
    """Return the reports of a batch, in its order."""
    worker = request.worker_id
    return [failure(item, worker, user_id, now, f"jobs[{index}].") for index, item in enumerate(request.jobs)]


def bpmn_errors(request: worker_pb.ThrowBpmnErrorsRequest, user_id: str) -> list[Report]:
    """Return the reports of a batch, in its order."""
    worker = request.worker_id
    return [bpmn_error(item, worker, user_id, f"jobs[{index}].") for index, item in enumerate(request.jobs)]


def locks(request: worker_pb.ExtendJobLocksRequest) -> list[LeaseChange]:
    """Return the leases to extend, in the request's order."""
    return [LeaseChange(job_id=item.job_id, owner=request.worker_id, token=item.lock_token) for item in request.jobs]


def lock(request: worker_pb.ExtendJobLockRequest | worker_pb.UnacquireJobRequest) -> LeaseChange:
    """Return the lease that a request names."""
    return LeaseChange(job_id=request.job_id, owner=request.worker_id, token=request.lock_token)


def outcomes(reports: Sequence[Report], refused: Sequence[Refused | None]) -> list[worker_pb.JobOutcome]:
    """Return what became of each item."""
    return [_outcome(report.job_id, found) for report, found in zip(reports, refused, strict=True)]


def lock_outcomes(leases: Sequence[LeaseChange], found: Sequence[datetime | Refused]) -> list[worker_pb.JobOutcome]:
    """Return until when each lock lasts, or why it could not be extended."""
    told = []
    for lease, result in zip(leases, found, strict=True):
        outcome = _outcome(lease.job_id, result if isinstance(result, Refused) else None)
        if isinstance(result, datetime):
            outcome.lock_expiration_time.FromDatetime(result)
        told.append(outcome)
    return told


def leased(found: LeasedJob) -> job_pb2.ExternalWorkerJob:
    """Return a job as its worker gets it, with its input."""
    owner = f"{lists.EXECUTIONS}/{found.execution_id}"
    return job_pb2.ExternalWorkerJob(
        id=found.id,
        process_instance_id=found.instance_id,
        process_definition_id=found.definition_id or None,
        process_definition_key=found.definition_key or None,
        execution_id=found.execution_id,
        element_instance_id=found.execution_id,
        element_id=found.element_id,
        element_name=found.element_name or None,
        topic=found.topic,
        retries=found.retries,
        exception_message=found.error or None,
        due_date=_time(found.due_at),
        create_time=_time(found.created_at),
        lock_owner=found.owner,
        lock_expiration_time=_time(found.until),
        lock_token=found.token,
        tenant_id=found.tenant_id,
        variables=[
            write_variable(name, variable, value_url=lists.variable_path(owner, name, ""))
            for name, variable in found.variables.items()
        ],
    )


def worker_job(view: ExternalWorkerJobView) -> job_pb2.ExternalWorkerJob:
    """Return a job of a list."""
    return lists.message_of(job_pb2.ExternalWorkerJob, view)


def _outcome(job_id: str, refused: Refused | None) -> worker_pb.JobOutcome:
    if refused is None:
        return worker_pb.JobOutcome(job_id=job_id, code=_OK)
    answer: DomainError = domain_error(refused)
    return worker_pb.JobOutcome(
        job_id=job_id, code=code_number(CODES[answer.status]), reason=answer.reason, message=answer.message
    )


def _duration(text: str, field: str) -> Duration:
    try:
        return parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise invalid_request(field, str(error)) from error


def _time(moment: datetime) -> Any:
    # The generated constructors take a datetime for a Timestamp; their type stubs do not say so.
    return moment
