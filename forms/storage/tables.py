"""Forms' tables. The columns of a record's table are the fields of the record, in their order.

Texts that are not given are empty, never NULL, but for the parent of a deployment: it is unique where there is one.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table, UniqueConstraint

from mesh.db.columns import OPTIONS, id_column, long_column, moment_column, new_metadata, number_column, text_column
from mesh.db.types import identifier, long_bytes

metadata: Final = new_metadata()

deployment: Final = Table(
    "form_deployment",
    metadata,
    id_column("id", key=True),
    text_column("name"),
    text_column("category"),
    text_column("tenant_id"),
    Column("parent_deployment_id", identifier(), nullable=True),
    text_column("state", 16),
    moment_column("deployed_at"),
    UniqueConstraint("parent_deployment_id"),
    Index("ix_form_deployment_name", "name"),
    Index("ix_form_deployment_category", "category"),
    Index("ix_form_deployment_tenant_id", "tenant_id"),
    Index("ix_form_deployment_deployed_at", "deployed_at"),
    Index("ix_form_deployment_state_deployed_at", "state", "deployed_at"),
    **OPTIONS,
)
"""A `records.Deployment`."""

resource: Final = Table(
    "form_resource",
    metadata,
    id_column("deployment_id", key=True),
    text_column("name", key=True),
    Column("data", long_bytes(), nullable=False),
    **OPTIONS,
)
"""A `records.Resource` of a deployment."""

definition: Final = Table(
    "form_definition",
    metadata,
    id_column("id", key=True),
    text_column("key"),
    number_column("version"),
    text_column("name"),
    long_column("description"),
    text_column("category"),
    text_column("tenant_id"),
    id_column("deployment_id"),
    id_column("parent_deployment_id"),
    text_column("resource_name"),
    UniqueConstraint("key", "tenant_id", "version"),
    Index("ix_form_definition_name", "name"),
    Index("ix_form_definition_category", "category"),
    Index("ix_form_definition_tenant_id", "tenant_id"),
    Index("ix_form_definition_deployment_id", "deployment_id"),
    Index("ix_form_definition_parent_deployment_id_key", "parent_deployment_id", "key"),
    Index("ix_form_definition_version", "version"),
    Index("ix_form_definition_resource_name", "resource_name"),
    **OPTIONS,
)
"""A `records.Definition`."""

instance: Final = Table(
    "form_instance",
    metadata,
    id_column("id", key=True),
    text_column("saga_id", 128),
    text_column("step_id", 128),
    text_column("state", 16),
    id_column("form_definition_id"),
    text_column("form_key"),
    number_column("form_version"),
    text_column("outcome"),
    id_column("task_id"),
    id_column("process_instance_id"),
    id_column("process_definition_id"),
    text_column("submitted_by"),
    text_column("tenant_id"),
    moment_column("created_at"),
    moment_column("submitted_at"),
    long_column("content"),
    long_column("answer"),
    UniqueConstraint("saga_id", "step_id"),
    Index("ix_form_instance_state_created_at", "state", "created_at"),
    Index("ix_form_instance_form_definition_id", "form_definition_id"),
    Index("ix_form_instance_form_key", "form_key"),
    Index("ix_form_instance_task_id", "task_id"),
    Index("ix_form_instance_process_instance_id", "process_instance_id"),
    Index("ix_form_instance_process_definition_id", "process_definition_id"),
    Index("ix_form_instance_submitted_by", "submitted_by"),
    Index("ix_form_instance_submitted_at", "submitted_at"),
    Index("ix_form_instance_tenant_id", "tenant_id"),
    **OPTIONS,
)
"""A `records.Instance`. The pair of saga and step is the barrier."""

request: Final = Table(
    "form_answered_request",
    metadata,
    text_column("request_id", 128, key=True),
    text_column("kind", 64),
    long_column("answer"),
    moment_column("answered_at"),
    text_column("user_id"),
    Index("ix_form_answered_request_answered_at", "answered_at"),
    Index("ix_form_answered_request_user_id", "user_id"),
    **OPTIONS,
)
"""What clients asked with a `request_id`, so that a retry gets the first answer. `answer` is JSON; `user_id`: whose
personal data it shows."""
