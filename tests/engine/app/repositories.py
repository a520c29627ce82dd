"""A repository on a real database, with a clock that stands still and instances that are only rows."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select, update

from engine.app.archives import DeploymentLimits, File
from engine.app.definition_changes import DefinitionChanges
from engine.app.definitions import DefinitionCache, DefinitionCacheLimits
from engine.app.deployments import Deploy, Deployments
from engine.app.repository import DeploymentRecord
from engine.kernel import commands as cmd
from engine.kernel import registry
from engine.kernel.errors import not_found
from engine.storage import remark_tables, tables
from engine.storage.repository import SqlRepository
from mesh.clock import ManualClock
from mesh.db.database import Database, DatabaseSettings, Synchronous, open_database
from mesh.ids import IdSource

REGISTRY = registry.load()
BEGINNING = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
assert remark_tables.answer.metadata is tables.metadata


def bpmn(*processes: str, head: str = "") -> bytes:
    """A document with some processes."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn"\n'
        '    targetNamespace="tests">\n' + head + "\n".join(processes) + "\n</definitions>\n"
    ).encode()


def process(key: str = "leave", start: str = '<startEvent id="start"/>', attributes: str = 'name="Leave"') -> str:
    """A process with one task; `start` may be other start events, of which the one called `start` leads to the task."""
    return (
        f'<process id="{key}" {attributes}>{start}<userTask id="task" name="Task"/>'
        '<sequenceFlow id="in" sourceRef="start" targetRef="task"/></process>'
    )


def message_start(name: str, key: str = "leave") -> bytes:
    start = '<startEvent id="start"><messageEventDefinition messageRef="m"/></startEvent>'
    return bpmn(process(key, start), head=f'<message id="m" name="{name}"/>')


def signal_start(name: str, key: str = "leave") -> bytes:
    start = '<startEvent id="start"><signalEventDefinition signalRef="s"/></startEvent>'
    return bpmn(process(key, start), head=f'<signal id="s" name="{name}"/>')


def timer_start(timer: str, key: str = "leave") -> bytes:
    return bpmn(
        process(key, f'<startEvent id="start"><timerEventDefinition>{timer}</timerEventDefinition></startEvent>')
    )


@dataclass
class RowInstances:
    """Stands for the group commit: instances are rows without tokens."""

    database: Database
    clock: ManualClock
    commands: list[cmd.Command] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, definition_id: str, root_id: str = "", state: str = "active") -> str:
        """Insert an instance; with `root_id` it was called by that one."""
        instance_id = f"instance-{next(self._numbers):05d}"
        row: dict[str, Any] = dict.fromkeys(column.name for column in tables.instance.columns)
        row |= dict.fromkeys((name for name in row if row[name] is None), "")
        row |= {
            "id": instance_id,
            "root_id": root_id or instance_id,
            "definition_id": definition_id,
            "definition_version": 1,
            "revision": 1,
            "state": state,
            "started_at": self.clock.now(),
            "tokens": "{}",
        }
        with self.database.engine.begin() as connection:
            connection.execute(insert(tables.instance), row)
        return instance_id

    def states(self) -> dict[str, str]:
        """State by id."""
        with self.database.engine.connect() as connection:
            return {
                row.id: row.state for row in connection.execute(select(tables.instance.c.id, tables.instance.c.state))
            }

    async def submit(self, command: cmd.Command, *, request_id: str = "") -> dict[str, Any]:
        self.commands.append(command)
        instance = tables.instance
        with self.database.engine.begin() as connection:
            match command:
                case cmd.DeleteInstance():
                    done = connection.execute(delete(instance).where(instance.c.root_id == command.instance_id))
                case cmd.SuspendInstance() | cmd.ActivateInstance():
                    state = "suspended" if isinstance(command, cmd.SuspendInstance) else "active"
                    wanted = update(instance).where(instance.c.id == command.instance_id)
                    done = connection.execute(wanted.values(state=state))
                case _:
                    raise AssertionError(f"expected a command on an instance, found {command}")
        if done.rowcount == 0:
            raise not_found(
                "process-instance-not-found", f"expected an instance, found none with id '{command.instance_id}'"
            )
        return {}


@dataclass
class World:
    """Everything that belongs to the repository of one database."""

    database: Database
    clock: ManualClock
    store: SqlRepository
    instances: RowInstances
    definitions: DefinitionCache
    deployments: Deployments
    changes: DefinitionChanges

    async def deploy(self, *files: tuple[str, bytes], **more: Any) -> DeploymentRecord:
        return await self.deployments.deploy(Deploy(files=[File(name, data) for name, data in files], **more))

    async def deploy_model(self, data: bytes, **more: Any) -> DeploymentRecord:
        return await self.deploy(("model.bpmn20.xml", data), **more)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table, by id where it has one."""
        found = tables.metadata.tables[table]
        with self.database.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(select(found)).mappings()]
        return sorted(rows, key=lambda row: str(row.get("id", "")))

    def definition_id(self, key: str = "leave", tenant_id: str = "") -> str:
        record = self.store.read(lambda reader: reader.latest(key, tenant_id))
        assert record is not None
        return record.id


def world_on(database: Database, limits: DeploymentLimits | None = None, fresh_seconds: float = 1.0) -> World:
    """One engine process on a database; several may share one."""
    clock = ManualClock(BEGINNING)
    ids = IdSource()
    store = SqlRepository(database, now=clock.now, new_id=ids.root)
    instances = RowInstances(database, clock)
    definitions = DefinitionCache(
        store, REGISTRY, DefinitionCacheLimits(fresh_seconds=fresh_seconds), lambda: clock.now().timestamp()
    )
    return World(
        database=database,
        clock=clock,
        store=store,
        instances=instances,
        definitions=definitions,
        deployments=Deployments(store, definitions, instances, REGISTRY, now=clock.now, new_id=ids.root, limits=limits),
        changes=DefinitionChanges(store, definitions, instances, now=clock.now, new_id=ids.root),
    )


@contextmanager
def database_at(url: str) -> Iterator[Database]:
    """Open a database with empty tables."""
    database = open_database(DatabaseSettings(url=url, sqlite_synchronous=Synchronous.NORMAL))
    try:
        tables.metadata.create_all(database.engine)
        yield database
    finally:
        database.close()


@contextmanager
def sqlite_database() -> Iterator[Database]:
    """Open an SQLite file of one's own."""
    with tempfile.TemporaryDirectory() as folder, database_at(f"sqlite:///{Path(folder) / 'engine.db'}") as database:
        yield database
