"""What was deleted for good: so that no later message and no rebuild brings it back, and so that it can be proved."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, Table

from history.storage.metadata import metadata
from mesh.db.columns import OPTIONS, id_column, long_column, moment_column, number_column, text_column
from mesh.db.types import identifier

forgotten: Final = Table(
    "forgotten",
    metadata,
    id_column("id", key=True),
    Column("reason", identifier(16), nullable=False),
    moment_column("forgotten_at"),
    **OPTIONS,
)
"""Instances, tasks and remarks that are here no more: deleted, archived, or erased with their tenant."""

erased_person: Final = Table(
    "erased_person",
    metadata,
    id_column("person", key=True),
    text_column("replacement"),
    Column("with_comments", Boolean(), nullable=False),
    moment_column("erased_at"),
    **OPTIONS,
)
"""Whose id is replaced in whatever happened before: the digest of the id, never the id. Without a replacement it is a
tenant's digest, of which nothing that happened before is kept."""

erased_variable: Final = Table(
    "erased_variable",
    metadata,
    id_column("variable_id", key=True),
    moment_column("erased_at"),
    **OPTIONS,
)
"""Variables whose values before that moment are gone."""

erasure: Final = Table(
    "erasure",
    metadata,
    id_column("id", key=True),
    number_column("number"),
    Column("kind", identifier(16), nullable=False),
    id_column("subject"),
    text_column("requested_by"),
    moment_column("erased_at"),
    long_column("counts"),
    Column("previous_hash", identifier(64), nullable=False),
    Column("hash", identifier(64), nullable=False),
    Column("signature", identifier(64), nullable=False),
    text_column("request_id", 128),
    Index("ix_erasure_number", "number", unique=True),
    Index("ix_erasure_subject", "subject"),
    Index("ix_erasure_request_id", "request_id"),
    **OPTIONS,
)
"""The proof of one erasure, chained to the one before. `subject` is a digest; `counts` JSON: rows by table."""

rebuild: Final = Table(
    "rebuild",
    metadata,
    id_column("id", key=True),
    Column("state", identifier(16), nullable=False),
    moment_column("started_at"),
    moment_column("ended_at", optional=True),
    text_column("requested_by"),
    long_column("error"),
    number_column("messages"),
    Index("ix_rebuild_started_at", "started_at"),
    Index("ix_rebuild_state", "state"),
    **OPTIONS,
)
"""Rebuilds from the stream; at most one is under way."""

rebuild_gate: Final = Table(
    "rebuild_gate",
    metadata,
    Column("id", Integer(), primary_key=True, autoincrement=False, nullable=False),
    id_column("ticket"),
    moment_column("lease_until", optional=True),
    **OPTIONS,
)
"""One row, which whoever records shares and a rebuild has alone. `ticket`: of the rebuild under way, by which its own
recording is known; empty while there is none. Once its lease is over, another process may take the rebuild up."""

rebuild_root: Final = Table(
    "rebuild_root",
    metadata,
    id_column("root_id", key=True),
    Column("has_start", Boolean(), nullable=False),
    **OPTIONS,
)
"""While a rebuild looks what the stream holds: the roots that it found, and whether with their beginning."""
