"""All of history's tables together, for migrations, rebuilds and proofs."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Table

from history.storage import (
    archive_tables,  # noqa: F401 - its tables belong to the metadata
    erasure_tables,  # noqa: F401 - likewise
    log_tables,
    search_tables,
    statistics_tables,
    tables,
)
from history.storage.metadata import metadata

__all__ = ["DERIVED", "STATISTICS", "metadata"]

STATISTICS: Final[tuple[Table, ...]] = (
    statistics_tables.statistic,
    statistics_tables.duration,
    statistics_tables.workload,
    statistics_tables.standing,
)
DERIVED: Final[tuple[Table, ...]] = (
    tables.process_instance,
    tables.activity,
    tables.task,
    tables.variable,
    tables.identity_link,
    log_tables.detail,
    log_tables.task_log,
    search_tables.term,
    *STATISTICS,
    tables.applied,
)
"""What follows from the stream alone. (Told remarks do too, and lie beside those made here.)"""
