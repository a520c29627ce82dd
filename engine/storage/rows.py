"""State objects from rows and rows from state objects; the column orders live here, beside both directions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from engine.kernel import state as st
from engine.kernel.events import VariableSet
from engine.storage.codec import columns_of, decode_payload, encode_value, to_json
from mesh.db.types import moment_of_text, text_of_moment

Row = Sequence[Any]

INSTANCE_COLUMNS: Final = (
    "id",
    "root_id",
    "super_instance_id",
    "super_execution_id",
    "definition_id",
    "definition_key",
    "definition_name",
    "definition_version",
    "business_key",
    "business_status",
    "name",
    "tenant_id",
    "start_user_id",
    "started_at",
    "state",
    "revision",
    "tokens",
    "callback_id",
    "reference_id",
)
TASK_COLUMNS: Final = (
    "root_id",
    "id",
    "instance_id",
    "execution_id",
    "element_id",
    "name",
    "description",
    "assignee",
    "owner",
    "delegation",
    "due_at",
    "category",
    "form_key",
    "tenant_id",
    "definition_id",
    "parent_task_id",
    "created_at",
    "claimed_at",
    "priority",
    "suspended",
)
JOB_COLUMNS: Final = (
    "id",
    "root_id",
    "instance_id",
    "execution_id",
    "element_id",
    "element_name",
    "kind",
    "handler",
    "due_at",
    "retries",
    "repeat",
    "topic",
    "exclusive",
    "dead",
    "suspended",
    "error",
    "error_details",
    "lock_owner",
    "lock_token",
    "lease_until",
    "payload",
    "definition_id",
    "tenant_id",
    "created_at",
    "lane",
    "available_at",
)
VARIABLE_COLUMNS: Final = (
    "root_id",
    "scope_id",
    "name",
    "instance_id",
    "leaf",
    "type",
    "value",
    "text_value",
    "number_value",
)
LINK_COLUMNS: Final = ("owner_id", "id", "root_id", "task_id", "instance_id", "kind", "user_id", "group_id")
SUBSCRIPTION_COLUMNS: Final = (
    "id",
    "root_id",
    "instance_id",
    "execution_id",
    "element_id",
    "kind",
    "name",
    "tenant_id",
    "definition_id",
    "configuration",
    "created_at",
)
SCOPE: Final = "scope"
ENGINE_LANE, DEFINITION_LANE, DEAD_LANE, SUSPENDED_LANE = "engine", "repository", "dead", "suspended"


def instance_of(row: Row) -> st.Instance:
    """Build an instance with its executions from the columns that `loading` selects."""
    instance = st.Instance(
        id=row[2],
        root_id=row[1],
        super_instance_id=row[3],
        super_execution_id=row[4],
        definition_id=row[15],
        definition_key=row[5],
        definition_name=row[12],
        definition_version=int(row[19]),
        business_key=row[8],
        business_status=row[9],
        name=row[6],
        tenant_id=row[14],
        start_user_id=row[13],
        started_at=moment_of_text(row[17]),
        state=row[10],
        revision=int(row[20]),
    )
    st.decode_tokens(instance, row[7])
    return instance


def instance_row(instance: st.Instance) -> tuple[Any, ...]:
    """Spell an instance; its revision counts up with each write."""
    started = instance.started_at
    assert started is not None, f"instance {instance.id} never started"
    return (
        instance.id,
        instance.root_id,
        instance.super_instance_id,
        instance.super_execution_id,
        instance.definition_id,
        instance.definition_key,
        instance.definition_name,
        instance.definition_version,
        instance.business_key,
        instance.business_status,
        instance.name,
        instance.tenant_id,
        instance.start_user_id,
        text_of_moment(started),
        instance.state,
        instance.revision + 1,
        st.encode_tokens(instance).decode(),
        instance.facts.callback_id,
        instance.facts.reference_id,
    )


def _moment(text: str | None) -> datetime | None:
    return moment_of_text(text) if text else None


def _text(moment: datetime | None) -> str | None:
    return text_of_moment(moment) if moment is not None else None


def task_of(row: Row) -> st.Task:
    """Build a task from the columns that `loading` selects."""
    return st.Task(
        id=row[2],
        instance_id=row[3],
        execution_id=row[4],
        element_id=row[5],
        name=row[6],
        description=row[7],
        assignee=row[8],
        owner=row[9],
        delegation=row[10],
        due_at=_moment(row[11]),
        category=row[12],
        form_key=row[13],
        tenant_id=row[14],
        definition_id=row[15],
        parent_task_id=row[16],
        created_at=moment_of_text(row[17]),
        claimed_at=_moment(row[18]),
        priority=int(row[19]),
        suspended=bool(int(row[20])),
    )


def task_row(root_id: str, task: st.Task, *, suspended: bool) -> tuple[Any, ...]:
    """Spell a task."""
    return (
        root_id,
        task.id,
        task.instance_id,
        task.execution_id,
        task.element_id,
        task.name,
        task.description,
        task.assignee,
        task.owner,
        task.delegation,
        _text(task.due_at),
        task.category,
        task.form_key,
        task.tenant_id,
        task.definition_id,
        task.parent_task_id,
        text_of_moment(task.created_at),
        _text(task.claimed_at),
        task.priority,
        suspended,
    )


def column_value(value: Any) -> Any:
    """A single changed field as its column holds it."""
    return text_of_moment(value) if isinstance(value, datetime) else value


def job_of(row: Row) -> st.Job:
    """Build a job."""
    return st.Job(
        id=row[0],
        instance_id=row[2],
        execution_id=row[3],
        element_id=row[4],
        element_name=row[5],
        kind=row[6],
        handler=row[7],
        due_at=moment_of_text(row[8]),
        retries=row[9],
        repeat=row[10],
        topic=row[11],
        exclusive=bool(row[12]),
        dead=bool(row[13]),
        suspended=bool(row[14]),
        error=row[15],
        lock_owner=row[17],
        lock_token=row[18],
        payload=decode_payload(row[20]),
    )


def lane_of(kind: str, *, dead: bool, suspended: bool) -> str:
    """Who may take a job."""
    if dead:
        return DEAD_LANE
    if suspended:
        return SUSPENDED_LANE
    return ENGINE_LANE if kind in (st.TIMER, st.ASYNC) else kind


class JobFacts:
    """What a job's row has beside `state.Job`."""

    __slots__ = ("created_at", "definition_id", "error_details", "lease_until", "tenant_id")

    def __init__(self, definition_id: str, tenant_id: str, created_at: str) -> None:
        self.definition_id = definition_id
        self.tenant_id = tenant_id
        self.created_at = created_at
        self.error_details = ""
        self.lease_until: str | None = None


def job_facts_of(row: Row) -> JobFacts:
    """Keep what `job_of` leaves out."""
    facts = JobFacts(row[21], row[22], row[23])
    facts.error_details = row[16]
    facts.lease_until = row[19]
    return facts


def job_row(root_id: str, job: st.Job, facts: JobFacts, *, suspended: bool) -> tuple[Any, ...]:
    """Spell a job. A lease that nobody holds any more is over."""
    lease = facts.lease_until if job.lock_owner else None
    due = text_of_moment(job.due_at)
    return (
        job.id,
        root_id,
        job.instance_id,
        job.execution_id,
        job.element_id,
        job.element_name,
        job.kind,
        job.handler,
        due,
        job.retries,
        job.repeat,
        job.topic,
        job.exclusive,
        job.dead,
        suspended,
        job.error,
        facts.error_details,
        job.lock_owner,
        job.lock_token,
        lease,
        to_json(job.payload),
        facts.definition_id,
        facts.tenant_id,
        facts.created_at,
        lane_of(job.kind, dead=job.dead, suspended=suspended),
        max(due, lease) if lease else due,
    )


def variable_row(root_id: str, event: VariableSet) -> tuple[Any, ...]:
    """Spell a variable as it was set last."""
    text, number = columns_of(event.type, event.value)
    return (
        root_id,
        event.scope_id,
        event.name,
        event.instance_id,
        event.leaf,
        event.type,
        encode_value(event.type, event.value),
        text,
        number,
    )
