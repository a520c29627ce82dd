"""What the engine needs of the forms service, as values and a port. The forms service knows the engine not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from engine.app.archives import File
from engine.kernel.values import Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class FormInfo:
    """A form definition. `model` is its JSON, expressions as they were written; empty where nobody asked for it."""

    id: str
    key: str
    version: int
    name: str
    description: str
    category: str
    tenant_id: str
    deployment_id: str
    resource_name: str
    model: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldState:
    """What the expressions of a field come to; None and empty: it has none."""

    id: str
    required: bool | None = None
    read_only: bool | None = None
    ignored: bool | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is submitted with a form: plain JSON by field id."""

    form_definition_id: str
    values: Mapping[str, Any]
    states: Sequence[FieldState] = ()
    outcome: str = ""
    tenant_id: str = ""
    task_id: str = ""
    process_instance_id: str = ""
    process_definition_id: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedForm:
    """What was submitted with a task."""

    form_definition_id: str
    values: Mapping[str, Any]
    outcome: str
    submitted_by: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a saga."""

    saga_id: str
    step_id: str


class Forms(Protocol):
    """The forms service. Raises what it refuses as errors of `mesh.errors`, Unavailable while it is away."""

    async def by_key(self, key: str, *, tenant_id: str, deployment_id: str) -> FormInfo:
        """The form that a key means to a process of that deployment. Raises NotFound."""
        ...

    async def by_id(self, form_definition_id: str) -> FormInfo:
        """The form of that definition. Raises NotFound."""
        ...

    async def prepare(self, step: Step, submission: Submission) -> dict[str, Variable]:
        """Check a submission and keep it as prepared; returns the variables that the process gets.

        Raises InvalidArgument with the faults of all fields, FailedPrecondition (submission-discarded).
        """
        ...

    async def confirm(self, step: Step, process_instance_id: str = "") -> None:
        """The engine has committed."""
        ...

    async def discard(self, step: Step) -> None:
        """The engine has refused."""
        ...

    async def waiting_submissions(self, before: datetime, most: int) -> Sequence[tuple[Step, str]]:
        """Steps, with the task of each (empty: a start), that were prepared before a moment and not settled since."""
        ...

    async def submitted_with(self, task_id: str) -> SubmittedForm | None:
        """What a task was completed with."""
        ...

    async def prepare_deployment(self, deployment_id: str, name: str, tenant_id: str, files: Sequence[File]) -> None:
        """Check forms that come with a deployment and keep them. Raises InvalidArgument with the faults of all."""
        ...

    async def confirm_deployment(self, deployment_id: str) -> None:
        """The deployment was made."""
        ...

    async def discard_deployment(self, deployment_id: str) -> None:
        """The deployment was refused, or deleted."""
        ...

    async def waiting_deployments(self, before: datetime, most: int) -> Sequence[str]:
        """Ids of our deployments whose forms were prepared before a moment and not settled since."""
        ...

    async def deployments_with_forms(self, page_token: str, most: int) -> tuple[Sequence[str], str]:
        """Ids of our deployments that forms keeps something of, page by page, and the token of the next page."""
        ...
