"""The words of names, business keys and variables, for searching in the database."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from history.storage.metadata import metadata
from mesh.db.columns import OPTIONS, id_column, text_column
from mesh.db.types import text

MAX_TERM_CHARACTERS: Final = 64

term: Final = Table(
    "search_term",
    metadata,
    id_column("owner_id", key=True),
    Column("field", text(270), primary_key=True, nullable=False),
    Column("term", text(MAX_TERM_CHARACTERS), primary_key=True, nullable=False),
    id_column("instance_id"),
    id_column("root_id"),
    text_column("tenant_id"),
    Index("ix_search_term_term_owner_id_field", "term", "owner_id", "field"),
    Index("ix_search_term_instance_id", "instance_id"),
    Index("ix_search_term_root_id", "root_id"),
    Index("ix_search_term_tenant_id", "tenant_id"),
    **OPTIONS,
)
"""A word of an instance's or task's (`owner_id`) field."""
