"""What lies in archive files, and what goes there when."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from history.storage.metadata import metadata
from mesh.db.columns import OPTIONS, big_column, id_column, long_column, moment_column, number_column, text_column
from mesh.db.types import identifier

archive_policy: Final = Table(
    "archive_policy",
    metadata,
    text_column("tenant_id", key=True),
    text_column("definition_key", key=True),
    number_column("retention_days"),
    moment_column("changed_at"),
    text_column("changed_by"),
    **OPTIONS,
)
"""After how many days an instance that is over goes to the archive. No row: never."""

archive_file: Final = Table(
    "archive_file",
    metadata,
    id_column("id", key=True),
    long_column("path"),
    Column("sha256", identifier(64), nullable=False),
    number_column("instances"),
    number_column("records"),
    big_column("bytes"),
    moment_column("written_at"),
    **OPTIONS,
)
"""A Parquet file that was written and verified; `path` is below the archive's URL."""

archived_instance: Final = Table(
    "archived_instance",
    metadata,
    id_column("id", key=True),
    id_column("root_id"),
    id_column("file_id"),
    text_column("tenant_id"),
    id_column("definition_id"),
    text_column("definition_key"),
    text_column("business_key"),
    text_column("name"),
    text_column("start_user_id"),
    moment_column("started_at"),
    moment_column("ended_at"),
    Column("state", identifier(16), nullable=False),
    moment_column("archived_at"),
    Index("ix_archived_instance_root_id", "root_id"),
    Index("ix_archived_instance_file_id", "file_id"),
    Index("ix_archived_instance_tenant_id", "tenant_id"),
    Index("ix_archived_instance_definition_key_ended_at", "definition_key", "ended_at"),
    Index("ix_archived_instance_business_key", "business_key"),
    Index("ix_archived_instance_start_user_id", "start_user_id"),
    Index("ix_archived_instance_ended_at", "ended_at"),
    Index("ix_archived_instance_archived_at", "archived_at"),
    **OPTIONS,
)
"""Where an archived instance lies. Its root's tree is archived as a whole, in one file."""
