"""The engine's outbox as the embedded bus reads it, and where consumer groups remember how far they are."""

from typing import Final

from engine.storage.tables import bus_offset, outbox
from mesh.bus.sql import SqlOffsets
from mesh.db.database import Database
from mesh.outbox import OutboxColumns, SqlOutboxReader

TOPIC: Final = "flowable.history"
"""All rows of the outbox: one message for the events of one command on one tree, keyed by the root instance."""


def outbox_reader(database: Database) -> SqlOutboxReader:
    """Return the reader of the outbox; a payload is one serialised `flowloom.events.v1.CommandEvents`."""
    columns = OutboxColumns(
        sequence=outbox.c.sequence,
        event_id=outbox.c.command_id,
        key=outbox.c.root_id,
        payload=outbox.c.events,
        occurred_at=outbox.c.created_at,
        headers={"tenant_id": outbox.c.tenant_id},
    )
    return SqlOutboxReader(database, columns, TOPIC)


def bus_offsets(database: Database) -> SqlOffsets:
    """Return the offsets of the consumer groups of the embedded bus."""
    return SqlOffsets(database, bus_offset)
