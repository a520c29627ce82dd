"""Counts and durations, added up in the transaction of the recording. All columns but the names only ever grow by sums.

`id` is a digest of the dimensions, so that a key is short whatever people name things.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from history.storage.metadata import metadata
from mesh.db.columns import OPTIONS, big_column, id_column, number_column, text_column
from mesh.db.types import identifier

statistic: Final = Table(
    "statistic_day",
    metadata,
    id_column("id", key=True),
    Column("day", identifier(10), nullable=False),
    Column("kind", identifier(16), nullable=False),
    text_column("tenant_id"),
    id_column("definition_id"),
    text_column("definition_key"),
    text_column("element_id"),
    text_column("element_name"),
    text_column("element_type", 64),
    big_column("started"),
    big_column("completed"),
    big_column("canceled"),
    big_column("failed"),
    big_column("duration_count"),
    big_column("duration_sum_ms"),
    Index("ix_statistic_day_kind_day", "kind", "day"),
    Index("ix_statistic_day_kind_definition_key_day", "kind", "definition_key", "day"),
    Index("ix_statistic_day_definition_id", "definition_id"),
    Index("ix_statistic_day_tenant_id", "tenant_id"),
    **OPTIONS,
)
"""What happened on a day (UTC, YYYY-MM-DD): `kind` process, activity or task; `element_id` empty for a process."""

duration: Final = Table(
    "statistic_duration",
    metadata,
    id_column("id", key=True),
    Column("bucket", number_column("bucket").type, primary_key=True, nullable=False, autoincrement=False),
    big_column("count"),
    **OPTIONS,
)
"""How many durations of a `statistic_day` fell into a bucket (see `model.sketch`)."""

workload: Final = Table(
    "statistic_user_day",
    metadata,
    id_column("id", key=True),
    Column("day", identifier(10), nullable=False),
    text_column("tenant_id"),
    text_column("user_id"),
    big_column("assigned"),
    big_column("completed"),
    big_column("work_count"),
    big_column("work_sum_ms"),
    Index("ix_statistic_user_day_day", "day"),
    Index("ix_statistic_user_day_user_id_day", "user_id", "day"),
    Index("ix_statistic_user_day_tenant_id", "tenant_id"),
    **OPTIONS,
)
"""What a user was given and completed on a day; work lasts from the claim (or else the creation) to the end."""

standing: Final = Table(
    "statistic_open",
    metadata,
    id_column("id", key=True),
    Column("kind", identifier(16), nullable=False),
    text_column("tenant_id"),
    id_column("definition_id"),
    text_column("definition_key"),
    text_column("element_id"),
    text_column("user_id"),
    big_column("open"),
    Index("ix_statistic_open_kind_definition_key", "kind", "definition_key"),
    Index("ix_statistic_open_kind_user_id", "kind", "user_id"),
    Index("ix_statistic_open_tenant_id", "tenant_id"),
    **OPTIONS,
)
"""How much is open now, by assignee where it is a task; a row that comes to 0 goes."""
