"""Fakes and real servers for tests: ids in sequence, a database, a Redis, free ports. Never in production."""
