"""Forms' tables. The columns of a record's table are the fields of the record, in their order.

Texts that are not given are empty, never NULL, but for the parent of a deployment: it is unique where there is one.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, Integer, MetaData, Table, UniqueConstraint

from mesh.db.types import UtcDateTime, identifier, long_bytes, long_text, text

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def _id(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, identifier(), primary_key=key, nullable=False)


def _text(name: str, length: int = 255, *, key: bool = False) -> Column[str]:
    return Column(name, text(length), primary_key=key, nullable=False)


def _long(name: str) -> Column[str]:
    return Column(name, long_text(), nullable=False)


def _moment(name: str) -> Column[Any]:
    return Column(name, UtcDateTime(), nullable=False)


deployment: Final = Table(
    "form_deployment",
    metadata,
    _id("id", key=True),
    _text("name"),
    _text("category"),
    _text("tenant_id"),
    Column("parent_deployment_id", identifier(), nullable=True),
    _text("state", 16),
    _moment("deployed_at"),
    UniqueConstraint("parent_deployment_id"),
    Index("ix_form_deployment_name", "name"),
    Index("ix_form_deployment_category", "category"),
    Index("ix_form_deployment_tenant_id", "tenant_id"),
    Index("ix_form_deployment_deployed_at", "deployed_at"),
    Index("ix_form_deployment_state_deployed_at", "state", "deployed_at"),
    **_OPTIONS,
)
"""A `records.Deployment`."""

resource: Final = Table(
    "form_resource",
    metadata,
    _id("deployment_id", key=True),
    _text("name", key=True),
    Column("data", long_bytes(), nullable=False),
    **_OPTIONS,
)
"""A `records.Resource` of a deployment."""

definition: Final = Table(
    "form_definition",
    metadata,
    _id("id", key=True),
    _text("key"),
    Column("version", Integer(), nullable=False),
    _text("name"),
    _long("description"),
    _text("category"),
    _text("tenant_id"),
    _id("deployment_id"),
    _id("parent_deployment_id"),
    _text("resource_name"),
    UniqueConstraint("key", "tenant_id", "version"),
    Index("ix_form_definition_name", "name"),
    Index("ix_form_definition_category", "category"),
    Index("ix_form_definition_tenant_id", "tenant_id"),
    Index("ix_form_definition_deployment_id", "deployment_id"),
    Index("ix_form_definition_parent_deployment_id_key", "parent_deployment_id", "key"),
    Index("ix_form_definition_version", "version"),
    Index("ix_form_definition_resource_name", "resource_name"),
    **_OPTIONS,
)
"""A `records.Definition`."""

instance: Final = Table(
    "form_instance",
    metadata,
    _id("id", key=True),
    _text("saga_id", 128),
    _text("step_id", 128),
    _text("state", 16),
    _id("form_definition_id"),
    _text("form_key"),
    Column("form_version", Integer(), nullable=False),
    _text("outcome"),
    _id("task_id"),
    _id("process_instance_id"),
    _id("process_definition_id"),
    _text("submitted_by"),
    _text("tenant_id"),
    _moment("created_at"),
    _moment("submitted_at"),
    _long("content"),
    _long("answer"),
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
    **_OPTIONS,
)
"""A `records.Instance`. The pair of saga and step is the barrier."""

request: Final = Table(
    "form_answered_request",
    metadata,
    _text("request_id", 128, key=True),
    _text("kind", 64),
    _long("answer"),
    _moment("answered_at"),
    _text("user_id"),
    Index("ix_form_answered_request_answered_at", "answered_at"),
    Index("ix_form_answered_request_user_id", "user_id"),
    **_OPTIONS,
)
"""What clients asked with a `request_id`, so that a retry gets the first answer. `answer` is JSON; `user_id`: whose
personal data it shows."""
