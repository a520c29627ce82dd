"""The steps by which history's tables came to be as they are."""

from typing import Final

from history.storage.schema import metadata
from mesh.db.migrations import Migrations

MIGRATIONS: Final = Migrations("history", metadata)
