"""Alembic's entrance."""

from engine.storage.migrate import MIGRATIONS

MIGRATIONS.run()
