"""Notify's own database. Knows the records and nothing of channels or contracts."""
