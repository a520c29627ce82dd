"""Taking away what is remembered for repeated calls only, once nobody can mean it any more."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, delete, select

from forms.model.records import DISCARDED
from forms.storage import tables
from mesh.db.database import Database

BATCH: Final = 500


class Pruning:
    """Deletes by primary key, so many rows at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prune(self, before: datetime) -> int:
        """Delete some of what was answered or discarded before a moment; says how many rows. 0: there is no more."""
        return await asyncio.to_thread(self._prune, before)

    def _prune(self, before: datetime) -> int:
        instance, deployment, request = tables.instance, tables.deployment, tables.request
        with self._database.engine.begin() as connection:
            answered = _ids(connection, request.c.request_id, request.c.answered_at < before)
            discarded = _ids(
                connection, instance.c.id, (instance.c.state == DISCARDED) & (instance.c.created_at < before)
            )
            gone = _ids(
                connection, deployment.c.id, (deployment.c.state == DISCARDED) & (deployment.c.deployed_at < before)
            )
            _drop(connection, request, request.c.request_id, answered)
            _drop(connection, instance, instance.c.id, discarded)
            _drop(connection, tables.resource, tables.resource.c.deployment_id, gone)
            _drop(connection, deployment, deployment.c.id, gone)
        return len(answered) + len(discarded) + len(gone)


def _ids(connection: Connection, key: ColumnElement[Any], condition: ColumnElement[bool]) -> list[str]:
    return list(connection.execute(select(key).where(condition).limit(BATCH)).scalars())


def _drop(connection: Connection, table: Table, key: ColumnElement[Any], ids: list[str]) -> None:
    if ids:
        connection.execute(delete(table).where(key.in_(ids)))
