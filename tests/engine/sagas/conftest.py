"""Storage tests of sagas run on SQLite and on a real MariaDB, like all of the storage's."""

from tests.engine.storage.conftest import database, server, url

__all__ = ["database", "server", "url"]
