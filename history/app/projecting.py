"""From what happened to what is kept: the one place that says what an event means to history.

`Projection` applies one command's happenings after the other to the records in memory (see `batches`), and says in the
end which of them changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from history.app import task_logging
from history.app.batches import Changes, Loaded
from history.app.counting import Counting
from history.app.searching import entries_of
from history.model import happenings as told
from history.model.ids import ordinal_id
from history.model.records import (
    SEQUENCE_FLOW,
    Activity,
    Comment,
    Detail,
    IdentityLink,
    ProcessInstance,
    Task,
    TaskLogEntry,
    Variable,
    milliseconds,
)
from history.model.search import SearchEntry

ORDINALS_PER_COMMAND: Final = 1 << 20
"""Room for the order of the activities within one command."""


class Projection:
    """Applies commands to the loaded records. What was applied before changes nothing."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._applied: dict[str, int] = {}
        self._instances: dict[str, ProcessInstance] = {}
        self._activities: dict[str, Activity] = {}
        self._tasks: dict[str, Task] = {}
        self._variables: dict[str, Variable | None] = {}
        self._links: dict[IdentityLink, bool] = {}
        self._moved: dict[str, str] = {}
        self._forgotten: list[str] = []
        self._details: list[Detail] = []
        self._task_log: list[TaskLogEntry] = []
        self._comments: dict[str, Comment | None] = {}
        self._entries: dict[tuple[str, str], SearchEntry] = {}
        self._counting = Counting()
        self._root_id = ""
        self._user_id = ""
        self._tenant_id = ""
        self._ordinal = 0
        self._entry_ordinal = 0

    def apply(self, command: told.Told) -> bool:
        """Apply the happenings of one command; False if they were applied before."""
        if command.sequence <= self._loaded.applied.get(command.root_id, 0):
            return False
        self._loaded.applied[command.root_id] = self._applied[command.root_id] = command.sequence
        self._root_id = command.root_id
        self._user_id = command.user_id
        self._tenant_id = command.tenant_id
        self._ordinal = self._entry_ordinal = command.sequence * ORDINALS_PER_COMMAND
        for happening in command.happenings:
            _HANDLERS[type(happening)](self, happening)
        for entry in entries_of(command):
            instance = self._loaded.instances.get(entry.instance_id)
            if instance is not None and instance.tenant_id != entry.tenant_id:
                # A called instance can be of another tenant than the command.
                entry = msgspec.structs.replace(entry, tenant_id=instance.tenant_id)
            self._entries[entry.owner_id, entry.field] = entry
        return True

    def changes(self) -> Changes:
        """All that changed."""
        moved: dict[str, list[str]] = {}
        for instance_id, definition_id in self._moved.items():
            moved.setdefault(definition_id, []).append(instance_id)
        instances, activities = list(self._instances.values()), list(self._activities.values())
        tasks = list(self._tasks.values())
        return Changes(
            applied=self._applied,
            instances=instances,
            activities=activities,
            tasks=tasks,
            forgotten=self._forgotten,
            variables=[found for found in self._variables.values() if found is not None],
            removed_variables=[key for key, found in self._variables.items() if found is None],
            links=[link for link, there in self._links.items() if there],
            removed_links=[link for link, there in self._links.items() if not there],
            moved=moved,
            details=self._details,
            task_log=self._task_log,
            comments=[found for found in self._comments.values() if found is not None],
            removed_comments=[key for key, found in self._comments.items() if found is None],
            entries=list(self._entries.values()),
            counted=self._counting.counted(instances, activities, tasks),
        )

    # --- instances ---

    def started(self, e: told.InstanceStarted) -> None:
        """A new instance."""
        instance = self._instances[e.instance_id] = self._loaded.instances[e.instance_id] = ProcessInstance(
            id=e.instance_id,
            root_id=self._root_id,
            super_instance_id=e.super_instance_id,
            super_execution_id=e.super_execution_id,
            definition_id=e.definition_id,
            definition_key=e.definition_key,
            definition_version=e.definition_version,
            definition_name=e.definition_name,
            definition_category=e.definition_category,
            deployment_id=e.deployment_id,
            name=e.name,
            business_key=e.business_key,
            business_status=e.business_status,
            tenant_id=e.tenant_id,
            start_user_id=e.start_user_id,
            start_activity_id=e.start_activity_id,
            started_at=e.at,
            callback_id=e.callback_id,
            callback_type=e.callback_type,
            reference_id=e.reference_id,
            reference_type=e.reference_type,
        )
        self._counting.instance_started(instance)

    def ended(self, e: told.InstanceEnded) -> None:
        """An instance is over; its records stay."""
        instance = self._instance(e.instance_id)
        if instance is not None:
            instance.state = e.state
            instance.end_activity_id = e.end_activity_id
            instance.delete_reason = e.delete_reason
            instance.end_user_id = self._user_id
            instance.ended_at = e.at
            instance.duration_ms = milliseconds(instance.started_at, e.at)
            self._counting.instance_ended(instance, e.at)

    def state_changed(self, e: told.InstanceStateChanged) -> None:
        """Suspended or active again."""
        instance = self._instance(e.instance_id)
        if instance is not None:
            instance.state = e.state

    def updated(self, e: told.InstanceUpdated) -> None:
        """New name, business key or status."""
        instance = self._instance(e.instance_id)
        if instance is not None:
            _set(instance, e.changes)

    def migrated(self, e: told.InstanceMigrated) -> None:
        """All that the instance did belongs to the new definition now, as Flowable has it."""
        instance = self._instance(e.instance_id)
        if instance is None:
            return
        instance.definition_id = e.definition_id
        instance.definition_key = e.definition_key
        instance.definition_version = e.definition_version
        instance.definition_name = e.definition_name
        instance.definition_category = e.definition_category
        instance.deployment_id = e.deployment_id or instance.deployment_id
        self._moved[e.instance_id] = e.definition_id
        for activity in self._loaded.activities.values():
            if activity.instance_id == e.instance_id:
                self._counting.touches_activity(activity)
                activity.definition_id = e.definition_id
                if activity.ended_at is None:
                    activity.element_id = e.element_ids.get(activity.element_id, activity.element_id)
                self._activities[activity.id] = activity
        for task in self._loaded.tasks.values():
            if task.instance_id == e.instance_id:
                self._counting.touches_task(task)
                task.definition_id = e.definition_id
                if task.ended_at is None:
                    former = task.task_definition_key
                    task.task_definition_key = e.element_ids.get(former, former)
                self._tasks[task.id] = task

    # --- activities ---

    def activity_started(self, e: told.ActivityStarted) -> None:
        """A token arrived."""
        activity = self._new_activity(e.execution_id, e)
        activity.parent_id = e.parent_id
        activity.element_id = e.element_id
        activity.element_name = e.element_name
        activity.element_type = e.element_type
        activity.task_id = e.task_id
        activity.called_instance_id = e.called_instance_id
        activity.assignee = e.assignee
        self._counting.activity_started(activity)

    def flow_taken(self, e: told.FlowTaken) -> None:
        """A token passed along a sequence flow, in no time."""
        activity = self._new_activity(e.passage_id, e)
        activity.element_id = e.flow_id
        activity.element_type = SEQUENCE_FLOW
        activity.ended_at = e.at
        activity.duration_ms = 0

    def activity_updated(self, e: told.ActivityUpdated) -> None:
        """A token's stay has a task, a called instance, another assignee or another element."""
        activity = self._activity(e.execution_id)
        if activity is not None:
            _set(activity, e.changes)

    def activity_ended(self, e: told.ActivityEnded) -> None:
        """A token left. The frame of a multi-instance activity was never told to have started: it is no activity."""
        activity = self._activity(e.execution_id)
        if activity is not None:
            activity.canceled = e.canceled
            activity.delete_reason = e.reason
            activity.ended_at = e.at
            activity.duration_ms = milliseconds(activity.started_at, e.at)
            self._counting.activity_ended(activity, e.at)

    # --- variables and links ---

    def variable_set(self, e: told.VariableSet) -> None:
        """A variable has a value; the variable keeps the last one, its details keep all."""
        instance = self._loaded.instances.get(e.instance_id)
        tenant_id = self._tenant_id if instance is None else instance.tenant_id
        before = self._variables.get(e.variable_key) or self._loaded.variables.get(e.variable_key)
        found = Variable(
            id=e.variable_key,
            root_id=self._root_id,
            instance_id=e.instance_id,
            execution_id=e.execution_id,
            task_id=e.task_id,
            name=e.name,
            type=e.type,
            value=e.value,
            created_at=e.at if before is None else before.created_at,
            updated_at=e.at,
            revision=0 if before is None else before.revision + 1,
            tenant_id=tenant_id,
        )
        self._variables[e.variable_key] = self._loaded.variables[e.variable_key] = found
        ordinal = self._next_entry()
        self._details.append(
            Detail(
                id=ordinal_id(self._root_id, ordinal),
                ordinal=ordinal,
                root_id=self._root_id,
                instance_id=e.instance_id,
                execution_id=e.execution_id,
                activity_id=e.execution_id if e.execution_id != e.instance_id else "",
                task_id=e.task_id,
                variable_id=e.variable_key,
                name=e.name,
                type=e.type,
                value=e.value,
                revision=found.revision,
                tenant_id=tenant_id,
                recorded_at=e.at,
            )
        )

    def variable_removed(self, e: told.VariableRemoved) -> None:
        """Somebody removed a variable: history drops it too, as Flowable does."""
        self._variables[e.variable_key] = None
        self._loaded.variables.pop(e.variable_key, None)

    def link_added(self, e: told.LinkAdded) -> None:
        """Somebody has to do with it."""
        self._links[self._link(e)] = True
        self._log_link(e)

    def link_removed(self, e: told.LinkRemoved) -> None:
        """Somebody has nothing to do with it any more."""
        self._links[self._link(e)] = False
        self._log_link(e)

    # --- remarks ---

    def comment_added(self, e: told.CommentAdded) -> None:
        """Somebody said something about a task."""
        self._comments[e.comment_id] = Comment(
            id=e.comment_id,
            root_id=self._root_id,
            instance_id=e.instance_id if e.of_instance else "",
            task_id=e.task_id,
            author=e.author,
            message=e.message,
            created_at=e.at,
            told=True,
        )

    def comment_removed(self, e: told.CommentRemoved) -> None:
        """It is unsaid."""
        self._comments[e.comment_id] = None

    # --- tasks ---

    def task_created(self, e: told.TaskCreated) -> None:
        """A new task."""
        task = self._tasks[e.task_id] = self._loaded.tasks[e.task_id] = Task(
            id=e.task_id,
            root_id=self._root_id,
            instance_id=e.instance_id,
            execution_id=e.execution_id,
            definition_id=e.definition_id,
            task_definition_key=e.task_definition_key,
            name=e.name,
            description=e.description,
            assignee=e.assignee,
            owner=e.owner,
            priority=e.priority,
            due_date=e.due_date,
            category=e.category,
            form_key=e.form_key,
            parent_task_id=e.parent_task_id,
            tenant_id=e.tenant_id,
            created_at=e.at,
        )
        self._counting.task_created(task)
        self._log(task, e.at, task_logging.CREATED, "")

    def task_updated(self, e: told.TaskUpdated) -> None:
        """Fields of a task changed."""
        task = self._task(e.task_id)
        if task is not None:
            for kind, data in task_logging.of_changes(task, e.changes):
                self._log(task, e.at, kind, data)
            former = task.assignee
            _set(task, e.changes)
            if task.assignee != former:
                self._counting.task_assigned(task, e.at)

    def task_ended(self, e: told.TaskEnded) -> None:
        """A task is done or gone."""
        task = self._task(e.task_id)
        if task is not None:
            task.delete_reason = e.reason
            task.completed_by = e.completed_by
            task.ended_at = e.at
            task.duration_ms = milliseconds(task.created_at, e.at)
            self._counting.task_ended(task, e.at, canceled=e.canceled)
            if not e.canceled:
                self._log(task, e.at, task_logging.COMPLETED, "")
            if e.forgotten:
                self._forgotten.append(task.id)

    # --- records ---

    def _new_activity(self, activity_id: str, e: told.Happening) -> Activity:
        instance = self._loaded.instances.get(e.instance_id)
        activity = Activity(
            id=activity_id,
            ordinal=self._ordinal,
            root_id=self._root_id,
            instance_id=e.instance_id,
            definition_id="" if instance is None else instance.definition_id,
            tenant_id="" if instance is None else instance.tenant_id,
            started_at=e.at,
        )
        self._ordinal += 1
        self._activities[activity_id] = self._loaded.activities[activity_id] = activity
        return activity

    def _instance(self, instance_id: str) -> ProcessInstance | None:
        found = self._loaded.instances.get(instance_id)
        if found is not None:
            self._counting.touches_instance(found)
            self._instances[instance_id] = found
        return found

    def _activity(self, activity_id: str) -> Activity | None:
        found = self._loaded.activities.get(activity_id)
        if found is not None:
            self._counting.touches_activity(found)
            self._activities[activity_id] = found
        return found

    def _task(self, task_id: str) -> Task | None:
        found = self._loaded.tasks.get(task_id)
        if found is not None:
            self._counting.touches_task(found)
            self._tasks[task_id] = found
        return found

    def _next_entry(self) -> int:
        self._entry_ordinal += 1
        return self._entry_ordinal - 1

    def _log_link(self, e: told.LinkAdded | told.LinkRemoved) -> None:
        task = self._loaded.tasks.get(e.owner_id) if e.of_task else None
        if task is not None:
            self._log(task, e.at, *task_logging.of_link(e))

    def _log(self, task: Task, at: datetime, kind: str, data: str) -> None:
        ordinal = self._next_entry()
        self._task_log.append(
            TaskLogEntry(
                id=ordinal_id(self._root_id, ordinal),
                ordinal=ordinal,
                root_id=self._root_id,
                instance_id=task.instance_id,
                task_id=task.id,
                execution_id=task.execution_id,
                definition_id=task.definition_id,
                tenant_id=task.tenant_id,
                type=kind,
                user_id=self._user_id,
                data=data,
                recorded_at=at,
            )
        )

    def _link(self, e: told.LinkAdded | told.LinkRemoved) -> IdentityLink:
        return IdentityLink(
            owner_id=e.owner_id, kind=e.kind, user_id=e.user_id, group_id=e.group_id, root_id=self._root_id
        )


def _set(record: object, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        setattr(record, name, value)


_HANDLERS: Final[Mapping[type[told.Happening], Callable[[Projection, Any], None]]] = MappingProxyType(
    {
        told.InstanceStarted: Projection.started,
        told.InstanceEnded: Projection.ended,
        told.InstanceStateChanged: Projection.state_changed,
        told.InstanceUpdated: Projection.updated,
        told.InstanceMigrated: Projection.migrated,
        told.ActivityStarted: Projection.activity_started,
        told.ActivityUpdated: Projection.activity_updated,
        told.ActivityEnded: Projection.activity_ended,
        told.FlowTaken: Projection.flow_taken,
        told.VariableSet: Projection.variable_set,
        told.VariableRemoved: Projection.variable_removed,
        told.TaskCreated: Projection.task_created,
        told.TaskUpdated: Projection.task_updated,
        told.TaskEnded: Projection.task_ended,
        told.LinkAdded: Projection.link_added,
        told.LinkRemoved: Projection.link_removed,
        told.CommentAdded: Projection.comment_added,
        told.CommentRemoved: Projection.comment_removed,
    }
)
