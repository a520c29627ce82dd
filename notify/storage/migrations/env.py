"""Alembic's entrance."""

from notify.storage.migrate import MIGRATIONS

MIGRATIONS.run()
