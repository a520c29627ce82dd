"""Rows that are added to what is there: counters go up by what is given, other columns take the new value."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Table

from mesh.db.statements import Row, Rows


class AddUp:
    """Multi-row INSERT; a row whose primary key is there already is added to it.

    Rows should come in the order of their keys: two processes that add to the same rows then wait for each other, and
    never in a circle.
    """

    def __init__(self, table: Table, sums: Collection[str]) -> None:
        """`sums`: the columns that are counters. Rows give their values in the order of the table's columns."""
        names = [column.name for column in table.columns]
        keys = [column.name for column in table.primary_key.columns]
        others = [name for name in names if name not in keys]
        self.text = f"ADD UP INTO {table.name}"
        columns = ",".join(f"`{name}`" for name in names)
        self._head = f"INSERT INTO `{table.name}` ({columns}) VALUES "
        changes = ",".join(
            f"`{name}`=`{name}`+VALUES(`{name}`)" if name in sums else f"`{name}`=VALUES(`{name}`)" for name in others
        )
        self._tail = f" ON DUPLICATE KEY UPDATE {changes}"
        quoted = ",".join(f'"{name}"' for name in names)
        upserts = ",".join(
            f'"{name}"="{name}"+excluded."{name}"' if name in sums else f'"{name}"=excluded."{name}"' for name in others
        )
        marks = ",".join("?" * len(names))
        self._sqlite = (
            f'INSERT INTO "{table.name}" ({quoted}) VALUES ({marks}) '
            f"ON CONFLICT ({','.join(keys)}) DO UPDATE SET {upserts}"
        )

    def of(self, rows: Sequence[Row]) -> Rows:
        """Give it its rows; at least one."""
        return Rows(self.text, self._head, self._tail, self._sqlite, rows)
