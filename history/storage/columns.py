"""What the columns of history's tables are made of, and the metadata that they all belong to."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, MetaData

from mesh.db.types import UtcDateTime, identifier, long_text, text

metadata: Final = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})
OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def id_column(name: str, *, key: bool = False) -> Column[str]:
    """An id of ours or of the engine."""
    return Column(name, identifier(), primary_key=key, nullable=False)


def text_column(name: str, length: int = 255, *, key: bool = False) -> Column[str]:
    """Words of people; empty where not given."""
    return Column(name, text(length), primary_key=key, nullable=False)


def long_column(name: str) -> Column[str]:
    """Text of any length."""
    return Column(name, long_text(), nullable=False)


def number_column(name: str) -> Column[int]:
    """A number of 32 bits."""
    return Column(name, Integer(), nullable=False)


def big_column(name: str, *, optional: bool = False) -> Column[int]:
    """A number of 64 bits."""
    return Column(name, BigInteger(), nullable=optional)


def moment_column(name: str, *, optional: bool = False) -> Column[Any]:
    """A moment in UTC."""
    return Column(name, UtcDateTime(), nullable=optional)
