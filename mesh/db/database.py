"""A database by its URL: an engine for reading and migrating, and writers' own connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from mesh.db.errors import ConnectionLost, DatabaseAway, classify
from mesh.db.writer import MySqlWriter, SqliteWriter, StatementHook, Writer
from mesh.settings import setting


class Synchronous(Enum):
    """SQLite's care for the disk: `full` survives a power cut, `normal` only the death of the process."""

    FULL = "full"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """How to reach a database."""

    url: str = setting("sqlite:///flowloom.db", doc="MySQL, MariaDB or SQLite, as SQLAlchemy spells it.", secret=True)
    readers: int = setting(8, doc="Connections kept for queries.", minimum=1)
    connect_seconds: float = setting(3.0, doc="How long connecting may take.")
    answer_seconds: float = setting(30.0, doc="How long a MySQL statement may take before the connection is given up.")
    lock_wait_seconds: float = setting(10.0, doc="How long a MySQL statement waits for a row lock.", minimum=1)
    busy_seconds: float = setting(10.0, doc="How long SQLite waits for its file's lock.")
    sqlite_synchronous: Synchronous = setting(Synchronous.FULL, doc="What a commit on SQLite survives.")


@dataclass(slots=True)
class Database:
    """`engine` serves reads (`reader`: without transactions) and migrations; `writer` opens one's own connection."""

    settings: DatabaseSettings
    engine: Engine
    reader: Engine
    hook: StatementHook | None = None
    """Called around each statement of every writer; for fault tests only."""
    _numbers: count[int] = field(default_factory=lambda: count(1))

    @property
    def is_sqlite(self) -> bool:
        """Tell whether it is an SQLite file, which has one writer at a time."""
        return self.engine.dialect.name == "sqlite"

    def writer(self) -> Writer:
        """Open a writer's connection.

        Raises DatabaseAway if nobody answers; the driver's own error if we are refused for good (wrong password).
        """
        try:
            if self.is_sqlite:
                return SqliteWriter(
                    self.engine.url.database or "",
                    _pragmas(self.settings),
                    self.settings.busy_seconds,
                    self._present_hook,
                    self._numbers.__next__,
                )
            return MySqlWriter(
                _mysql_parameters(self.engine.url, self.settings), self._present_hook, self._numbers.__next__
            )
        except Exception as error:
            found = classify(error)
            if isinstance(found, DatabaseAway | ConnectionLost):
                raise DatabaseAway(str(error)) from error
            raise

    def _present_hook(self) -> StatementHook | None:
        return self.hook

    def close(self) -> None:
        """Close what the engines keep open; writers are closed by whoever opened them."""
        self.reader.dispose()
        self.engine.dispose()


def open_database(settings: DatabaseSettings) -> Database:
    """Prepare a database without connecting yet.

    Raises ValueError for a URL of another kind, or of an SQLite database in memory, which its writers could not share.
    """
    url = make_url(settings.url)
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ValueError(
                "expected an SQLite database in a file, found one in memory: its connections could not share it"
            )
        opened = _sqlite_engine(url, settings), _sqlite_engine(url, settings, isolation_level="AUTOCOMMIT")
    elif url.get_backend_name() in ("mysql", "mariadb"):
        url = url.set(drivername=f"{url.get_backend_name()}+pymysql")
        opened = (
            _mysql_engine(url, settings, isolation_level="READ COMMITTED"),
            # A pool of its own: a connection that changed between the two ways of committing would cost each query five
            # more round trips, to set it and to set it back.
            _mysql_engine(url, settings, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True),
        )
    else:
        raise ValueError(f"expected a mysql, mariadb or sqlite URL, found {url.get_backend_name()}")
    return Database(settings, *opened)


def _sqlite_engine(url: URL, settings: DatabaseSettings, **options: Any) -> Engine:
    engine = create_engine(
        url,
        pool_size=settings.readers,
        max_overflow=settings.readers,
        connect_args={"timeout": settings.busy_seconds},
        **options,
    )
    event.listen(engine, "connect", _prepare_sqlite(_pragmas(settings)))
    return engine


def _mysql_engine(url: URL, settings: DatabaseSettings, **options: Any) -> Engine:
    return create_engine(
        url,
        pool_size=settings.readers,
        max_overflow=settings.readers,
        pool_pre_ping=True,
        pool_recycle=600,
        connect_args=_mysql_arguments(settings),
        **options,
    )


def _pragmas(settings: DatabaseSettings) -> list[str]:
    return [
        f"PRAGMA busy_timeout={int(settings.busy_seconds * 1000)}",
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={settings.sqlite_synchronous.value}",
        "PRAGMA cache_size=-16384",
        "PRAGMA temp_store=MEMORY",
    ]


def _prepare_sqlite(pragmas: list[str]) -> Any:
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    return prepare


def _mysql_arguments(settings: DatabaseSettings) -> dict[str, Any]:
    return {
        "charset": "utf8mb4",
        # The collation of our columns, so that literals and columns never disagree.
        "collation": "utf8mb4_bin",
        "connect_timeout": max(1, round(settings.connect_seconds)),
        "read_timeout": max(1, round(settings.answer_seconds)),
        "write_timeout": max(1, round(settings.answer_seconds)),
        "init_command": _session(settings),
    }


def _session(settings: DatabaseSettings) -> str:
    mode = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
    wait = max(1, round(settings.lock_wait_seconds))
    return f"SET SESSION sql_mode='{mode}', time_zone='+00:00', innodb_lock_wait_timeout={wait}"


def _mysql_parameters(url: URL, settings: DatabaseSettings) -> dict[str, Any]:
    parameters = _mysql_arguments(settings)
    for name, value in url.query.items():
        if name in ("unix_socket", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity"):
            parameters[name] = value
    return parameters | {
        "host": url.host or "localhost",
        "port": url.port or 3306,
        "user": url.username,
        "password": url.password or "",
        "database": url.database,
    }
