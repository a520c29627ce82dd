"""Alembic's entrance."""

from history.storage.migrate import MIGRATIONS

MIGRATIONS.run()
