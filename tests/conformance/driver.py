"""What the runner asks of a mesh, and what it gets. One implementation for each face of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Values = Mapping[str, Any]
"""Variables as a case writes them: name and JSON value."""


class Refused(Exception):
    """The mesh answered with an error. `code` is the canonical gRPC status code name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How to start an instance: by key (and version) or by message."""

    key: str | None = None
    message: str | None = None
    version: int | None = None
    business_key: str | None = None
    tenant: str = ""
    starter: str | None = None
    variables: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance as the engine or the history shows it."""

    id: str
    key: str
    state: str
    end_activity_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An open user task. What the API leaves out is None."""

    id: str
    name: str | None
    key: str | None
    assignee: str | None
    owner: str | None
    due: str | None
    priority: int
    category: str | None
    form_key: str | None
    description: str | None
    delegation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An execution at which a token waits."""

    execution_id: str
    activity_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job; `kind` is where it lies: jobs, timer-jobs, suspended-jobs, deadletter-jobs, external-worker-jobs."""

    id: str
    kind: str
    handler: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """A job that was locked for an external worker."""

    id: str
    lock_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What an instance waits for: message or signal, and its name."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """An element instance of the history."""

    activity_id: str
    ended: bool
    canceled: bool


class Driver(Protocol):
    """The mesh through one face. Every method raises Refused where the mesh answers with an error."""

    async def close(self) -> None: ...

    async def deploy(self, models: Mapping[str, bytes], tenant: str) -> str:
        """Deploy files as one deployment and return its id."""

    async def deployments(self) -> list[str]:
        """Return the ids of all deployments, newest first."""

    async def delete_deployment(self, deployment_id: str) -> None:
        """Delete with everything that belongs to it."""

    async def definitions(self, key: str) -> list[str]:
        """Return the ids of the definitions of a key, all versions and tenants."""

    async def change_definition(self, definition_id: str, action: str) -> None:
        """Suspend or activate."""

    async def start(self, start: Start) -> str:
        """Start an instance and return its id."""

    async def instance(self, instance_id: str) -> Instance | None:
        """Return a running instance, None if it is over."""

    async def called_instances(self, instance_id: str, deep: bool) -> list[str]:
        """Return the running instances that it called, at all levels if `deep`."""

    async def count_running(self, key: str) -> int: ...

    async def change_instance(self, instance_id: str, action: str) -> None:
        """Suspend or activate."""

    async def delete_instance(self, instance_id: str, reason: str | None) -> None: ...

    async def move(self, instance_id: str, cancel: Sequence[str], start: Sequence[str]) -> None: ...

    async def migrate(self, instance_id: str, key: str, version: int, mappings: Sequence[Mapping[str, Any]]) -> None:
        """`mappings` are as `ActivityMapping` in JSON."""

    async def variables(self, instance_id: str) -> dict[str, Any]: ...

    async def set_variables(self, instance_id: str, values: Values) -> None: ...

    async def set_local_variables(self, execution_id: str, values: Values) -> None: ...

    async def remove_variable(self, instance_id: str, name: str) -> None: ...

    async def waiting(self, instance_id: str, deep: bool) -> list[Waiting]: ...

    async def subscriptions(self, instance_id: str) -> list[Subscription]: ...

    async def trigger(self, execution_id: str, values: Values) -> None: ...

    async def correlate(self, name: str, instance_id: str | None, business_key: str | None, values: Values) -> None: ...

    async def signal(self, name: str, instance_id: str | None, values: Values) -> None: ...

    async def tasks(self, instance_id: str, deep: bool) -> list[Task]:
        """Return the open tasks, oldest first."""

    async def candidates(self, task_id: str) -> tuple[list[str], list[str]]:
        """Return the candidate users and the candidate groups."""

    async def complete(self, task_id: str, values: Values, local: bool, outcome: str | None) -> None: ...

    async def claim(self, task_id: str, user: str | None) -> None: ...

    async def unclaim(self, task_id: str) -> None: ...

    async def delegate(self, task_id: str, user: str | None) -> None: ...

    async def resolve(self, task_id: str) -> None: ...

    async def assign(self, task_id: str, user: str | None) -> None: ...

    async def jobs(self, instance_id: str, kind: str) -> list[Job]: ...

    async def revive(self, job_id: str) -> None:
        """Move a dead-letter job back to the executable ones."""

    async def run_jobs(self, most: int | None) -> None: ...

    async def advance_clock(self, duration: str, fire: bool) -> None: ...

    async def acquire(self, topic: str) -> WorkerJob | None:
        """Lock the oldest job of a topic."""

    async def complete_job(self, job: WorkerJob, values: Values) -> None: ...

    async def fail_job(self, job: WorkerJob, message: str, retries: int | None) -> None:
        """Fail it so that the next worker can have it at once, if retries are left."""

    async def throw_bpmn_error(self, job: WorkerJob, code: str, values: Values) -> None: ...

    async def historic_instance(self, instance_id: str) -> Instance | None: ...

    async def count_historic(self, definition_id: str, state: str) -> int: ...

    async def historic_variables(self, instance_id: str, deep: bool) -> list[dict[str, Any]]:
        """Return variables of instances with their last values, not those of tasks and inner scopes."""

    async def activities(self, instance_id: str) -> list[Activity]:
        """Return the element instances in the order of their starts."""
