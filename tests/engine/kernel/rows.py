"""What a store keeps of instance trees: rows written from events and token JSON, and trees loaded from them again.

It keeps to what `docs` of the events promise: an ended element takes its variables along, an ended task its links, an
ended instance everything that is left of it.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.kernel import events as ev
from engine.kernel import state as st
from engine.kernel.values import Variable


class Subscription(msgspec.Struct, kw_only=True):
    """A row of the subscription table."""

    id: str
    instance_id: str
    root_id: str
    execution_id: str
    element_id: str
    kind: str
    name: str
    tenant_id: str = ""
    configuration: str = ""


class InstanceRow(msgspec.Struct, kw_only=True):
    """An instance's columns (the instance without its executions) and its tokens."""

    columns: dict[str, Any]
    tokens: bytes


COLUMNS = tuple(
    name for name in st.Instance.__struct_fields__ if name not in ("waits", "records", "executions", "children")
)


@dataclass
class Rows:
    """All rows of one root."""

    root_id: str
    instances: dict[str, InstanceRow] = field(default_factory=dict)
    variables: dict[str, dict[str, Variable]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, st.Task] = field(default_factory=dict)
    jobs: dict[str, st.Job] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    links: dict[str, list[tuple[str, str, str, str]]] = field(default_factory=dict)

    def write(self, tree: st.Tree, events: list[ev.Event]) -> None:
        """Take over what a command did."""
        for event in events:
            self._project(event)
        for instance in tree.instances.values():
            columns = {name: getattr(instance, name) for name in COLUMNS}
            self.instances[instance.id] = InstanceRow(columns=columns, tokens=st.encode_tokens(instance))

    def load(self, command: Any, *, whole: bool = False) -> st.Tree:
        """The tree as a store hands it to a command: open instances, the task or job named, and variables.

        Unless the `whole` is asked for, the variables of executions that hold no others stay where they are, and other
        tasks.
        """
        tree = st.Tree(root_id=self.root_id)
        for instance_id, row in self.instances.items():
            instance = st.Instance(**row.columns)
            if instance.is_ended and instance_id != self.root_id:
                continue
            st.decode_tokens(instance, row.tokens)
            tree.instances[instance_id] = instance
        leaves = {e.id for _, e in tree.walk() if not e.scope and not e.body} if not whole else set()
        tree.all_loaded = whole
        tree.variables = {scope: dict(values) for scope, values in self.variables.items() if scope not in leaves}
        if whole:
            tree.tasks = {task_id: msgspec.structs.replace(task) for task_id, task in self.tasks.items()}
        task_id, job_id = getattr(command, "task_id", ""), getattr(command, "job_id", "")
        if task_id in self.tasks:
            tree.tasks[task_id] = msgspec.structs.replace(self.tasks[task_id])
        if job_id in self.jobs:
            tree.jobs[job_id] = msgspec.structs.replace(self.jobs[job_id])
        tree.links = {owner: list(links) for owner, links in self.links.items()}
        return tree

    def _project(self, event: ev.Event) -> None:  # noqa: C901 - one flat table of what each event writes
        match event:
            case ev.VariableSet():
                self.variables.setdefault(event.scope_id, {})[event.name] = Variable(event.type, event.value)
                self.owners[event.scope_id] = event.instance_id
            case ev.VariableRemoved():
                self.variables.get(event.scope_id, {}).pop(event.name, None)
            case ev.ElementEnded():
                self.variables.pop(event.execution_id, None)
            case ev.TaskCreated():
                self.tasks[event.task_id] = _task(event)
            case ev.TaskUpdated():
                for name, value in event.changes.items():
                    setattr(self.tasks[event.task_id], name, value)
            case ev.TaskEnded():
                del self.tasks[event.task_id]
                self.links.pop(event.task_id, None)
            case ev.IdentityLinkAdded():
                link = (event.link_id, event.kind, event.user_id, event.group_id)
                self.links.setdefault(event.task_id or event.instance_id, []).append(link)
            case ev.IdentityLinkRemoved():
                owner = event.task_id or event.instance_id
                self.links[owner] = [link for link in self.links[owner] if link[0] != event.link_id]
                if not self.links[owner]:
                    del self.links[owner]
            case ev.JobScheduled():
                self.jobs[event.job_id] = _job(event)
            case ev.JobChanged():
                for name, value in event.changes.items():
                    if name in st.Job.__struct_fields__:
                        setattr(self.jobs[event.job_id], name, value)
            case ev.JobEnded():
                del self.jobs[event.job_id]
            case ev.SubscriptionOpened():
                self.subscriptions[event.subscription_id] = _subscription(event, self.root_id)
            case ev.SubscriptionClosed():
                del self.subscriptions[event.subscription_id]
            case ev.ProcessInstanceMigrated():
                self._migrated(event)
            case ev.ProcessInstanceEnded():
                self._ended(event.instance_id)
            case _:
                pass

    def _migrated(self, event: ev.ProcessInstanceMigrated) -> None:
        def moved(element_id: str) -> str:
            return event.elements.get(element_id, element_id)

        for task in self.tasks.values():
            task.element_id = moved(task.element_id) if task.instance_id == event.instance_id else task.element_id
        for job in self.jobs.values():
            job.element_id = moved(job.element_id) if job.instance_id == event.instance_id else job.element_id
        for row in self.subscriptions.values():
            row.element_id = moved(row.element_id) if row.instance_id == event.instance_id else row.element_id

    def _ended(self, instance_id: str) -> None:
        """An instance takes its own variables and links along; all else has ended by its own event."""
        self.variables.pop(instance_id, None)
        self.links.pop(instance_id, None)

    def left_of(self, instance_id: str) -> list[str]:
        """What is still there of an instance, in words; nothing if it ended cleanly."""
        found = [f"task {t.name}" for t in self.tasks.values() if t.instance_id == instance_id]
        found += [f"{j.kind} job at {j.element_id}" for j in self.jobs.values() if j.instance_id == instance_id]
        found += [f"{s.kind} {s.name}" for s in self.subscriptions.values() if s.instance_id == instance_id]
        found += [
            f"variables of {s}" for s, owner in self.owners.items() if owner == instance_id and s in self.variables
        ]
        found += [f"links of {instance_id}"] if instance_id in self.links else []
        tokens = self.instances[instance_id].tokens
        return found + ([f"tokens {tokens.decode()}"] if tokens != b"{}" else [])


def _task(event: ev.TaskCreated) -> st.Task:
    names = [name for name in st.Task.__struct_fields__ if name in event.__struct_fields__]
    return st.Task(id=event.task_id, created_at=event.at, **{name: getattr(event, name) for name in names})


def _job(event: ev.JobScheduled) -> st.Job:
    names = [name for name in st.Job.__struct_fields__ if name in event.__struct_fields__]
    return st.Job(id=event.job_id, **{name: getattr(event, name) for name in names})


def _subscription(event: ev.SubscriptionOpened, root_id: str) -> Subscription:
    names = [n for n in Subscription.__struct_fields__ if n in event.__struct_fields__]
    return Subscription(id=event.subscription_id, root_id=root_id, **{name: getattr(event, name) for name in names})
