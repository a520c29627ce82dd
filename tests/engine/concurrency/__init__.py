"""Many clients at once on the same things, through one engine process on SQLite and two on one MariaDB."""
