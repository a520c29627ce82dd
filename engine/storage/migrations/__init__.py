"""The engine's schema, step by step (Alembic). Its place is recorded in `alembic_version_engine`."""
