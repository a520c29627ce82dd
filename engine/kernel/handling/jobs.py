"""Running jobs, and what becomes of those done elsewhere (Flowable's job service)."""

from datetime import datetime
from typing import Any

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel import faults, lifecycle, signals
from engine.kernel.definition import Flow, Node, Wake
from engine.kernel.errors import BpmnError, failed, not_found
from engine.kernel.expression import ExpressionError
from engine.kernel.handling.targets import instance_of, job_of, require_active
from engine.kernel.here import Here
from engine.kernel.retries import Cycle, next_try, parse_cycle
from engine.kernel.state import ASYNC, EXTERNAL, HTTP, TIMER, Execution, Instance, Job
from engine.kernel.turn import Turn
from engine.kernel.values import Variable

COMPLETE_HANDLER = "external-worker-complete"
PARKED = "parked"
MESSAGE_LIMIT = 4000


def _place(turn: Turn, job: Job) -> tuple[Instance, Execution]:
    instance = require_active(instance_of(turn, job.instance_id))
    execution = instance.executions.get(job.execution_id)
    if execution is None:
        root = lifecycle.root_execution(instance, turn.definition_of(instance).process)
        return instance, root
    return instance, execution


def _end(turn: Turn, job: Job, *, canceled: bool = False) -> None:
    turn.emit(
        ev.JobEnded(
            instance_id=job.instance_id,
            job_id=job.id,
            execution_id=job.execution_id,
            kind=job.kind,
            at=turn.at,
            canceled=canceled,
        )
    )


def execute(turn: Turn, command: cmd.ExecuteJob) -> None:
    """Run a timer or an asynchronous continuation."""
    job = job_of(turn, command.job_id)
    if job.kind not in (TIMER, ASYNC):
        raise failed(
            "not-executable", f"expected a timer or an async job, found job {job.id} of kind {job.kind}", job_id=job.id
        )
    instance, execution = _place(turn, job)
    _end(turn, job)
    if job.kind == TIMER:
        woken = Wake(kind=TIMER, wait_id=job.id, name=job.repeat, due_at=job.due_at)
        lifecycle.wake(turn, instance, execution, job.element_id, woken)
    elif PARKED in job.payload:
        _continue_parked(turn, instance, execution, job)
    elif signals.RECEIVED in job.payload:
        signals.receive(turn, instance, execution, job)
    else:
        node = turn.node_of(instance, execution)
        lifecycle.continue_queued(turn, instance, execution, node, _chosen(node, job))


def _chosen(node: Node, job: Job) -> tuple[Flow, ...] | None:
    """The flows that were chosen before the leaving was put off; None leaves it to their conditions."""
    ids = job.payload.get(lifecycle.CHOSEN, ())
    return tuple(flow for flow in node.outgoing if flow.id in ids) or None


def _continue_parked(turn: Turn, instance: Instance, execution: Execution, job: Job) -> None:
    """Go on with what was parked: the result of a worker or a called process, or the BPMN error that a worker gave."""
    parked = job.payload[PARKED]
    variables = {name: Variable(kind, value) for name, (kind, value) in parked["variables"].items()}
    if "error_code" in parked:
        Here(turn, instance, execution, turn.node_of(instance, execution)).set_variables(variables)
        faults.propagate(turn, instance, execution, BpmnError(parked["error_code"], parked["error_message"]))
        return
    kind = lifecycle.CALLED if job.handler == lifecycle.CALL_COMPLETE_HANDLER else EXTERNAL
    lifecycle.wake(turn, instance, execution, job.element_id, Wake(kind=kind, variables=variables, wait_id=job.id))


def _held_by(job: Job, worker_id: str, lock_token: str) -> None:
    """Only the present holder of the lease may report: a slow former one is fenced off."""
    if (worker_id and job.lock_owner != worker_id) or (lock_token and job.lock_token != lock_token):
        raise failed(
            "job-not-locked",
            f"expected job {job.id} to be locked by '{worker_id}', found it locked by '{job.lock_owner or 'nobody'}'",
            job_id=job.id,
        )


def _require_outside(job: Job) -> None:
    if job.kind not in (EXTERNAL, HTTP):
        raise failed(
            "not-external", f"expected a job of an outside task, found job {job.id} of kind {job.kind}", job_id=job.id
        )


def complete(turn: Turn, command: cmd.CompleteJob) -> None:
    """An outside task is done. A worker's results are parked and go on by a job of their own (Flowable)."""
    job = job_of(turn, command.job_id)
    _require_outside(job)
    _held_by(job, command.worker_id, command.lock_token)
    instance, execution = _place(turn, job)
    lifecycle.put_local(turn, instance, execution.id, command.local_variables)
    if job.kind == EXTERNAL:
        _park(turn, job, command.variables, None)
        return
    _end(turn, job)
    lifecycle.wake(
        turn, instance, execution, job.element_id, Wake(kind=HTTP, variables=dict(command.variables), wait_id=job.id)
    )


def _park(turn: Turn, job: Job, variables: cmd.Variables, error: BpmnError | None) -> None:
    parked: dict[str, Any] = {"variables": {name: [v.type, v.value] for name, v in variables.items()}}
    if error is not None:
        # The key is what tells an error from a result: its code may be empty.
        parked |= {"error_code": error.code, "error_message": error.message}
    _change(
        turn,
        job,
        {
            "kind": ASYNC,
            "handler": COMPLETE_HANDLER,
            "topic": "",
            "due_at": turn.at,
            "lock_owner": "",
            "lock_token": "",
            "payload": {**job.payload, PARKED: parked},
        },
    )


def _change(turn: Turn, job: Job, changes: dict[str, Any]) -> None:
    turn.emit(
        ev.JobChanged(
            instance_id=job.instance_id, job_id=job.id, execution_id=job.execution_id, at=turn.at, changes=changes
        )
    )


def throw_error(turn: Turn, command: cmd.ThrowJobError) -> None:
    """An outside task ended in a BPMN error; a worker's goes on by a job of its own."""
    job = job_of(turn, command.job_id)
    _require_outside(job)
    _held_by(job, command.worker_id, command.lock_token)
    instance, execution = _place(turn, job)
    error = BpmnError(command.error_code, command.error_message)
    if job.kind == EXTERNAL:
        _park(turn, job, command.variables, error)
        return
    _end(turn, job)
    Here(turn, instance, execution, turn.node_of(instance, execution)).set_variables(command.variables)
    faults.propagate(turn, instance, execution, error)


def fail(turn: Turn, command: cmd.FailJob) -> None:
    """An attempt failed: one retry less and a later due date, or no retry left and the job is dead."""
    job = job_of(turn, command.job_id)
    _held_by(job, command.worker_id, command.lock_token)
    instance = instance_of(turn, job.instance_id)
    node = turn.definition_of(instance).nodes[job.element_id]
    cycle = _cycle(turn, instance, job, node)
    retries = max(job.retries - 1 if command.retries is None else command.retries, 0)
    changes: dict[str, Any] = {
        "retries": retries,
        "error": command.error[:MESSAGE_LIMIT],
        "error_details": command.details,
        "lock_owner": "",
        "lock_token": "",
    }
    if retries == 0:
        changes["dead"] = True
    else:
        changes["due_at"] = command.retry_at or _retry_at(turn, cycle, job, retries)
    _change(turn, job, changes)
    if retries == 0:
        turn.emit(
            ev.IncidentRaised(
                instance_id=job.instance_id,
                execution_id=job.execution_id,
                element_id=job.element_id,
                kind="job-dead",
                message=command.error[:MESSAGE_LIMIT],
                at=turn.at,
                job_id=job.id,
            )
        )


def _retry_at(turn: Turn, cycle: Cycle | None, job: Job, retries: int) -> datetime:
    """When the next attempt is due; a worker that names no time may try again at once (Flowable)."""
    if job.kind == EXTERNAL:
        return turn.at
    attempts = cycle.attempts if cycle is not None else turn.env.limits.job_retries
    return next_try(turn.at, max(attempts - retries, 1), cycle, turn.env.limits)


def _cycle(turn: Turn, instance: Instance, job: Job, node: Node) -> Cycle | None:
    if node.retry_cycle is None:
        return None
    execution = instance.executions.get(job.execution_id)
    root = lifecycle.root_execution(instance, turn.definition_of(instance).process)
    at = Here(turn, instance, execution or root, node)
    try:
        return parse_cycle(str(node.retry_cycle.evaluate(at.context())))
    except ExpressionError:
        return None


def change(turn: Turn, command: cmd.ChangeJob) -> None:
    """An operator's change of a job."""
    job = job_of(turn, command.job_id)
    changes: dict[str, Any] = {}
    if command.move == "revive" and not job.dead:
        raise not_found("job-not-found", f"expected a dead job, found {job.id} is not dead", job_id=job.id)
    if command.move in ("executable", "revive"):
        changes |= {"dead": False, "due_at": turn.at, "lock_owner": "", "lock_token": ""}
        if job.dead:
            changes["retries"] = turn.env.limits.job_retries
    elif command.move == "dead":
        changes["dead"] = True
    elif command.move:
        raise failed("bad-move", f"expected to move a job to 'executable' or 'dead', found '{command.move}'")
    if command.retries is not None:
        changes["retries"] = command.retries
    if command.due_at is not None:
        changes["due_at"] = command.due_at
    if changes:
        _change(turn, job, changes)


def delete(turn: Turn, command: cmd.DeleteJob) -> None:
    _end(turn, job_of(turn, command.job_id), canceled=True)
