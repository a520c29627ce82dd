"""The read side on SQL: lists, single things, variables and the consistency check, on connections of their own.

It only reads, never takes a lock, and never blocks the event loop. It knows the tables, the token JSON and the ports of
`engine.app.queries`; it knows nothing of commands, writers and protobuf.
"""

from engine.storage.queries.service import SqlQueries

__all__ = ["SqlQueries"]
