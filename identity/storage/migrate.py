"""The steps by which identity's tables came to be as they are."""

from typing import Final

from identity.storage.tables import metadata
from mesh.db.migrations import Migrations

MIGRATIONS: Final = Migrations("identity", metadata)
