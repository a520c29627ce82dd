"""What the columns of the services' tables are made of.

Texts that are not given are empty, never NULL; moments that are not given are NULL.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData

from mesh.db.types import UtcDateTime, identifier, long_text, text

WORD_LENGTH: Final = 32

OPTIONS: Final[dict[str, Any]] = {
    f"{database}_{option}": value
    for database in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
"""What every table says to MySQL and MariaDB: rows that roll back, texts that are compared byte by byte."""


def new_metadata() -> MetaData:
    """The tables of a service, with names for indexes and keys that are the same on every database."""
    return MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def id_column(name: str, *, key: bool = False) -> Column[str]:
    """An id, of ours or of another service."""
    return Column(name, identifier(), primary_key=key, nullable=False)


def word_column(name: str) -> Column[str]:
    """A short word of ours in ASCII: a kind, a state."""
    return Column(name, identifier(WORD_LENGTH), nullable=False)


def text_column(name: str, length: int = 255, *, key: bool = False) -> Column[str]:
    """Words of people, so many characters at most."""
    return Column(name, text(length), primary_key=key, nullable=False)


def long_column(name: str) -> Column[str]:
    """Text of any length."""
    return Column(name, long_text(), nullable=False)


def flag_column(name: str) -> Column[bool]:
    """True or false."""
    return Column(name, Boolean(), nullable=False)


def number_column(name: str) -> Column[int]:
    """A number of 32 bits."""
    return Column(name, Integer(), nullable=False)


def big_column(name: str, *, optional: bool = False) -> Column[int]:
    """A number of 64 bits."""
    return Column(name, BigInteger(), nullable=optional)


def moment_column(name: str, *, optional: bool = False) -> Column[Any]:
    """A moment in UTC."""
    return Column(name, UtcDateTime(), nullable=optional)


def index_on(table: str, *columns: str) -> Index:
    """An index by its columns, named as all are."""
    return Index(f"ix_{table}_{'_'.join(columns)}", *columns)
