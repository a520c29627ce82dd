"""What a batch of commands changes: open tasks, running processes, and notices of what people are to hear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec

from notify.model import happenings as told
from notify.model.names import (
    DUE_EVENTS,
    INCIDENT,
    PROCESS_COMPLETED,
    PROCESS_FAILED,
    TASK_ASSIGNED,
    TASK_CREATED,
    TASK_DUE_SOON,
    TASK_OVERDUE,
    key_of,
)
from notify.model.records import Facts, Notice, Process, Task

COMPLETED: Final = "completed"
FAILED: Final = "failed"
MAX_CANDIDATES: Final = 1000
"""Candidates of one task that are kept; the others hear nothing."""
_CALENDAR_BEGINS: Final = datetime(1, 1, 1, tzinfo=UTC)
"""Nothing is due before; a due date in its first days is told of at once."""


class Wanted(msgspec.Struct, kw_only=True):
    """Ids of what a batch touches."""

    roots: set[str]
    tasks: set[str]
    processes: set[str]
    ended: set[str]
    """Processes that end: their open tasks end with them."""


class Loaded(msgspec.Struct, kw_only=True):
    """What is there of it. `applied`: the last sequence of each root; `notices`: event and task of each by id."""

    applied: dict[str, int] = {}
    tasks: dict[str, Task] = {}
    processes: dict[str, Process] = {}
    notices: dict[str, tuple[str, str]] = {}


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What to write. `over_tasks`: deliveries about these that still wait lose their reason."""

    applied: Mapping[str, int]
    tasks: Sequence[Task]
    dropped_tasks: Sequence[str]
    processes: Sequence[Process]
    dropped_processes: Sequence[str]
    notices: Sequence[Notice]
    dropped_notices: Sequence[str]
    over_tasks: Sequence[str]


def wanted(batch: Sequence[told.Told]) -> Wanted:
    """What to load for a batch."""
    found = Wanted(roots=set(), tasks=set(), processes=set(), ended=set())
    for command in batch:
        found.roots.add(command.root_id)
        for happening in command.happenings:
            if happening.instance_id:
                found.processes.add(happening.instance_id)
            task_id = getattr(happening, "task_id", "")
            if task_id:
                found.tasks.add(task_id)
            if isinstance(happening, told.ProcessEnded):
                found.ended.add(happening.instance_id)
    return found


class Projection:
    """Applies commands to what was loaded; each at most once, in the order of the sequence within a root."""

    def __init__(self, loaded: Loaded, due_soon: timedelta) -> None:
        """`due_soon`: how long before its due date a task is due soon."""
        self._loaded = loaded
        self._due_soon = due_soon
        self._applied: dict[str, int] = {}
        self._tasks: dict[str, Task | None] = {}
        self._processes: dict[str, Process | None] = {}
        self._notices: dict[str, Notice] = {}
        self._dropped: set[str] = set()
        self._over: set[str] = set()
        self._command = told.Told(root_id="", sequence=0, user_id="", happenings=())
        self._fresh: set[str] = set()
        self._incidents = 0
        self._assigned: dict[str, datetime] = {}

    def apply(self, command: told.Told) -> bool:
        """Apply a command, unless it was applied before; tells whether it was new."""
        known = max(self._loaded.applied.get(command.root_id, 0), self._applied.get(command.root_id, 0))
        if command.sequence <= known:
            return False
        self._applied[command.root_id] = command.sequence
        self._command = command
        self._fresh.clear()
        self._assigned.clear()
        self._incidents = 0
        for happening in command.happenings:
            _HANDLERS[type(happening)](self, happening)
        self._tell_of_tasks()
        return True

    def changes(self) -> Changes:
        """What to write."""
        return Changes(
            applied=self._applied,
            tasks=[task for task in self._tasks.values() if task is not None],
            dropped_tasks=[key for key, task in self._tasks.items() if task is None],
            processes=[process for process in self._processes.values() if process is not None],
            dropped_processes=[key for key, process in self._processes.items() if process is None],
            notices=list(self._notices.values()),
            dropped_notices=sorted(self._dropped),
            over_tasks=sorted(self._over),
        )

    # --- processes ---

    def process_started(self, e: told.ProcessStarted) -> None:
        """A process runs."""
        self._put_process(
            Process(
                id=e.instance_id,
                root_id=self._command.root_id,
                super_instance_id=e.super_instance_id,
                definition_key=e.definition_key,
                definition_name=e.definition_name,
                name=e.name,
                business_key=e.business_key,
                tenant_id=e.tenant_id,
                start_user_id=e.start_user_id,
            )
        )

    def process_updated(self, e: told.ProcessUpdated) -> None:
        """It has another name or business key."""
        process = self._loaded.processes.get(e.instance_id)
        if process is not None:
            self._put_process(msgspec.structs.replace(process, **e.changes))

    def process_ended(self, e: told.ProcessEnded) -> None:
        """It is over, and its tasks with it. Whoever started it is told, unless somebody called it or deleted it."""
        for task in [task for task in self._loaded.tasks.values() if task.instance_id == e.instance_id]:
            self._drop_task(task.id)
        process = self._loaded.processes.pop(e.instance_id, None)
        self._processes[e.instance_id] = None
        event = {COMPLETED: PROCESS_COMPLETED, FAILED: PROCESS_FAILED}.get(e.state)
        if process is None or event is None or process.super_instance_id or not process.start_user_id:
            return
        facts = {"process": process_facts(process), "starter": process.start_user_id, "reason": e.reason}
        self._tell(event, e.at, instance_id=e.instance_id, tenant_id=process.tenant_id, facts=facts)

    def incident_raised(self, e: told.IncidentRaised) -> None:
        """A process cannot go on by itself: operators are told."""
        process = self._loaded.processes.get(e.instance_id)
        facts: Facts = {
            "process": process_facts(process) if process is not None else {"id": e.instance_id},
            "incident": {"id": e.incident_id, "reason": e.reason, "message": e.message, "element_id": e.element_id},
        }
        tenant_id = process.tenant_id if process is not None else ""
        self._incidents += 1
        occurrence = e.incident_id or f"{self._command.sequence}.{self._incidents}"
        self._tell(INCIDENT, e.at, instance_id=e.instance_id, tenant_id=tenant_id, occurrence=occurrence, facts=facts)

    # --- tasks ---

    def task_created(self, e: told.TaskCreated) -> None:
        """A task is open."""
        process = self._loaded.processes.get(e.instance_id)
        task = Task(
            id=e.task_id,
            root_id=self._command.root_id,
            instance_id=e.instance_id,
            tenant_id=e.tenant_id,
            name=e.name,
            description=e.description,
            assignee=e.assignee,
            owner=e.owner,
            priority=e.priority,
            due_date=e.due_date,
            created_at=e.at,
        )
        if process is not None:
            task.definition_key = process.definition_key
            task.definition_name = process.definition_name
            task.instance_name = process.name
            task.business_key = process.business_key
        self._put_task(task)
        self._fresh.add(task.id)
        if task.assignee:
            self._assigned[task.id] = e.at
        self._remind(task)

    def task_updated(self, e: told.TaskUpdated) -> None:
        """Fields of a task changed."""
        task = self._loaded.tasks.get(e.task_id)
        if task is None:
            return
        changed = msgspec.structs.replace(task, **e.changes)
        self._put_task(changed)
        if changed.assignee != task.assignee and changed.assignee:
            self._assigned[task.id] = e.at
        if changed.due_date != task.due_date:
            self._drop_notices(task.id, DUE_EVENTS)
            self._remind(changed)

    def task_ended(self, e: told.TaskEnded) -> None:
        """A task is done or gone: what was to be said about it has lost its reason."""
        self._drop_task(e.task_id)

    def candidate_changed(self, e: told.CandidateChanged) -> None:
        """Somebody may claim a task, or may not any more."""
        task = self._loaded.tasks.get(e.task_id)
        if task is None:
            return
        one = ("user", e.user_id) if e.user_id else ("group", e.group_id)
        others = [other for other in task.candidates if other != one]
        if e.added and len(others) < MAX_CANDIDATES:
            others.append(one)
        self._put_task(msgspec.structs.replace(task, candidates=tuple(others)))

    # --- notices ---

    def _tell_of_tasks(self) -> None:
        """At the end of a command, for only then are all candidates of its new tasks known."""
        for task_id in self._fresh:
            task = self._tasks.get(task_id)
            if task is not None and not task.assignee and task.candidates:
                self._tell(TASK_CREATED, task.created_at, task=task, facts={"actor": self._command.user_id})
        for task_id, at in self._assigned.items():
            task = self._tasks.get(task_id)
            # Whoever took a task does not have to be told.
            if task is not None and task.assignee and task.assignee != self._command.user_id:
                facts = {"assignee": task.assignee, "actor": self._command.user_id}
                self._tell(TASK_ASSIGNED, at, task=task, occurrence=str(self._command.sequence), facts=facts)

    def _remind(self, task: Task) -> None:
        if task.due_date is not None:
            occurrence = task.due_date.isoformat()
            soon = max(task.due_date, _CALENDAR_BEGINS + self._due_soon) - self._due_soon
            self._tell(TASK_DUE_SOON, soon, task=task, occurrence=occurrence, facts={})
            self._tell(TASK_OVERDUE, task.due_date, task=task, occurrence=occurrence, facts={})

    def _tell(
        self,
        event: str,
        due_at: datetime,
        *,
        task: Task | None = None,
        instance_id: str = "",
        tenant_id: str = "",
        occurrence: str = "",
        facts: Facts,
    ) -> None:
        subject = instance_id if task is None else task.id
        key = key_of(event, subject, occurrence)
        self._dropped.discard(key)
        self._notices[key] = Notice(
            id=key,
            event=event,
            task_id="" if task is None else task.id,
            instance_id=instance_id if task is None else task.instance_id,
            tenant_id=tenant_id if task is None else task.tenant_id,
            occurrence=occurrence,
            due_at=due_at,
            facts=facts,
        )

    def _drop_notices(self, task_id: str, events: frozenset[str] | None = None) -> None:
        for key, (event, of_task) in self._loaded.notices.items():
            if of_task == task_id and (events is None or event in events):
                self._dropped.add(key)
        for key, notice in tuple(self._notices.items()):
            if notice.task_id == task_id and (events is None or notice.event in events):
                del self._notices[key]
                self._dropped.add(key)

    # --- records ---

    def _put_task(self, task: Task) -> None:
        self._tasks[task.id] = self._loaded.tasks[task.id] = task

    def _drop_task(self, task_id: str) -> None:
        self._loaded.tasks.pop(task_id, None)
        self._tasks[task_id] = None
        self._over.add(task_id)
        self._drop_notices(task_id)

    def _put_process(self, process: Process) -> None:
        self._processes[process.id] = self._loaded.processes[process.id] = process


def process_facts(process: Process) -> Facts:
    """A process as templates see it."""
    return {
        "id": process.id,
        "name": process.name,
        "business_key": process.business_key,
        "definition_key": process.definition_key,
        "definition_name": process.definition_name or process.definition_key,
    }


_HANDLERS: Final[Mapping[type[told.Happening], Callable[[Projection, Any], None]]] = MappingProxyType(
    {
        told.ProcessStarted: Projection.process_started,
        told.ProcessUpdated: Projection.process_updated,
        told.ProcessEnded: Projection.process_ended,
        told.IncidentRaised: Projection.incident_raised,
        told.TaskCreated: Projection.task_created,
        told.TaskUpdated: Projection.task_updated,
        told.TaskEnded: Projection.task_ended,
        told.CandidateChanged: Projection.candidate_changed,
    }
)
