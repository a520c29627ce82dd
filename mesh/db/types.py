"""Column types that mean the same on MySQL, MariaDB and SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer, LargeBinary, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_MYSQL = ("mysql", "mariadb")


def identifier(length: int = 64) -> TypeEngine[str]:
    """An id, compared byte by byte.

    Not MySQL's ascii: comparing such a column with what a client sent in other letters is an error there, not a miss.
    An ASCII character takes one byte either way.
    """
    return text(length)


def text(length: int = 255) -> TypeEngine[str]:
    """Words of people: all of Unicode, compared byte by byte, as SQLite does."""
    return String(length).with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), *_MYSQL)


def long_text() -> TypeEngine[str]:
    """Text of any length, up to 4 GiB."""
    return Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), *_MYSQL)


def long_bytes() -> TypeEngine[bytes]:
    """Bytes of any length, up to 4 GiB."""
    return LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL)


def sequence_number() -> TypeEngine[int]:
    """A 64-bit number that the database counts up; SQLite only counts a column that it calls INTEGER."""
    return BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, to the microsecond: aware UTC outside, without a zone in the database, where text order is time order.

    Raises ValueError for a moment without a time zone.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Ask MySQL for microseconds; it keeps whole seconds otherwise."""
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn into UTC and drop the zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a moment with a time zone, found {value.isoformat()}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


def text_of_moment(value: datetime) -> str:
    """Spell a moment as both databases keep it: `2026-01-31 23:59:59.000000`, in UTC."""
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise ValueError(f"expected a moment with a time zone, found {value.isoformat()}")
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds")[:26]


def moment_of_text(value: str) -> datetime:
    """Read what `text_of_moment` spelled; aware, UTC."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC)
