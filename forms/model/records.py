"""What forms keeps: the fields of a record are the columns of its table. Texts that are not given are empty."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

PREPARED: Final = "prepared"
DEPLOYED: Final = "deployed"
SUBMITTED: Final = "submitted"
DISCARDED: Final = "discarded"


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """Form models that were deployed together. `state`: prepared, deployed or discarded."""

    id: str
    name: str
    category: str
    tenant_id: str
    parent_deployment_id: str | None
    state: str
    deployed_at: datetime


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a form."""

    id: str
    key: str
    version: int
    name: str
    description: str
    category: str
    tenant_id: str
    deployment_id: str
    parent_deployment_id: str
    resource_name: str


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a deployment."""

    name: str
    data: bytes


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A submission. `state`: prepared, submitted or discarded. `content` is JSON: field id to typed value."""

    id: str
    saga_id: str
    step_id: str
    state: str
    form_definition_id: str
    form_key: str
    form_version: int
    outcome: str
    task_id: str
    process_instance_id: str
    process_definition_id: str
    submitted_by: str
    tenant_id: str
    created_at: datetime
    submitted_at: datetime
    content: str
    answer: str
    """What the engine was told to set, as JSON; kept until it is known whether it was."""
