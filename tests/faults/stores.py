"""A database as a crash test sees it: its rows, put back at will, and compared whatever ids were minted."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

from engine.storage.migrate import MIGRATIONS
from engine.storage.repository.reading import STAMP

Rows = Mapping[str, Sequence[tuple[Any, ...]]]

TABLES = {table.name: tuple(column.name for column in table.columns) for table in MIGRATIONS.metadata.sorted_tables}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_OTHERS = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
_ROUNDS = 4
"""How far apart two ids may be that tell each other's neighbours apart: task, execution, instance, caller."""
GONE_SECONDS = 10.0


class Store:
    """The rows of an engine's database, read and written beside the engine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._parsed = make_url(url)
        self.is_sqlite = self._parsed.get_backend_name() == "sqlite"
        self._mark = "?" if self.is_sqlite else "%s"
        self._kept: Any = None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        if self.is_sqlite:
            # Not kept: an open one must not be carried over a fork.
            with contextlib.closing(
                sqlite3.connect(self._parsed.database or "", isolation_level=None, timeout=10)
            ) as connection:
                yield connection.cursor()
            return
        if self._kept is None:
            self._kept = pymysql.connect(
                host=self._parsed.host or "",
                port=self._parsed.port or 3306,
                user=self._parsed.username,
                database=self._parsed.database,
                autocommit=True,
                charset="utf8mb4",
            )
        yield self._kept.cursor()

    def has_deliveries(self) -> bool:
        """Tell whether something that was thrown has not arrived."""
        with self._connected() as cursor:
            cursor.execute("SELECT 1 FROM delivery LIMIT 1")
            return cursor.fetchone() is not None

    def rows(self) -> Rows:
        """All rows of all tables of the engine."""
        with self._connected() as cursor:
            return {table: self._rows_of(cursor, table) for table in TABLES}

    def _rows_of(self, cursor: Any, table: str) -> list[tuple[Any, ...]]:
        cursor.execute(f"SELECT {self._names(table)} FROM `{table}`")
        return [tuple(row) for row in cursor.fetchall()]

    def _names(self, table: str) -> str:
        return ", ".join(f"`{name}`" for name in TABLES[table])

    def put_back(self, rows: Rows) -> None:
        """Let the tables have exactly these rows."""
        with self._connected() as cursor:
            cursor.execute("BEGIN")
            for table, wanted in rows.items():
                if self._rows_of(cursor, table) == list(wanted):
                    continue
                cursor.execute(f"DELETE FROM `{table}`")
                if wanted:
                    marks = ", ".join(self._mark for _ in TABLES[table])
                    cursor.executemany(f"INSERT INTO `{table}` ({self._names(table)}) VALUES ({marks})", wanted)
            cursor.execute("COMMIT")

    def await_rollback(self) -> None:
        """Wait until the server has noticed that a killed process is gone, and taken back what it left open."""
        if self.is_sqlite:
            return
        until = time.monotonic() + GONE_SECONDS
        with self._connected() as cursor:
            while True:
                cursor.execute(_OTHERS)
                if cursor.fetchone()[0] == 0:
                    return
                assert time.monotonic() < until, "expected the server to end a dead process's connections"


@dataclass(frozen=True, slots=True)
class Picture:
    """A database's content with ids replaced by what they are connected with, so that two runs can be compared."""

    lines: tuple[str, ...]
    colours: Mapping[str, str] = field(compare=False)

    def of(self, answer: str) -> str:
        """An answer that speaks of this content, its ids replaced likewise."""
        return _ID.sub(lambda found: self.colours.get(found.group(), "unknown"), answer)

    def difference(self, other: Picture) -> list[str]:
        """What the other one has more (+) or less (-)."""
        mine, others = list(self.lines), list(other.lines)
        for line in self.lines:
            if line in others:
                others.remove(line)
                mine.remove(line)
        return [f"- {line[:1500]}" for line in mine] + [f"+ {line[:1500]}" for line in others]


def picture(rows: Rows) -> Picture:
    """Draw a picture of a database. Two have the same one if they differ in ids and the order of rows only.

    Each id gets a colour from all the rows that it is in; then again from the colours of the ids beside it, and so on.
    """
    texts = [_text(table, row) for table, found in rows.items() for row in found if not _is_a_note(table, row)]
    parsed = [(_ID.sub("#", text), _ID.findall(text)) for text in texts]
    colours: dict[str, str] = defaultdict(str)
    for _ in range(_ROUNDS):
        seen: dict[str, list[str]] = defaultdict(list)
        for template, ids in parsed:
            around = f"{template}{[colours[id_] for id_ in ids]}"
            for place, id_ in enumerate(ids):
                seen[id_].append(f"{place}{around}")
        colours = defaultdict(str, {id_: _hash("".join(sorted(found))) for id_, found in seen.items()})
    lines = sorted(_ID.sub(lambda found: colours[found.group()], text) for text in texts)
    return Picture(tuple(lines), dict(colours))


def _is_a_note(table: str, row: tuple[Any, ...]) -> bool:
    """The repository's own name for a step that no client named: by it a lost COMMIT is looked up, nothing else."""
    return table == "answer" and str(row[TABLES[table].index("request_id")]).startswith("repository-")


def _text(table: str, row: tuple[Any, ...]) -> str:
    cells = []
    for name, value in zip(TABLES[table], row, strict=True):
        if (table, name) == ("outbox", "sequence") or (table == "engine_property" and STAMP in row and name == "value"):
            continue
        shown = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        cells.append(f"{name}={shown}")
    return f"{table}: " + " | ".join(cells)


def _hash(text: str) -> str:
    return "<" + hashlib.sha256(text.encode()).hexdigest()[:8] + ">"
