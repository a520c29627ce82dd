"""What lists can be narrowed by; fields are named as in the contract. None: does not matter."""

from __future__ import annotations

from datetime import datetime

import msgspec


class DeploymentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Deployments."""

    name: str | None = None
    name_like: str | None = None
    category: str | None = None
    tenant_id: str | None = None
    without_tenant_id: bool = False
    parent_deployment_id: str | None = None
    state: str | None = None
    deployed_before: datetime | None = None


class DefinitionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Definitions."""

    key: str | None = None
    key_like: str | None = None
    name: str | None = None
    name_like: str | None = None
    category: str | None = None
    version: int | None = None
    latest: bool = False
    deployment_id: str | None = None
    parent_deployment_id: str | None = None
    tenant_id: str | None = None
    without_tenant_id: bool = False


class InstanceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Submissions."""

    form_definition_id: str | None = None
    form_key: str | None = None
    task_id: str | None = None
    process_instance_id: str | None = None
    process_definition_id: str | None = None
    submitted_by: str | None = None
    submitted_before: datetime | None = None
    submitted_after: datetime | None = None
    tenant_id: str | None = None
    without_tenant_id: bool = False
    state: str | None = None
