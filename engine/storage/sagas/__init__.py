"""The sagas' tables: what is written in batches with fencing, what lists ask, and what a check compares."""
