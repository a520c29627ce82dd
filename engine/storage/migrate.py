"""Bringing a database to the present schema, and telling whether it is there."""

from __future__ import annotations

from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from engine.storage import relay_tables, remark_tables, tables
from engine.storage.sagas import tables as saga_tables
from mesh.db.database import Database

VERSION_TABLE: Final = "alembic_version_engine"
LOCATION: Final = "engine:storage/migrations"
_LOCK: Final = "flowloom-engine-migration"
_LOCK_SECONDS: Final = 60
_STATEMENT_LOCK_SECONDS: Final = 10


def target_metadata() -> MetaData:
    """All tables of the engine."""
    for table in (remark_tables.comment, saga_tables.saga, relay_tables.relay_fact):
        assert table.metadata is tables.metadata, "the engine's tables share one metadata"
    return tables.metadata


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Tell whether Alembic should look at something: other services may keep tables in the same database."""
    return kind != "table" or name in target_metadata().tables


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", LOCATION)
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest step's name."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None, "expected at least one migration"
    return found


def current(database: Database) -> str | None:
    """The step that the database is at; None for an empty one."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def upgrade(database: Database) -> None:
    """Run the steps that are missing. Processes that start together wait for the one that is at it.

    Raises the errors of the database; TimeoutError if another process migrates for too long.
    """
    if current(database) == head():
        return
    with database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            _upgrade_alone(connection)
        else:
            _upgrade_locked(connection)


def _upgrade_alone(connection: Connection) -> None:
    # SQLite's own lock on the file; the version is read again once we have it.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    command.upgrade(_config(connection), "head")
    connection.commit()


def _upgrade_locked(connection: Connection) -> None:
    if connection.exec_driver_sql(f"SELECT GET_LOCK('{_LOCK}', {_LOCK_SECONDS})").scalar() != 1:
        raise TimeoutError(f"expected to migrate within {_LOCK_SECONDS} s, found another process at it")
    try:
        # A statement that cannot get its table stops soon, instead of holding up everybody behind it.
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout={_STATEMENT_LOCK_SECONDS}")
        command.upgrade(_config(connection), "head")
        connection.commit()
    finally:
        connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{_LOCK}')")
        connection.exec_driver_sql("SET SESSION lock_wait_timeout=DEFAULT")
        connection.commit()


def differences(database: Database) -> list[Any]:
    """What a new migration would have to do, as Alembic tells it; empty if tables and metadata agree."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "include_name": is_ours, "compare_type": True},
        )
        return list(compare_metadata(context, target_metadata()))


__all__ = ["VERSION_TABLE", "current", "differences", "head", "upgrade"]
