"""Rows of the repository and the values that they stand for."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping

from engine.app.repository import DefinitionJob, DefinitionRecord, DeploymentRecord, Starter, StartSubscription
from engine.kernel.state import TIMER
from engine.storage import tables
from engine.storage.codec import from_json, to_json
from engine.storage.rows import lane_of

REPOSITORY_LANE: Final = "repository"
"""Jobs that change a definition's state; whoever executes the jobs of instances leaves them alone."""
NOBODY: Final = ""
"""The instance and root of what belongs to a definition itself."""

_deployment = tables.deployment.c
DEPLOYMENT: Final = (
    _deployment.id,
    _deployment.name,
    _deployment.category,
    _deployment.key,
    _deployment.tenant_id,
    _deployment.deployed_at,
    _deployment.parent_deployment_id,
)
_definition = tables.process_definition.c
DEFINITION: Final = (
    _definition.id,
    _definition.key,
    _definition.version,
    _definition.tenant_id,
    _definition.name,
    _definition.description,
    _definition.category,
    _definition.deployment_id,
    _definition.resource_name,
    _definition.diagram_resource_name,
    _definition.start_form_key,
    _definition.suspended,
)
_job = tables.job.c
CHANGE: Final = (
    _job.id,
    _job.definition_id,
    _job.handler,
    _job.due_at,
    _job.created_at,
    _job.tenant_id,
    _job.retries,
    _job.payload,
)


def deployment_of(row: RowMapping) -> DeploymentRecord:
    """Read a row of `DEPLOYMENT`."""
    return DeploymentRecord(**row)


def definition_of(row: RowMapping) -> DefinitionRecord:
    """Read a row of `DEFINITION`."""
    return DefinitionRecord(**row)


def change_of(row: RowMapping) -> DefinitionJob:
    """Read a row of `CHANGE`."""
    values = dict(row)
    return DefinitionJob(**{**values, "payload": from_json(values["payload"])})


def deployment_values(deployment: DeploymentRecord) -> dict[str, Any]:
    """Spell a deployment."""
    return {name: getattr(deployment, name) for name in DeploymentRecord.__struct_fields__}


def definition_values(definition: DefinitionRecord) -> dict[str, Any]:
    """Spell a definition."""
    return {name: getattr(definition, name) for name in DefinitionRecord.__struct_fields__}


def subscription_values(subscription: StartSubscription) -> dict[str, Any]:
    """Spell a start event's subscription."""
    values = {name: getattr(subscription, name) for name in StartSubscription.__struct_fields__}
    return values | {"root_id": NOBODY, "instance_id": NOBODY, "execution_id": NOBODY}


def start_job_values(job: DefinitionJob) -> dict[str, Any]:
    """Spell a timer start event's job."""
    return _job_values(job, lane_of(TIMER, dead=False, suspended=job.suspended))


def change_values(job: DefinitionJob) -> dict[str, Any]:
    """Spell a job that changes a definition's state."""
    return _job_values(job, REPOSITORY_LANE)


def _job_values(job: DefinitionJob, lane: str) -> dict[str, Any]:
    available: datetime = max(job.due_at, job.held_until) if job.held_until is not None else job.due_at
    return {
        "id": job.id,
        "root_id": NOBODY,
        "instance_id": NOBODY,
        "execution_id": NOBODY,
        "element_id": job.element_id,
        "element_name": job.element_name[:255],
        "kind": TIMER,
        "handler": job.handler,
        "due_at": job.due_at,
        "retries": job.retries,
        "repeat": job.repeat,
        "topic": "",
        "exclusive": True,
        "dead": False,
        "suspended": job.suspended,
        "error": "",
        "error_details": "",
        "lock_owner": "",
        "lock_token": "",
        "lease_until": job.held_until,
        "payload": to_json(job.payload),
        "definition_id": job.definition_id,
        "tenant_id": job.tenant_id,
        "created_at": job.created_at,
        "lane": lane,
        "available_at": available,
    }


def starter_values(definition_id: str, link_id: str, starter: Starter, kind: str) -> dict[str, Any]:
    """Spell a candidate starter."""
    return {
        "owner_id": definition_id,
        "id": link_id,
        "root_id": NOBODY,
        "task_id": NOBODY,
        "instance_id": NOBODY,
        "kind": kind,
        "user_id": starter.user_id,
        "group_id": starter.group_id,
    }
