"""Alembic's entrance."""

from forms.storage.migrate import MIGRATIONS

MIGRATIONS.run()
