"""What people do with their tasks (Flowable's TaskService)."""

from typing import Any

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel import lifecycle, listeners, scopes
from engine.kernel.cancelling import end_task
from engine.kernel.definition import Wake
from engine.kernel.errors import failed, not_found
from engine.kernel.handling.targets import instance_of, require_active, task_of
from engine.kernel.here import Here
from engine.kernel.state import Execution, Instance, Task
from engine.kernel.turn import Turn

PENDING, RESOLVED = "pending", "resolved"


def _place(turn: Turn, task: Task) -> tuple[Instance, Execution]:
    instance = require_active(instance_of(turn, task.instance_id))
    return instance, instance.executions[task.execution_id]


def complete(turn: Turn, command: cmd.CompleteTask) -> None:
    """Complete a task: variables, then the completer's variable, then the task ends and the token goes on."""
    task = task_of(turn, command.task_id)
    instance, execution = _place(turn, task)
    if task.delegation == PENDING:
        raise failed(
            "task-delegated",
            f"expected task {task.id} to be resolved before it is completed, found it delegated to '{task.assignee}'",
            task_id=task.id,
        )
    node = turn.node_of(instance, execution)
    at = Here(turn, instance, execution, node)
    for name, value in command.local_variables.items():
        at.set_local(name, value)
    at.set_variables(command.variables)
    for name, value in command.transient_variables.items():
        at.set_transient(name, value)
    if command.outcome:
        at.set_variable("outcome", command.outcome)
    _listen(turn, task, listeners.COMPLETE)
    if node.props.completer_variable and command.user_id:
        at.set_variable(node.props.completer_variable, command.user_id)
    end_task(turn, instance, execution, completed_by=command.user_id or task.assignee)
    lifecycle.wake(turn, instance, execution, node.id, Wake(kind="task"))


def _listen(turn: Turn, task: Task, event: str) -> None:
    instance = turn.tree.instances[task.instance_id]
    execution = instance.executions[task.execution_id]
    node = turn.node_of(instance, execution)
    if node.props.listeners:
        listeners.run(node.props.listeners, event, Here(turn, instance, execution, node), task)


def _change(turn: Turn, task: Task, changes: dict[str, Any]) -> None:
    former = task.assignee
    turn.emit(
        ev.TaskUpdated(
            instance_id=task.instance_id,
            task_id=task.id,
            execution_id=task.execution_id,
            at=turn.at,
            changes=changes,
            assignee=former,
        )
    )
    # Who is assigned no more is an assignment too (Flowable).
    if task.assignee != former:
        _listen(turn, task, listeners.ASSIGNMENT)


def claim(turn: Turn, command: cmd.ClaimTask) -> None:
    task = task_of(turn, command.task_id)
    _place(turn, task)
    if not command.assignee:
        _change(turn, task, {"assignee": "", "claimed_at": None})
        return
    if task.assignee and task.assignee != command.assignee:
        raise failed(
            "task-claimed",
            f"expected task {task.id} to be unclaimed, found it claimed by '{task.assignee}'",
            task_id=task.id,
            assignee=task.assignee,
        )
    if task.assignee != command.assignee:
        _change(turn, task, {"assignee": command.assignee, "claimed_at": turn.at})


def delegate(turn: Turn, command: cmd.DelegateTask) -> None:
    """Hand a task to somebody who answers to its owner; the present assignee becomes the owner if there is none."""
    task = task_of(turn, command.task_id)
    _place(turn, task)
    changes: dict[str, Any] = {"delegation": PENDING, "assignee": command.assignee}
    if not task.owner:
        changes["owner"] = task.assignee
    _change(turn, task, changes)


def resolve(turn: Turn, command: cmd.ResolveTask) -> None:
    task = task_of(turn, command.task_id)
    instance, execution = _place(turn, task)
    for name, value in command.variables.items():
        scopes.set_variable(turn, instance, execution, name, value)
    _change(turn, task, {"delegation": RESOLVED, "assignee": task.owner})


def update(turn: Turn, command: cmd.UpdateTask) -> None:
    task = task_of(turn, command.task_id)
    _place(turn, task)
    if command.changes:
        _change(turn, task, dict(command.changes))


def add_link(turn: Turn, command: cmd.AddIdentityLink) -> None:
    """Add a link once; assignee and owner are fields of the task, not links."""
    instance_id = _owner(turn, command)
    if command.task_id and command.kind in ("assignee", "owner"):
        _change(turn, task_of(turn, command.task_id), {command.kind: command.linked_user_id})
        return
    if _find(turn, command) is not None:
        return
    turn.emit(
        ev.IdentityLinkAdded(
            instance_id=instance_id,
            link_id=turn.env.new_id(),
            kind=command.kind,
            at=turn.at,
            task_id=command.task_id,
            user_id=command.linked_user_id,
            group_id=command.linked_group_id,
        )
    )


def remove_link(turn: Turn, command: cmd.RemoveIdentityLink) -> None:
    instance_id = _owner(turn, command)
    if command.task_id and command.kind in ("assignee", "owner"):
        _change(turn, task_of(turn, command.task_id), {command.kind: ""})
        return
    link_id = _find(turn, command)
    if link_id is None:
        raise not_found(
            "identity-link-not-found",
            f"expected a link of type '{command.kind}' to "
            f"'{command.linked_user_id or command.linked_group_id}', found none",
        )
    turn.emit(
        ev.IdentityLinkRemoved(
            instance_id=instance_id,
            link_id=link_id,
            kind=command.kind,
            at=turn.at,
            task_id=command.task_id,
            user_id=command.linked_user_id,
            group_id=command.linked_group_id,
        )
    )


def _owner(turn: Turn, command: cmd.AddIdentityLink | cmd.RemoveIdentityLink) -> str:
    if command.task_id:
        return task_of(turn, command.task_id).instance_id
    return instance_of(turn, command.instance_id).id


def _find(turn: Turn, command: cmd.AddIdentityLink | cmd.RemoveIdentityLink) -> str | None:
    wanted = (command.kind, command.linked_user_id, command.linked_group_id)
    for link_id, *rest in turn.tree.links.get(command.task_id or command.instance_id, []):
        if tuple(rest) == wanted:
            return link_id
    return None
