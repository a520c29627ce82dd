"""What executions wait for: jobs that are scheduled, subscriptions that are opened elsewhere, and their closing."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from engine.kernel import events as ev
from engine.kernel.definition import Node
from engine.kernel.retries import parse_cycle
from engine.kernel.state import Execution, Instance, Wait
from engine.kernel.turn import Turn


def schedule(
    turn: Turn,
    instance: Instance,
    execution_id: str,
    node: Node,
    kind: str,
    handler: str,
    *,
    due_at: datetime,
    repeat: str = "",
    topic: str = "",
    exclusive: bool = True,
    payload: dict[str, Any] | None = None,
) -> str:
    """Schedule a job for an execution on behalf of an element; gives its id."""
    job_id = turn.env.new_id()
    turn.emit(
        ev.JobScheduled(
            instance_id=instance.id,
            job_id=job_id,
            execution_id=execution_id,
            element_id=node.id,
            kind=kind,
            handler=handler,
            due_at=due_at,
            at=turn.at,
            retries=_retries(turn, node),
            repeat=repeat,
            topic=topic,
            exclusive=exclusive,
            element_name=node.name,
            definition_id=instance.definition_id,
            tenant_id=instance.tenant_id,
            payload=payload or {},
        )
    )
    return job_id


def _retries(turn: Turn, node: Node) -> int:
    cycle = parse_cycle(node.retry_cycle.text) if node.retry_cycle is not None else None
    return turn.env.limits.job_retries if cycle is None else cycle.attempts


def close_waits(turn: Turn, instance: Instance, execution: Execution) -> None:
    """Close all that an execution still waits for: jobs are cancelled, subscriptions closed."""
    if execution.waits:
        close(turn, instance, execution.id, tuple(execution.waits))


def close(turn: Turn, instance: Instance, execution_id: str, waits: Iterable[Wait]) -> None:
    for wait in waits:
        if wait.is_job:
            turn.emit(
                ev.JobEnded(
                    instance_id=instance.id,
                    job_id=wait.id,
                    execution_id=execution_id,
                    kind=wait.kind,
                    at=turn.at,
                    canceled=True,
                )
            )
        else:
            turn.emit(
                ev.SubscriptionClosed(
                    instance_id=instance.id, subscription_id=wait.id, execution_id=execution_id, at=turn.at
                )
            )


def close_event_subprocess_waits(turn: Turn, instance: Instance, scope_id: str) -> None:
    """Close the waits of a scope's event sub-processes (its boundary events stay armed)."""
    nodes = turn.definition_of(instance).nodes
    waits = instance.waits if scope_id == instance.id else instance.executions[scope_id].waits
    close(turn, instance, scope_id, [w for w in waits if nodes[w.element_id].kind.tag == "startEvent"])
