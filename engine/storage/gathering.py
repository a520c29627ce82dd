"""What a batch's events change, row by row. What comes and goes within the batch never reaches the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.app.unit_of_work import Accepted
from engine.kernel import events as ev
from engine.kernel import state as st
from engine.storage.loading import LoadedRows
from engine.storage.rows import SCOPE, JobFacts, column_value, job_facts_of, job_of, variable_row
from mesh.db.types import text_of_moment

Key = tuple[str, ...]


class Gathered:
    """Rows to write, by table, after `take` has seen the events of all accepted commands in order."""

    def __init__(self, loaded: LoadedRows | None) -> None:
        self._loaded = loaded if loaded is not None else LoadedRows()
        self._known = self._loaded.known
        self.instances: dict[str, str] = {}
        self.instances_ended: dict[str, str] = {}
        self.suspended: dict[str, bool] = {}
        self.variables: dict[Key, dict[str, ev.VariableSet]] = {}
        self.variables_removed: dict[Key, None] = {}
        self.scopes_removed: dict[Key, None] = {}
        self.roots_removed: dict[str, None] = {}
        self.tasks: dict[str, str] = {}
        self.tasks_new: set[str] = set()
        self.tasks_patched: dict[str, dict[str, Any]] = {}
        self.migrated: list[ev.ProcessInstanceMigrated] = []
        self.tasks_ended: dict[str, None] = {}
        self.links: dict[str, dict[str, tuple[Any, ...]]] = {}
        self.links_removed: dict[Key, None] = {}
        self.jobs: dict[str, tuple[str, st.Job, JobFacts]] = {}
        self.jobs_new: set[str] = set()
        self.jobs_ended: dict[str, None] = {}
        self.subscriptions: dict[str, tuple[Any, ...]] = {}
        self.subscriptions_removed: dict[str, None] = {}
        self.throws: list[tuple[str, ev.SignalThrown | ev.MessageThrown]] = []
        self._begun: dict[str, tuple[str, ev.ElementStarted]] = {}
        self._task_ended_of: set[str] = set()
        self._root = ""

    def take(self, accepted: Accepted) -> None:
        """Take the events of one command."""
        self._root = accepted.root_id
        handlers = _HANDLERS
        for event in accepted.events:
            handler = handlers.get(event.__class__)
            if handler is not None:
                handler(self, event)

    def finish(self, trees: dict[str, st.Tree]) -> None:
        """Give a row to each new execution that nothing else could find it by."""
        for execution_id, (root_id, event) in self._begun.items():
            instance = trees[root_id].instances[event.instance_id]
            execution = instance.executions.get(execution_id)
            if execution is None or (not execution.scope and not execution.body and _is_found(execution)):
                continue
            self.subscriptions[execution_id] = (
                execution_id,
                root_id,
                event.instance_id,
                execution_id,
                event.element_id,
                SCOPE,
                "",
                instance.tenant_id,
                instance.definition_id,
                "",
                text_of_moment(event.at),
            )
        for root_id in self.roots_removed:
            for key in [key for key in self.scopes_removed if key[0] == root_id]:
                del self.scopes_removed[key]
            for key in [key for key in self.variables_removed if key[0] == root_id]:
                del self.variables_removed[key]

    def variable_rows(self) -> list[tuple[Any, ...]]:
        """Variables to write, each as it was set last."""
        return [variable_row(key[0], event) for key, names in self.variables.items() for event in names.values()]

    def link_rows(self) -> list[tuple[Any, ...]]:
        """Identity links to write."""
        return [row for rows in self.links.values() for row in rows.values()]

    def _touch(self, event: ev.Event) -> None:
        self.instances[event.instance_id] = self._root

    def _started(self, event: ev.ProcessInstanceStarted) -> None:
        self.instances[event.instance_id] = self._root
        if event.super_instance_id:
            self.instances[event.super_instance_id] = self._root

    def _ended(self, event: ev.ProcessInstanceEnded) -> None:
        instance_id, root_id = event.instance_id, self._root
        self.instances.pop(instance_id, None)
        self.variables.pop((root_id, instance_id), None)
        self.links.pop(instance_id, None)
        if instance_id not in self._loaded.instances:
            return
        self.instances_ended[instance_id] = root_id
        if instance_id != root_id:
            self.scopes_removed[root_id, instance_id] = None
        elif self._loaded.has_variables(root_id):
            self.roots_removed[root_id] = None

    def _suspended_or_not(self, event: ev.ProcessInstanceSuspended | ev.ProcessInstanceActivated) -> None:
        self._touch(event)
        self.suspended[event.instance_id] = isinstance(event, ev.ProcessInstanceSuspended)

    def _migrated(self, event: ev.ProcessInstanceMigrated) -> None:
        self._touch(event)
        self.migrated.append(event)

    def _element_started(self, event: ev.ElementStarted) -> None:
        self.instances[event.instance_id] = self._root
        self._begun[event.execution_id] = (self._root, event)

    def _element_ended(self, event: ev.ElementEnded) -> None:
        execution_id = event.execution_id
        self.instances[event.instance_id] = self._root
        self.variables.pop((self._root, execution_id), None)
        begun = self._begun.pop(execution_id, None)
        known = self._known.get(execution_id)
        if known is None:
            return
        if known.locals:
            self.scopes_removed[self._root, execution_id] = None
        # A row of its own was written when the element started, unless a task or a queue's job led to it.
        if begun is None and (
            known.scope or known.body or not (known.queued or known.leaving or self._had_task(known))
        ):
            self.subscriptions_removed[execution_id] = None

    def _had_task(self, execution: st.Execution) -> bool:
        return bool(execution.task) or execution.id in self._task_ended_of

    def _variable_set(self, event: ev.VariableSet) -> None:
        scope_id = event.scope_id
        key = (self._root, scope_id)
        names = self.variables.get(key)
        if names is None:
            names = self.variables[key] = {}
        names[event.name] = event
        self.variables_removed.pop((self._root, scope_id, event.name), None)
        if scope_id != event.instance_id:
            self.instances[event.instance_id] = self._root

    def _variable_removed(self, event: ev.VariableRemoved) -> None:
        names = self.variables.get((self._root, event.scope_id))
        written = names.pop(event.name, None) if names is not None else None
        if written is None or not written.created:
            self.variables_removed[self._root, event.scope_id, event.name] = None

    def _task_created(self, event: ev.TaskCreated) -> None:
        self.instances[event.instance_id] = self._root
        self.tasks[event.task_id] = self._root
        self.tasks_new.add(event.task_id)

    def _task_updated(self, event: ev.TaskUpdated) -> None:
        if event.task_id in self.tasks_new or event.task_id in self._loaded.task_ids:
            self.tasks[event.task_id] = self._root
        else:
            patch = self.tasks_patched.setdefault(event.task_id, {})
            patch.update({name: column_value(value) for name, value in event.changes.items()})

    def _task_ended(self, event: ev.TaskEnded) -> None:
        task_id = event.task_id
        self.instances[event.instance_id] = self._root
        self._task_ended_of.add(event.execution_id)
        self.links.pop(task_id, None)
        self.tasks_patched.pop(task_id, None)
        self.tasks.pop(task_id, None)
        if task_id in self.tasks_new:
            self.tasks_new.discard(task_id)
        else:
            self.tasks_ended[task_id] = None

    def _link_added(self, event: ev.IdentityLinkAdded) -> None:
        owner = event.task_id or event.instance_id
        self.links.setdefault(owner, {})[event.link_id] = (
            owner,
            event.link_id,
            self._root,
            event.task_id,
            event.instance_id,
            event.kind,
            event.user_id,
            event.group_id,
        )

    def _link_removed(self, event: ev.IdentityLinkRemoved) -> None:
        owner = event.task_id or event.instance_id
        rows = self.links.get(owner)
        if rows is None or rows.pop(event.link_id, None) is None:
            self.links_removed[owner, event.link_id] = None

    def _job_scheduled(self, event: ev.JobScheduled) -> None:
        self.instances[event.instance_id] = self._root
        job = st.Job(
            id=event.job_id,
            instance_id=event.instance_id,
            execution_id=event.execution_id,
            element_id=event.element_id,
            kind=event.kind,
            handler=event.handler,
            due_at=event.due_at,
            retries=event.retries,
            repeat=event.repeat,
            topic=event.topic,
            exclusive=event.exclusive,
            element_name=event.element_name,
            payload=event.payload,
        )
        self.jobs[event.job_id] = (
            self._root,
            job,
            JobFacts(event.definition_id, event.tenant_id, text_of_moment(event.at)),
        )
        self.jobs_new.add(event.job_id)

    def _job_changed(self, event: ev.JobChanged) -> None:
        if "kind" in event.changes:
            self.instances[event.instance_id] = self._root
        held = self.jobs.get(event.job_id)
        if held is None:
            row = self._loaded.job_rows[event.job_id]
            held = self.jobs[event.job_id] = (self._root, job_of(row), job_facts_of(row))
        _, job, facts = held
        for name, value in event.changes.items():
            if name == "error_details":
                facts.error_details = value
            else:
                setattr(job, name, value)

    def _job_ended(self, event: ev.JobEnded) -> None:
        self.instances[event.instance_id] = self._root
        self.jobs.pop(event.job_id, None)
        if event.job_id in self.jobs_new:
            self.jobs_new.discard(event.job_id)
        else:
            self.jobs_ended[event.job_id] = None

    def _subscription_opened(self, event: ev.SubscriptionOpened) -> None:
        self.instances[event.instance_id] = self._root
        self.subscriptions[event.subscription_id] = (
            event.subscription_id,
            self._root,
            event.instance_id,
            event.execution_id,
            event.element_id,
            event.kind,
            event.name,
            event.tenant_id,
            event.definition_id,
            event.configuration,
            text_of_moment(event.at),
        )

    def _subscription_closed(self, event: ev.SubscriptionClosed) -> None:
        self.instances[event.instance_id] = self._root
        if self.subscriptions.pop(event.subscription_id, None) is None:
            self.subscriptions_removed[event.subscription_id] = None

    def _thrown(self, event: ev.SignalThrown | ev.MessageThrown) -> None:
        self.throws.append((self._root, event))


_HANDLERS: Final[dict[type[ev.Event], Callable[[Gathered, Any], None]]] = {
    ev.ProcessInstanceStarted: Gathered._started,
    ev.ProcessInstanceEnded: Gathered._ended,
    ev.ProcessInstanceSuspended: Gathered._suspended_or_not,
    ev.ProcessInstanceActivated: Gathered._suspended_or_not,
    ev.ProcessInstanceUpdated: Gathered._touch,
    ev.ProcessInstanceMigrated: Gathered._migrated,
    ev.ElementQueued: Gathered._touch,
    ev.ElementStarted: Gathered._element_started,
    ev.ElementEnded: Gathered._element_ended,
    ev.LoopStarted: Gathered._touch,
    ev.VariableSet: Gathered._variable_set,
    ev.VariableRemoved: Gathered._variable_removed,
    ev.TaskCreated: Gathered._task_created,
    ev.TaskUpdated: Gathered._task_updated,
    ev.TaskEnded: Gathered._task_ended,
    ev.IdentityLinkAdded: Gathered._link_added,
    ev.IdentityLinkRemoved: Gathered._link_removed,
    ev.JobScheduled: Gathered._job_scheduled,
    ev.JobChanged: Gathered._job_changed,
    ev.JobEnded: Gathered._job_ended,
    ev.SubscriptionOpened: Gathered._subscription_opened,
    ev.SubscriptionClosed: Gathered._subscription_closed,
    ev.RecordKept: Gathered._touch,
    ev.RecordDropped: Gathered._touch,
    ev.SignalThrown: Gathered._thrown,
    ev.MessageThrown: Gathered._thrown,
}


def _is_found(execution: st.Execution) -> bool:
    """Tell whether a task, a job or a subscription of its own leads to the execution as long as it lives."""
    return bool(execution.task or execution.queued or execution.leaving) or any(
        wait.element_id == execution.element for wait in execution.waits
    )
