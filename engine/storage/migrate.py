"""The steps by which the engine's tables came to be as they are."""

from typing import Final

from engine.storage import relay_tables, remark_tables, tables
from engine.storage.sagas import tables as saga_tables
from mesh.db.migrations import Migrations

for _table in (remark_tables.comment, saga_tables.saga, relay_tables.relay_fact):
    assert _table.metadata is tables.metadata, "the engine's tables share one metadata"

MIGRATIONS: Final = Migrations("engine", tables.metadata)
