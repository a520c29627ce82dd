"""The one function that changes state: an event and the tree it happened to. Folding it over events gives the state."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine.kernel import events as ev
from engine.kernel import state as st
from engine.kernel.values import Variable

_INSTANCE_FIELDS: Final = frozenset(("name", "business_key", "business_status"))


def apply(tree: st.Tree, event: ev.Event) -> None:
    """Change the tree as the event says. Events that concern nobody inside (FlowTaken, SignalThrown, …) change nothing.

    `Turn.emit` does the same without the call.
    """
    handler = HANDLERS.get(type(event))
    if handler is not None:
        handler(tree, event)


def fold(tree: st.Tree, events: list[ev.Event]) -> st.Tree:
    """Apply all events in order; returns the same tree."""
    for event in events:
        apply(tree, event)
    return tree


def _started(tree: st.Tree, event: ev.ProcessInstanceStarted) -> None:
    instance = st.Instance(
        id=event.instance_id,
        root_id=event.root_id,
        definition_id=event.definition_id,
        definition_key=event.definition_key,
        definition_name=event.definition_name,
        definition_version=event.definition_version,
        super_instance_id=event.super_instance_id,
        super_execution_id=event.super_execution_id,
        business_key=event.business_key,
        business_status=event.business_status,
        name=event.name,
        tenant_id=event.tenant_id,
        start_user_id=event.start_user_id,
        started_at=event.at,
    )
    if event.callback_id or event.reference_id or event.callback_type or event.reference_type:
        instance.facts = st.Facts(
            callback_id=event.callback_id,
            callback_type=event.callback_type,
            reference_id=event.reference_id,
            reference_type=event.reference_type,
        )
    tree.instances[event.instance_id] = instance
    if event.super_execution_id:
        tree.instances[event.super_instance_id].executions[event.super_execution_id].called = event.instance_id


def _ended(tree: st.Tree, event: ev.ProcessInstanceEnded) -> None:
    instance = tree.instances[event.instance_id]
    instance.state = event.state
    instance.end_element_id = event.end_element_id
    instance.ended_reason = event.reason
    instance.records = []
    tree.variables.pop(event.instance_id, None)
    if instance.super_execution_id:
        caller = tree.instances.get(instance.super_instance_id)
        execution = caller.executions.get(instance.super_execution_id) if caller else None
        if execution is not None and execution.called == event.instance_id:
            execution.called = ""


def _suspended(tree: st.Tree, event: ev.ProcessInstanceSuspended) -> None:
    tree.instances[event.instance_id].state = st.SUSPENDED


def _activated(tree: st.Tree, event: ev.ProcessInstanceActivated) -> None:
    tree.instances[event.instance_id].state = st.ACTIVE


def _updated(tree: st.Tree, event: ev.ProcessInstanceUpdated) -> None:
    instance = tree.instances[event.instance_id]
    facts: dict[str, Any] = {}
    for name, value in event.changes.items():
        if name in _INSTANCE_FIELDS:
            setattr(instance, name, value)
        else:
            facts[name] = value
    if facts:
        changed = msgspec.structs.replace(instance.facts, **facts)
        instance.facts = changed if changed != st.NO_FACTS else st.NO_FACTS


def _migrated(tree: st.Tree, event: ev.ProcessInstanceMigrated) -> None:
    instance = tree.instances[event.instance_id]
    instance.definition_id = event.definition_id
    instance.definition_key = event.definition_key
    instance.definition_name = event.definition_name
    instance.definition_version = event.definition_version
    for execution in instance.executions.values():
        former = execution.element
        execution.element = event.elements.get(former, former)
        if execution.element != former:
            execution.waits = [
                st.Wait(wait.id, wait.kind, execution.element, wait.name) if wait.element_id == former else wait
                for wait in execution.waits
            ]
    for task in tree.tasks.values():
        if task.instance_id == event.instance_id:
            task.element_id = event.elements.get(task.element_id, task.element_id)
    for job in tree.jobs.values():
        if job.instance_id == event.instance_id:
            job.element_id = event.elements.get(job.element_id, job.element_id)


def _queued(tree: st.Tree, event: ev.ElementQueued) -> None:
    instance = tree.instances[event.instance_id]
    execution = instance.executions.get(event.execution_id)
    if execution is None:
        execution = st.Execution(event.execution_id, event.parent_id, event.element_id)
        _insert(instance, execution)
    execution.queued = not event.leaving
    execution.leaving = event.leaving
    execution.flow = event.flow_id or execution.flow
    execution.race = event.race_id or execution.race
    if event.loop_counter is not None:
        execution.turn = event.loop_counter


def _insert(instance: st.Instance, execution: st.Execution) -> None:
    instance.executions[execution.id] = execution
    siblings = instance.children.get(execution.parent)
    if siblings is None:
        siblings = instance.children[execution.parent] = {}
    siblings[execution.id] = execution


def _element_started(tree: st.Tree, event: ev.ElementStarted) -> None:
    instance = tree.instances[event.instance_id]
    execution = instance.executions.get(event.execution_id)
    if execution is None:
        execution = st.Execution(event.execution_id, event.parent_id, event.element_id)
        _insert(instance, execution)
    execution.queued = False
    execution.scope = event.scope
    execution.body = event.body
    execution.flow = event.flow_id
    execution.race = event.race_id
    if event.loop_counter is not None:
        execution.turn = event.loop_counter
        parent = instance.executions.get(event.parent_id)
        if parent is not None and parent.body:
            parent.started += 1


def _element_ended(tree: st.Tree, event: ev.ElementEnded) -> None:
    instance = tree.instances[event.instance_id]
    execution = instance.executions.pop(event.execution_id)
    siblings = instance.children[execution.parent]
    del siblings[execution.id]
    if not siblings:
        del instance.children[execution.parent]
    if execution.turn is not None:
        parent = instance.executions.get(execution.parent)
        if parent is not None and parent.body:
            if event.canceled:
                parent.started -= 1
            else:
                parent.done += 1
    if execution.locals or execution.scope:
        tree.variables.pop(execution.id, None)


def _loop_started(tree: st.Tree, event: ev.LoopStarted) -> None:
    tree.instances[event.instance_id].executions[event.execution_id].total = event.total


def _variable_set(tree: st.Tree, event: ev.VariableSet) -> None:
    scope = tree.variables.get(event.scope_id)
    if scope is None:
        scope = tree.variables[event.scope_id] = {}
    scope[event.name] = Variable(event.type, event.value)
    if event.scope_id != event.instance_id:
        execution = tree.instances[event.instance_id].executions.get(event.scope_id)
        if execution is not None:
            execution.locals = True


def _variable_removed(tree: st.Tree, event: ev.VariableRemoved) -> None:
    scope = tree.variables.get(event.scope_id)
    if scope is not None:
        scope.pop(event.name, None)


def _task_created(tree: st.Tree, event: ev.TaskCreated) -> None:
    tree.instances[event.instance_id].executions[event.execution_id].task = event.task_id
    tree.tasks[event.task_id] = st.Task(
        id=event.task_id,
        instance_id=event.instance_id,
        execution_id=event.execution_id,
        element_id=event.element_id,
        name=event.name,
        created_at=event.at,
        description=event.description,
        assignee=event.assignee,
        owner=event.owner,
        priority=event.priority,
        due_at=event.due_at,
        category=event.category,
        form_key=event.form_key,
        tenant_id=event.tenant_id,
        definition_id=event.definition_id,
        parent_task_id=event.parent_task_id,
    )


def _task_updated(tree: st.Tree, event: ev.TaskUpdated) -> None:
    task = tree.tasks.get(event.task_id)
    if task is not None:
        for name, value in event.changes.items():
            setattr(task, name, value)


def _task_ended(tree: st.Tree, event: ev.TaskEnded) -> None:
    tree.tasks.pop(event.task_id, None)
    tree.links.pop(event.task_id, None)
    execution = tree.instances[event.instance_id].executions.get(event.execution_id)
    if execution is not None and execution.task == event.task_id:
        execution.task = ""


def _link_added(tree: st.Tree, event: ev.IdentityLinkAdded) -> None:
    owner = event.task_id or event.instance_id
    tree.links.setdefault(owner, []).append((event.link_id, event.kind, event.user_id, event.group_id))


def _link_removed(tree: st.Tree, event: ev.IdentityLinkRemoved) -> None:
    owner = event.task_id or event.instance_id
    kept = [link for link in tree.links.get(owner, []) if link[0] != event.link_id]
    if kept:
        tree.links[owner] = kept
    else:
        tree.links.pop(owner, None)


def _waits_of(tree: st.Tree, instance_id: str, execution_id: str) -> list[st.Wait]:
    instance = tree.instances[instance_id]
    return instance.waits if execution_id == instance_id else instance.executions[execution_id].waits


def _job_scheduled(tree: st.Tree, event: ev.JobScheduled) -> None:
    waits = _waits_of(tree, event.instance_id, event.execution_id)
    waits.append(st.Wait(event.job_id, event.kind, event.element_id, event.topic))


def _job_changed(tree: st.Tree, event: ev.JobChanged) -> None:
    job = tree.jobs.get(event.job_id)
    if job is not None:
        for name, value in event.changes.items():
            setattr(job, name, value)
    if "kind" in event.changes:
        waits = _waits_of(tree, event.instance_id, event.execution_id)
        waits[:] = [
            st.Wait(wait.id, event.changes["kind"], wait.element_id, wait.name) if wait.id == event.job_id else wait
            for wait in waits
        ]


def _close_wait(tree: st.Tree, instance_id: str, execution_id: str, wait_id: str) -> None:
    waits = _waits_of(tree, instance_id, execution_id)
    waits[:] = [wait for wait in waits if wait.id != wait_id]


def _job_ended(tree: st.Tree, event: ev.JobEnded) -> None:
    tree.jobs.pop(event.job_id, None)
    _close_wait(tree, event.instance_id, event.execution_id, event.job_id)


def _subscription_opened(tree: st.Tree, event: ev.SubscriptionOpened) -> None:
    waits = _waits_of(tree, event.instance_id, event.execution_id)
    waits.append(st.Wait(event.subscription_id, event.kind, event.element_id, event.name))


def _subscription_closed(tree: st.Tree, event: ev.SubscriptionClosed) -> None:
    _close_wait(tree, event.instance_id, event.execution_id, event.subscription_id)


def _records_of(tree: st.Tree, instance_id: str, scope_id: str) -> list[dict[str, Any]]:
    instance = tree.instances[instance_id]
    return instance.records if scope_id == instance_id else instance.executions[scope_id].records


def _record_kept(tree: st.Tree, event: ev.RecordKept) -> None:
    _records_of(tree, event.instance_id, event.scope_id).append(dict(event.record))


def _record_dropped(tree: st.Tree, event: ev.RecordDropped) -> None:
    records = _records_of(tree, event.instance_id, event.scope_id)
    records[:] = [record for record in records if record["id"] != event.record_id]


HANDLERS: dict[type[ev.Event], Callable[[st.Tree, Any], None]] = {
    ev.ProcessInstanceStarted: _started,
    ev.ProcessInstanceEnded: _ended,
    ev.ProcessInstanceSuspended: _suspended,
    ev.ProcessInstanceActivated: _activated,
    ev.ProcessInstanceUpdated: _updated,
    ev.ProcessInstanceMigrated: _migrated,
    ev.ElementQueued: _queued,
    ev.ElementStarted: _element_started,
    ev.ElementEnded: _element_ended,
    ev.LoopStarted: _loop_started,
    ev.VariableSet: _variable_set,
    ev.VariableRemoved: _variable_removed,
    ev.TaskCreated: _task_created,
    ev.TaskUpdated: _task_updated,
    ev.TaskEnded: _task_ended,
    ev.IdentityLinkAdded: _link_added,
    ev.IdentityLinkRemoved: _link_removed,
    ev.JobScheduled: _job_scheduled,
    ev.JobChanged: _job_changed,
    ev.JobEnded: _job_ended,
    ev.SubscriptionOpened: _subscription_opened,
    ev.SubscriptionClosed: _subscription_closed,
    ev.RecordKept: _record_kept,
    ev.RecordDropped: _record_dropped,
}
