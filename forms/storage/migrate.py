"""The steps by which the tables of forms came to be as they are."""

from typing import Final

from forms.storage.tables import metadata
from mesh.db.migrations import Migrations

MIGRATIONS: Final = Migrations("forms", metadata)
