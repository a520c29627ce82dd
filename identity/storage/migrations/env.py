"""Alembic's entrance."""

from identity.storage.migrate import MIGRATIONS

MIGRATIONS.run()
