"""Bringing history's tables up to date, and telling whether they are."""

from __future__ import annotations

from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from history.storage.schema import metadata
from mesh.db.database import Database

VERSION_TABLE: Final = "alembic_version_history"
LOCATION: Final = "history:storage/migrations"
_LOCK: Final = "flowloom-history-migration"
_LOCK_SECONDS: Final = 60
_STATEMENT_LOCK_SECONDS: Final = 10


def is_ours(name: str | None, kind: str, _: Any) -> bool:
    """Tell whether Alembic should look at something: other services may live in the same database."""
    return kind != "table" or name in metadata.tables


def head() -> str | None:
    """The newest step's name."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def current(database: Database) -> str | None:
    """The step that the database is at; None for an empty one."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def upgrade(database: Database) -> None:
    """Run the steps that are missing; processes that start together wait for the one that is at it.

    Raises the driver's errors, TimeoutError if another process takes too long.
    """
    if current(database) == head():
        return
    with database.engine.connect() as connection:
        if database.is_sqlite:
            # The file's own lock; which steps are missing is looked up again once we have it.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            command.upgrade(_config(connection), "head")
            connection.commit()
        else:
            _upgrade_locked(connection)


def _upgrade_locked(connection: Connection) -> None:
    if connection.exec_driver_sql(f"SELECT GET_LOCK('{_LOCK}', {_LOCK_SECONDS})").scalar() != 1:
        raise TimeoutError(f"expected to migrate within {_LOCK_SECONDS} s, found another process at it")
    try:
        # A statement that cannot have its table gives up soon; all others would wait behind it.
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout={_STATEMENT_LOCK_SECONDS}")
        command.upgrade(_config(connection), "head")
        connection.commit()
    finally:
        connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{_LOCK}')")
        connection.exec_driver_sql("SET SESSION lock_wait_timeout=DEFAULT")
        connection.commit()


def differences(database: Database) -> list[Any]:
    """What a new step would have to do, as Alembic tells it; empty if tables in code and database agree."""
    options = {"version_table": VERSION_TABLE, "include_name": is_ours, "compare_type": True}
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", LOCATION)
    config.attributes["connection"] = connection
    return config
