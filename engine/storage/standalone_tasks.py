"""Standalone tasks as rows of the tables that the tasks of instances are in, without root and instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from engine.app.asks import request_of
from engine.app.permitting import check_task
from engine.app.standalone import Deletion
from engine.app.unit_of_work import EncodeEvents
from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel.commands import Command
from engine.kernel.errors import ALREADY_EXISTS, PERMISSION_DENIED, Refused, failed, invalid, not_found
from engine.kernel.handling.tasks import PENDING, RESOLVED
from engine.kernel.rights import Link, Rights
from engine.kernel.state import Task
from engine.kernel.texts import check_texts
from engine.kernel.values import Variable
from engine.storage import tables
from engine.storage.codec import columns_of, encode_value
from engine.storage.remark_tables import comment
from engine.storage.small_writes import Reply, SmallWrites
from engine.storage.task_notes import COLUMNS, notes_of
from mesh.ids import IdSource

MAX_DEPTH: Final = 32
"""How deep tasks may lie below each other."""
DELETED: Final = "deleted"

_FIELDS: Final = Task.__struct_fields__
_Handler = Callable[["_Desk", Any], None]


class StandaloneTaskRows:
    """Implements `engine.app.standalone.StandaloneTasks`. What happens is told in the outbox, as the kernel tells it.

    A standalone task is a root of its own there: its events have its id as root and no process instance.
    """

    def __init__(
        self, writes: SmallWrites, ids: IdSource, now: Callable[[], datetime], encode_events: EncodeEvents
    ) -> None:
        self._writes = writes
        self._ids = ids
        self._now = now
        self._encode_events = encode_events

    def create(self, task: Task, request_id: str = "") -> Reply:
        """Insert a task. Refused: NOT_FOUND for its parent, FAILED_PRECONDITION beyond `MAX_DEPTH`."""

        def work(connection: Connection) -> Reply:
            if task.parent_task_id:
                _check_parent(connection, task.parent_task_id)
            made = msgspec.structs.replace(task, id=self._ids.root(), created_at=self._now())
            row = {name: getattr(made, name) for name in _FIELDS}
            connection.execute(insert(tables.task).values(root_id="", **row))
            # Told at the moment that the row has, not at a later one.
            desk = _Desk(connection, made, self._ids.root, made.created_at)
            desk.tell_of_creation()
            self._publish(desk)
            return {"task_id": made.id}

        return self._writes.run(work, request_id, about="create task")

    def apply(self, command: Command, request_id: str = "") -> Reply:
        """Carry out a command of the kernel on a standalone task. Refused as the kernel would."""
        return self.apply_all([command], request_id)

    def apply_all(self, commands: Sequence[Command], request_id: str = "") -> Reply:
        """Carry out commands in one transaction. Refused as the kernel would: then none is."""
        for command in commands:
            if type(command) not in _HANDLERS:
                raise TypeError(f"expected a command on a task, found {type(command).__name__}")

        def work(connection: Connection) -> Reply:
            for command in commands:
                self._apply(connection, command)
            return {}

        return self._writes.run(work, request_id, about="; ".join(map(request_of, commands)))

    def _apply(self, connection: Connection, command: Command) -> None:
        target: Any = command
        task_id: str = getattr(target, "task_id", "") or getattr(target, "execution_id", "")
        task = _task(connection, task_id)
        if task.instance_id:
            raise _unknown(task_id)
        _permit(connection, command, task, command.rights)
        desk = self._desk(connection, task)
        _HANDLERS[type(command)](desk, command)
        self._publish(desk)
        notes = notes_of(command, self._ids.root(), desk.events.get(task_id, ()))
        if notes:
            connection.execute(insert(comment), [dict(zip(COLUMNS, note, strict=True)) for note in notes])

    def delete(self, deletion: Deletion, request_id: str = "", rights: Rights | None = None) -> Reply:
        """Delete a standalone task with those below it. Refused: NOT_FOUND, PERMISSION_DENIED."""
        task_id = deletion.task_id

        def work(connection: Connection) -> Reply:
            task = _task(connection, task_id)
            _permit(connection, None, task, rights)
            if task.instance_id:
                raise Refused(
                    PERMISSION_DENIED,
                    "task-of-instance",
                    f"expected a task without a process instance, found {task_id}, which its process instance ends",
                    task_id=task_id,
                )
            desk = self._desk(connection, task)
            desk.drop(canceled=True, reason=deletion.reason or DELETED, forget=deletion.forget)
            self._publish(desk)
            return {}

        return self._writes.run(work, request_id, about=f"delete task {task_id}")

    def _desk(self, connection: Connection, task: Task) -> _Desk:
        return _Desk(connection, task, self._ids.root, self._now())

    def _publish(self, desk: _Desk) -> None:
        """Tell what happened, in the same transaction; one row for each task that it happened to."""
        tenant_id = desk.task.tenant_id
        for root_id, events in desk.events.items():
            check_texts(events, None)
            command_id = self._ids.root()
            desk.connection.execute(
                insert(tables.outbox).values(
                    command_id=command_id,
                    root_id=root_id,
                    tenant_id=tenant_id,
                    request_id=None,
                    reply="{}",
                    events=self._encode_events(root_id, command_id, tenant_id, desk.at, events),
                    created_at=desk.at,
                )
            )


class _Desk:
    """One task within one transaction. `events`: what happened, by the id of the task that it happened to."""

    def __init__(self, connection: Connection, task: Task, new_id: Callable[[], str], at: datetime) -> None:
        self.connection = connection
        self.task = task
        self.new_id = new_id
        self.at = at
        self.events: dict[str, list[ev.Event]] = {}

    def tell(self, event: ev.Event, task_id: str = "") -> None:
        self.events.setdefault(task_id or self.task.id, []).append(event)

    def tell_of_creation(self) -> None:
        task = self.task
        self.tell(
            ev.TaskCreated(
                instance_id="",
                task_id=task.id,
                execution_id="",
                element_id="",
                name=task.name,
                at=self.at,
                description=task.description,
                assignee=task.assignee,
                owner=task.owner,
                priority=task.priority,
                due_at=task.due_at,
                category=task.category,
                form_key=task.form_key,
                tenant_id=task.tenant_id,
                parent_task_id=task.parent_task_id,
            )
        )

    def change(self, **changes: Any) -> None:
        self.connection.execute(update(tables.task).where(tables.task.c.id == self.task.id).values(**changes))
        updated = ev.TaskUpdated(
            instance_id="",
            task_id=self.task.id,
            execution_id="",
            at=self.at,
            changes=changes,
            assignee=self.task.assignee,
        )
        self.tell(updated)

    def drop(self, *, completed_by: str = "", canceled: bool = False, reason: str = "", forget: bool = False) -> None:
        """End the task; the standalone tasks below it are deleted with it."""
        for task_id in _drop(self.connection, self.task.id):
            own = task_id == self.task.id
            ended = ev.TaskEnded(
                instance_id="",
                task_id=task_id,
                execution_id="",
                element_id="",
                at=self.at,
                canceled=canceled or not own,
                reason=reason if own else DELETED,
                completed_by=completed_by if own else "",
                assignee=self.task.assignee if own else None,
                forget=forget,
            )
            self.tell(ended, task_id)

    def variables(self) -> set[str]:
        table = tables.variable
        found = select(table.c.name).where(table.c.root_id == "", table.c.scope_id == self.task.id)
        return set(self.connection.execute(found).scalars())

    def drop_variable(self, name: str) -> None:
        if self._delete_variable(name):
            self.tell(ev.VariableRemoved(instance_id="", scope_id=self.task.id, name=name, at=self.at))

    def _delete_variable(self, name: str) -> bool:
        table = tables.variable
        wanted = (table.c.root_id == "", table.c.scope_id == self.task.id, table.c.name == name)
        return self.connection.execute(delete(table).where(*wanted)).rowcount > 0

    def put(self, name: str, variable: Variable) -> None:
        known = self._delete_variable(name)
        self.tell(
            ev.VariableSet(
                instance_id="",
                scope_id=self.task.id,
                name=name,
                type=variable.type,
                value=variable.value,
                created=not known,
                at=self.at,
            )
        )
        text_value, number_value = columns_of(variable.type, variable.value)
        self.connection.execute(
            insert(tables.variable).values(
                root_id="",
                scope_id=self.task.id,
                name=name,
                instance_id="",
                leaf=True,
                type=variable.type,
                value=encode_value(variable.type, variable.value),
                text_value=text_value,
                number_value=number_value,
            )
        )

    def link(self, command: cmd.AddIdentityLink | cmd.RemoveIdentityLink) -> str | None:
        table = tables.identity_link
        return self.connection.execute(
            select(table.c.id).where(
                table.c.owner_id == self.task.id,
                table.c.kind == command.kind,
                table.c.user_id == command.linked_user_id,
                table.c.group_id == command.linked_group_id,
            )
        ).scalar()


def _complete(desk: _Desk, command: cmd.CompleteTask) -> None:
    # The task's variables end with it, and it has no process that they could go to.
    if desk.task.delegation == PENDING:
        raise failed(
            "task-delegated",
            f"expected task {desk.task.id} to be resolved before it is completed, found it delegated to "
            f"'{desk.task.assignee}'",
            task_id=desk.task.id,
        )
    desk.drop(completed_by=command.user_id or desk.task.assignee)


def _claim(desk: _Desk, command: cmd.ClaimTask) -> None:
    if not command.assignee:
        desk.change(assignee="", claimed_at=None)
    elif desk.task.assignee and desk.task.assignee != command.assignee:
        raise failed(
            "task-claimed",
            f"expected task {desk.task.id} to be unclaimed, found it claimed by '{desk.task.assignee}'",
            task_id=desk.task.id,
            assignee=desk.task.assignee,
        )
    elif not desk.task.assignee:
        desk.change(assignee=command.assignee, claimed_at=desk.at)


def _delegate(desk: _Desk, command: cmd.DelegateTask) -> None:
    desk.change(delegation=PENDING, assignee=command.assignee, owner=desk.task.owner or desk.task.assignee)


def _resolve(desk: _Desk, command: cmd.ResolveTask) -> None:
    for name, variable in command.variables.items():
        desk.put(name, variable)
    desk.change(delegation=RESOLVED, assignee=desk.task.owner)


def _update(desk: _Desk, command: cmd.UpdateTask) -> None:
    parent = command.changes.get("parent_task_id")
    if isinstance(parent, str) and parent:
        _check_parent(desk.connection, parent, desk.task.id)
    if command.changes:
        desk.change(**command.changes)


def _set_variables(desk: _Desk, command: cmd.SetVariables) -> None:
    present = desk.variables()
    for name, variable in command.variables.items():
        if command.create_only and name in present:
            raise Refused(
                ALREADY_EXISTS,
                "variable-exists",
                f"expected no variable '{name}' on task {desk.task.id}, found one",
                name=name,
            )
        if command.update_only and name not in present:
            raise _no_variable(desk, name)
        desk.put(name, variable)


def _remove_variables(desk: _Desk, command: cmd.RemoveVariables) -> None:
    present = desk.variables()
    for name in command.names or present:
        if command.strict and name not in present:
            raise _no_variable(desk, name)
        desk.drop_variable(name)


def _add_link(desk: _Desk, command: cmd.AddIdentityLink) -> None:
    if command.kind in ("assignee", "owner"):
        desk.change(**{command.kind: command.linked_user_id})
    elif desk.link(command) is None:
        link_id = desk.new_id()
        desk.tell(
            ev.IdentityLinkAdded(
                instance_id="",
                link_id=link_id,
                kind=command.kind,
                at=desk.at,
                task_id=desk.task.id,
                user_id=command.linked_user_id,
                group_id=command.linked_group_id,
            )
        )
        desk.connection.execute(
            insert(tables.identity_link).values(
                owner_id=desk.task.id,
                id=link_id,
                root_id="",
                task_id=desk.task.id,
                instance_id="",
                kind=command.kind,
                user_id=command.linked_user_id,
                group_id=command.linked_group_id,
            )
        )


def _remove_link(desk: _Desk, command: cmd.RemoveIdentityLink) -> None:
    if command.kind in ("assignee", "owner"):
        desk.change(**{command.kind: ""})
        return
    link_id = desk.link(command)
    if link_id is None:
        raise not_found(
            "identity-link-not-found",
            f"expected a link of type '{command.kind}' to '{command.linked_user_id or command.linked_group_id}', "
            "found none",
        )
    table = tables.identity_link
    desk.connection.execute(delete(table).where(table.c.owner_id == desk.task.id, table.c.id == link_id))
    desk.tell(
        ev.IdentityLinkRemoved(
            instance_id="",
            link_id=link_id,
            kind=command.kind,
            at=desk.at,
            task_id=desk.task.id,
            user_id=command.linked_user_id,
            group_id=command.linked_group_id,
        )
    )


_HANDLERS: Final[Mapping[type[Command], _Handler]] = MappingProxyType(
    {
        cmd.CompleteTask: _complete,
        cmd.ClaimTask: _claim,
        cmd.DelegateTask: _delegate,
        cmd.ResolveTask: _resolve,
        cmd.UpdateTask: _update,
        cmd.SetVariables: _set_variables,
        cmd.RemoveVariables: _remove_variables,
        cmd.AddIdentityLink: _add_link,
        cmd.RemoveIdentityLink: _remove_link,
    }
)


def _task(connection: Connection, task_id: str) -> Task:
    """Read a task and keep others from changing it. Raises Refused (NOT_FOUND)."""
    columns = [tables.task.c[name] for name in _FIELDS]
    row = connection.execute(select(*columns).where(tables.task.c.id == task_id).with_for_update()).one_or_none()
    if row is None:
        raise _unknown(task_id)
    return Task(**dict(zip(_FIELDS, row, strict=True)))


def _permit(connection: Connection, command: Command | None, task: Task, rights: Rights | None) -> None:
    """Raise Refused unless the task is whoever asks's to do that with; their links are read where they matter."""
    if rights is None:
        return
    found: list[Link] = []
    if rights.own_tasks:
        link = tables.identity_link.c
        columns = select(link.id, link.kind, link.user_id, link.group_id).where(link.owner_id == task.id)
        found = [(key, kind, user, group) for key, kind, user, group in connection.execute(columns)]
        refused = check_task(command, task, found, rights)
    else:
        refused = None if rights.sees(task.tenant_id) else _unknown(task.id)
    if refused is not None:
        raise refused


def _unknown(task_id: str) -> Refused:
    return not_found("task-not-found", f"expected an open task, found none with id '{task_id}'", task_id=task_id)


def _no_variable(desk: _Desk, name: str) -> Refused:
    return not_found(
        "variable-not-found", f"expected a variable '{name}' on task {desk.task.id}, found none", name=name
    )


def _check_parent(connection: Connection, parent_id: str, child_id: str = "") -> None:
    """Walk up from a parent. Raises Refused: it does not exist, lies below the child, or too deep."""
    above = parent_id
    for _ in range(MAX_DEPTH):
        if above == child_id:
            raise invalid(
                "task-below-itself", f"expected a parent that is not below task {child_id}, found {parent_id}"
            )
        found = connection.execute(select(tables.task.c.parent_task_id).where(tables.task.c.id == above)).scalar()
        if found is None and above == parent_id:
            raise not_found("task-not-found", f"expected an open parent task, found none with id '{parent_id}'")
        if not found:
            return
        above = found
    raise failed("too-deep", f"expected at most {MAX_DEPTH} tasks above each other, found more (limit: MAX_DEPTH)")


def _drop(connection: Connection, task_id: str) -> list[str]:
    """Delete a task, its variables and links, and the standalone tasks below it, level by level; returns all their ids.

    Those below come first, so that nothing is told of a task that is below one that has ended.
    """
    level = [task_id]
    levels: list[list[str]] = []
    for _ in range(MAX_DEPTH + 1):
        if not level:
            break
        levels.append(level)
        below = select(tables.task.c.id).where(tables.task.c.parent_task_id.in_(level), tables.task.c.instance_id == "")
        beneath = list(connection.execute(below.order_by(tables.task.c.id)).scalars())
        variable, link, task = tables.variable, tables.identity_link, tables.task
        connection.execute(delete(variable).where(variable.c.root_id == "", variable.c.scope_id.in_(level)))
        connection.execute(delete(link).where(link.c.owner_id.in_(level)))
        connection.execute(delete(task).where(task.c.id.in_(level)))
        level = beneath
    return [dropped for ids in reversed(levels) for dropped in ids]
