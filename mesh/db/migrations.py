"""Bringing a service's tables up to date, and telling whether they are: Alembic, with one process at it at a time.

Each service has its own steps, its own version table, and looks at its own tables only: several may live in one
database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from alembic import command, context
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from mesh.db.database import Database

_LOCK_SECONDS: Final = 60
_STATEMENT_LOCK_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Migrations:
    """The steps of one service, in `<service>/storage/migrations`, towards the tables of `metadata`."""

    service: str
    metadata: MetaData

    @property
    def version_table(self) -> str:
        """Where the database remembers the step that it is at."""
        return f"alembic_version_{self.service}"

    def is_ours(self, name: str | None, kind: str, _parents: Any) -> bool:
        """Tell whether Alembic should look at something."""
        return kind != "table" or name in self.metadata.tables

    def head(self) -> str:
        """Return the newest step."""
        found = ScriptDirectory.from_config(self._config(None)).get_current_head()
        assert found is not None, f"expected {self.service} to have at least one migration"
        return found

    def current(self, database: Database) -> str | None:
        """Return the step that the database is at; None for an empty one."""
        with database.engine.connect() as connection:
            options = {"version_table": self.version_table}
            return MigrationContext.configure(connection, opts=options).get_current_revision()

    def upgrade(self, database: Database) -> None:
        """Run the steps that are missing; processes that start together wait for the one that is at it.

        Raises the driver's errors, TimeoutError if another process takes too long.
        """
        if self.current(database) == self.head():
            return
        with database.engine.connect() as connection:
            if database.is_sqlite:
                # The file's own lock; which steps are missing is looked up again once we have it.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                command.upgrade(self._config(connection), "head")
                connection.commit()
            else:
                self._upgrade_locked(connection)

    def _upgrade_locked(self, connection: Connection) -> None:
        lock = f"flowloom-{self.service}-migration"
        if connection.exec_driver_sql(f"SELECT GET_LOCK('{lock}', {_LOCK_SECONDS})").scalar() != 1:
            raise TimeoutError(f"expected to migrate within {_LOCK_SECONDS} s, found another process at it")
        try:
            # A statement that cannot have its table gives up soon; all others would wait behind it.
            connection.exec_driver_sql(f"SET SESSION lock_wait_timeout={_STATEMENT_LOCK_SECONDS}")
            command.upgrade(self._config(connection), "head")
            connection.commit()
        finally:
            connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{lock}')")
            connection.exec_driver_sql("SET SESSION lock_wait_timeout=DEFAULT")
            connection.commit()

    def differences(self, database: Database) -> list[Any]:
        """What a new step would have to do, as Alembic tells it; empty if tables in code and database agree."""
        options = {"version_table": self.version_table, "include_name": self.is_ours, "compare_type": True}
        with database.engine.connect() as connection:
            found = MigrationContext.configure(connection, opts=options)
            return list(compare_metadata(found, self.metadata))

    def run(self) -> None:
        """Run the steps that Alembic was asked for; called by the service's `migrations/env.py`."""
        connection: Connection = context.config.attributes["connection"]
        context.configure(
            connection=connection,
            target_metadata=self.metadata,
            version_table=self.version_table,
            include_name=self.is_ours,
            compare_type=True,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()

    def _config(self, connection: Connection | None) -> Config:
        config = Config()
        config.set_main_option("script_location", f"{self.service}:storage/migrations")
        config.attributes["connection"] = connection
        return config
