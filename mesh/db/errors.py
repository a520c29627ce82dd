"""What can go wrong with a database, by what one does about it.

    DatabaseError
    ├── TransactionConflict    deadlock or lock timeout: roll back and try the same again
    ├── DuplicateKey           a unique key is taken: look again at what is there
    ├── ConnectionLost         the connection is gone, and the transaction with it: connect anew and try again
    │   └── CommitUnknown      it went while COMMIT was under way: look whether it happened
    ├── DatabaseAway           there is no connecting to it now
    ├── StatementTooLarge      a row is larger than the server takes
    └── ValueTooLong           a text is longer than its column

What is none of these stays the driver's own error: a bug.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import pymysql
from sqlalchemy.exc import DBAPIError


class DatabaseError(Exception):
    """Base of what a transaction can fail with that is not a bug."""


class TransactionConflict(DatabaseError):
    """Another transaction stood in the way (deadlock, lock timeout, busy file)."""


class DuplicateKey(DatabaseError):
    """A row with that unique key exists."""


class ConnectionLost(DatabaseError):
    """The connection broke; what was not committed is rolled back by the server."""


class CommitUnknown(ConnectionLost):
    """The connection broke after COMMIT may have been sent and before its answer was read."""


class DatabaseAway(DatabaseError):
    """Nobody answers, or the server takes no more connections, or the file cannot be opened or written."""


class StatementTooLarge(DatabaseError):
    """One row does not fit into the largest packet that the server takes (`max_allowed_packet`)."""


class ValueTooLong(DatabaseError):
    """A text has more characters than its column; SQLite never says so."""


_CONFLICT: Final = frozenset({1205, 1213, 1020, 1637, 3572, 1614})
_DUPLICATE: Final = frozenset({1062, 1586, 1859})
# Gone, shut down, killed, aborted; read-only after a failover: the address may lead to the new primary.
_LOST: Final = frozenset(
    {0, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1290, 1317, 1836, 1927, 2006, 2013, 2014, 2055, 4031}
)
_AWAY: Final = frozenset({1040, 1042, 1043, 1129, 1130, 1203, 1226, 2002, 2003, 2005, 3159})
_TOO_LARGE: Final = frozenset({1153, 1301})
_TOO_LONG: Final = frozenset({1406})


def classify(error: BaseException) -> DatabaseError | None:
    """Tell which kind an error of PyMySQL, sqlite3 or SQLAlchemy is; None for a bug (wrong SQL, wrong value)."""
    if isinstance(error, DatabaseError):
        return error
    if isinstance(error, DBAPIError) and error.orig is not None:
        return classify(error.orig)
    if isinstance(error, sqlite3.Error):
        return _sqlite(error)
    if isinstance(error, pymysql.err.MySQLError):
        return _mysql(error)
    if isinstance(error, OSError | EOFError):
        return ConnectionLost(str(error))
    return None


def _mysql(error: pymysql.err.MySQLError) -> DatabaseError | None:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else -1
    text = str(error)
    for codes, kind in (
        (_CONFLICT, TransactionConflict),
        (_DUPLICATE, DuplicateKey),
        (_LOST, ConnectionLost),
        (_AWAY, DatabaseAway),
        (_TOO_LARGE, StatementTooLarge),
        (_TOO_LONG, ValueTooLong),
    ):
        if code in codes:
            return kind(text)
    # The driver says "Packet sequence number wrong" and the like with no number when the other side went away.
    return ConnectionLost(text) if isinstance(error, pymysql.err.InternalError) and code == -1 else None


def _sqlite(error: sqlite3.Error) -> DatabaseError | None:
    text = str(error)
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return TransactionConflict(text)
    if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return DuplicateKey(text)
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_PERM")):
        return DatabaseAway(text)
    if name == "SQLITE_TOOBIG":
        return StatementTooLarge(text)
    return None
