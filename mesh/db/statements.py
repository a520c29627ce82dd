"""Statements whose text is compiled once from table metadata and given values many times.

A template is written once for all databases. `?` is a value, `?*` a list of them in `IN ?*`; in braces stands what only
MySQL says: `{for update}`, `{skip locked}`, `{for share}`, `{no wait}` and `{index <name>}` (`force index`).

On MySQL the values become literals, escaped by the driver, so that several statements travel as one packet; on SQLite
they are parameters.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from pymysql.converters import escape_bytes, escape_float, escape_string
from sqlalchemy import Column, Table

Row = tuple[Any, ...]


class Result(NamedTuple):
    """What a statement gave: its rows, and how many it changed."""

    rows: Sequence[Row]
    affected: int


class Statement(Protocol):
    """A statement with its values."""

    def mysql(self, limit: int) -> list[str]:
        """Spell it for MySQL, in several statements if it were longer than `limit` characters otherwise."""
        ...

    def sqlite(self, cursor: sqlite3.Cursor) -> Result:
        """Execute it on SQLite."""
        ...

    @property
    def text(self) -> str:
        """Its template, for people."""
        ...


def _spell_text(value: str) -> str:
    # Nearly no text has anything to escape, and to look for it is several times cheaper than to translate.
    if "'" in value or "\\" in value or "\0" in value:
        return f"'{escape_string(value)}'"
    return f"'{value}'"


def _spell_bytes(value: bytes) -> str:
    return str(escape_bytes(value))


_SPELL: Final[dict[type, Callable[[Any], str]]] = {
    str: _spell_text,
    int: str,
    bool: lambda value: "1" if value else "0",
    type(None): lambda _: "NULL",
    float: lambda value: str(escape_float(value, None)),
    bytes: _spell_bytes,
}


def literal(value: object) -> str:
    """Spell a value for MySQL. Moments are given as text. Raises TypeError for what is not a plain value."""
    spell = _SPELL.get(value.__class__)
    if spell is None:
        raise TypeError(f"expected a plain value, found {type(value).__name__}")
    return spell(value)


def _spell_row(row: Row) -> str:
    spell = _SPELL
    return "(" + ",".join([spell[value.__class__](value) for value in row]) + ")"


def spell_list(values: Iterable[Any]) -> str:
    """Spell values as a list in parentheses; an empty one matches nothing."""
    return "(" + (",".join([literal(value) for value in values]) or "NULL") + ")"


_MYSQL_ONLY: Final = {
    "for update": "FOR UPDATE",
    "skip locked": "FOR UPDATE SKIP LOCKED",
    "for share": "LOCK IN SHARE MODE",
}
_BRACES: Final = re.compile(r"\{([a-z]+(?: [A-Za-z_]+)?)\}")
_MARK: Final = re.compile(r"\?\*?")


def _for_mysql(match: re.Match[str]) -> str:
    word = match[1]
    if word.startswith("index "):
        return f"FORCE INDEX ({word.removeprefix('index ')})"
    return _MYSQL_ONLY[word]


class Sql:
    """A statement's template, compiled for both databases."""

    __slots__ = ("_lists", "_parts", "_sqlite", "text")

    def __init__(self, template: str) -> None:
        """Compile. Raises KeyError for an unknown word in braces."""
        self.text = " ".join(template.split())
        spelled = _BRACES.sub(_for_mysql, self.text)
        self._parts = _MARK.split(spelled)
        self._lists = [mark == "?*" for mark in _MARK.findall(spelled)]
        plain = _BRACES.sub("", self.text)
        self._sqlite = plain.replace("?*", "(SELECT value FROM json_each(?))")

    def of(self, *values: Any) -> Call:
        """Give it its values, in order. Raises ValueError if there are too few or too many."""
        if len(values) != len(self._lists):
            raise ValueError(f"expected {len(self._lists)} values, found {len(values)}: {self.text}")
        return Call(self, values)

    def spell(self, values: Sequence[Any]) -> str:
        """Spell for MySQL with these values."""
        pieces = [self._parts[0]]
        for value, many, part in zip(values, self._lists, self._parts[1:], strict=True):
            pieces.append(spell_list(value) if many else literal(value))
            pieces.append(part)
        return "".join(pieces)

    def execute(self, cursor: sqlite3.Cursor, values: Sequence[Any]) -> Result:
        """Execute on SQLite with these values."""
        given = [
            msgspec.json.encode(list(value)).decode() if many else value
            for value, many in zip(values, self._lists, strict=True)
        ]
        cursor.execute(self._sqlite, given)
        rows = cursor.fetchall() if cursor.description is not None else []
        return Result(rows, cursor.rowcount)


class Call:
    """A template with its values."""

    __slots__ = ("_sql", "_values")

    def __init__(self, sql: Sql, values: tuple[Any, ...]) -> None:
        self._sql = sql
        self._values = values

    @property
    def text(self) -> str:
        return self._sql.text

    def mysql(self, limit: int) -> list[str]:  # noqa: ARG002 - a select is never split
        return [self._sql.spell(self._values)]

    def sqlite(self, cursor: sqlite3.Cursor) -> Result:
        return self._sql.execute(cursor, self._values)


class Union:
    """Several selects with equal columns as one statement; which of them take part differs from batch to batch."""

    __slots__ = ("_calls",)

    def __init__(self, calls: Sequence[tuple[Sql, tuple[Any, ...]]]) -> None:
        self._calls = calls

    @property
    def text(self) -> str:
        return " UNION ALL ".join(sql.text for sql, _ in self._calls)

    def mysql(self, limit: int) -> list[str]:  # noqa: ARG002
        return [" UNION ALL ".join([sql.spell(values) for sql, values in self._calls])]

    def sqlite(self, cursor: sqlite3.Cursor) -> Result:
        rows: list[Row] = []
        for sql, values in self._calls:
            rows += sql.execute(cursor, values).rows
        return Result(rows, 0)


def _names(columns: Iterable[Column[Any]], quote: str) -> str:
    return ",".join(f"{quote}{column.name}{quote}" for column in columns)


class Insert:
    """Multi-row INSERT into a table; `replace`: an existing row of the same primary key takes the new values."""

    def __init__(self, table: Table, columns: Sequence[str] = (), *, replace: bool = False) -> None:
        """Compile for the named columns (all if none is named); rows give their values in that order."""
        chosen = [table.c[name] for name in columns] if columns else list(table.columns)
        keys = [column.name for column in table.primary_key.columns]
        others = [column.name for column in chosen if column.name not in keys]
        self.columns = tuple(column.name for column in chosen)
        self.text = f"INSERT INTO {table.name}"
        self._head = f"INSERT INTO `{table.name}` ({_names(chosen, '`')}) VALUES "
        self._tail = ""
        upsert = ""
        if replace:
            self.text = f"UPSERT INTO {table.name}"
            self._tail = " ON DUPLICATE KEY UPDATE " + ",".join(f"`{name}`=VALUES(`{name}`)" for name in others)
            changes = ",".join(f'"{name}"=excluded."{name}"' for name in others)
            upsert = f" ON CONFLICT ({','.join(keys)}) DO UPDATE SET {changes}"
        marks = ",".join("?" * len(chosen))
        self._sqlite = f'INSERT INTO "{table.name}" ({_names(chosen, chr(34))}) VALUES ({marks}){upsert}'

    def of(self, rows: Sequence[Row]) -> Rows:
        """Give it its rows; at least one."""
        return Rows(self.text, self._head, self._tail, self._sqlite, rows)


class Rows:
    """A statement about many rows at once."""

    __slots__ = ("_head", "_rows", "_sqlite", "_tail", "text")

    def __init__(self, text: str, head: str, tail: str, sqlite_text: str, rows: Sequence[Row]) -> None:
        self.text = text
        self._head = head
        self._tail = tail
        self._sqlite = sqlite_text
        self._rows = rows

    def mysql(self, limit: int) -> list[str]:
        spelled = [_spell_row(row) for row in self._rows]
        room = limit - len(self._head) - len(self._tail)
        if sum(map(len, spelled)) + len(spelled) <= room:
            return [self._head + ",".join(spelled) + self._tail]
        return [self._head + ",".join(part) + self._tail for part in _parts(spelled, room)]

    def sqlite(self, cursor: sqlite3.Cursor) -> Result:
        cursor.executemany(self._sqlite, self._rows)
        return Result((), cursor.rowcount)


def _parts(spelled: Sequence[str], room: int) -> list[list[str]]:
    """Cut into runs that fit; a single one that does not fit stays alone, and the server refuses it."""
    parts: list[list[str]] = [[]]
    used = 0
    for text in spelled:
        if parts[-1] and used + len(text) > room:
            parts.append([])
            used = 0
        parts[-1].append(text)
        used += len(text) + 1
    return parts


class Delete:
    """DELETE by key from one or more tables that share it; every row is found by the index of the key, nothing scanned.

    MySQL: the keys are joined as a table of their own, since its optimizer scans a small table rather than look into an
    index, and a scan would wait for rows of other transactions. SQLite: one statement a table, executed for each key.
    """

    def __init__(self, *targets: tuple[Table, Sequence[str]]) -> None:
        """Each target is a table and the columns, a prefix of its primary key, that hold the key."""
        names = [table.name for table, _ in targets]
        width = len(targets[0][1])
        joins = "".join(
            f" LEFT JOIN `{table.name}` FORCE INDEX (PRIMARY) ON "
            + " AND ".join(f"`{table.name}`.`{column}`=k.k{n}" for n, column in enumerate(columns))
            for table, columns in targets
        )
        self.text = f"DELETE FROM {', '.join(names)}"
        self._head = f"DELETE {','.join(f'`{name}`' for name in names)} FROM (SELECT "
        self._first = [f" k{n}" for n in range(width)]
        self._tail = f") k{joins}"
        self._sqlite = [
            f'DELETE FROM "{table.name}" WHERE ' + " AND ".join(f'"{column}"=?' for column in columns)
            for table, columns in targets
        ]

    def of(self, keys: Sequence[Row]) -> DeleteKeys:
        """Give it its keys; at least one."""
        return DeleteKeys(self, keys)

    def spell(self, keys: Sequence[Row]) -> str:
        """Spell for MySQL with these keys."""
        first = ",".join([literal(value) + name for value, name in zip(keys[0], self._first, strict=True)])
        rest = [" UNION ALL SELECT " + ",".join([literal(value) for value in key]) for key in keys[1:]]
        return self._head + first + "".join(rest) + self._tail

    def execute(self, cursor: sqlite3.Cursor, keys: Sequence[Row]) -> Result:
        """Execute on SQLite with these keys."""
        affected = 0
        for text in self._sqlite:
            cursor.executemany(text, keys)
            affected += cursor.rowcount
        return Result((), affected)


KEYS_PER_DELETE: Final = 1000
"""A union of more selects than this would strain the parser's stack."""


class DeleteKeys:
    """A delete with its keys."""

    __slots__ = ("_delete", "_keys")

    def __init__(self, delete: Delete, keys: Sequence[Row]) -> None:
        self._delete = delete
        self._keys = keys

    @property
    def text(self) -> str:
        return self._delete.text

    def mysql(self, limit: int) -> list[str]:  # noqa: ARG002 - bounded by the number of keys
        keys = self._keys
        return [self._delete.spell(keys[n : n + KEYS_PER_DELETE]) for n in range(0, len(keys), KEYS_PER_DELETE)]

    def sqlite(self, cursor: sqlite3.Cursor) -> Result:
        return self._delete.execute(cursor, self._keys)


COMMIT: Final[Statement] = Sql("COMMIT").of()
"""Ends a packet and its transaction."""
