"""Databases by URL: column types, statements compiled once, packets of statements in one round trip, error kinds.

Knows MySQL, MariaDB and SQLite; knows no service's tables.
"""
