"""Alembic's entrance: runs on the connection that `engine.storage.migrate` hands over."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection

from engine.storage.migrate import VERSION_TABLE, is_ours, target_metadata


def run(connection: Connection) -> None:
    """Run the steps that were asked for."""
    options: dict[str, Any] = {"render_as_batch": connection.dialect.name == "sqlite"}
    context.configure(
        connection=connection,
        target_metadata=target_metadata(),
        version_table=VERSION_TABLE,
        include_name=is_ours,
        compare_type=True,
        **options,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
