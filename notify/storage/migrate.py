"""The steps by which notify's tables came to be as they are."""

from typing import Final

from mesh.db.migrations import Migrations
from notify.storage.tables import metadata

MIGRATIONS: Final = Migrations("notify", metadata)
