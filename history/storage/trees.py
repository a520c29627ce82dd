"""Whole trees of instances as plain rows: read, compared, deleted and put back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Table

from history.app.deleting import Doomed
from history.model.archive import Kept, StoredRow
from history.model.records import Detail, IdentityLink, TaskLogEntry, Variable
from history.storage import codec, log_tables, tables
from history.storage.rows import ACTIVITIES, INSTANCES, TASKS
from mesh.db.statements import Insert, Row, Sql, Statement
from mesh.db.types import moment_of_text
from mesh.db.writer import Writer

TABLES: Final[tuple[Table, ...]] = (
    tables.process_instance,
    tables.activity,
    tables.task,
    tables.variable,
    log_tables.detail,
    log_tables.task_log,
    log_tables.comment,
    tables.identity_link,
)
"""All that belongs to a tree; the words for searching are made anew from it."""
_NAMES: Final = {table.name: [column.name for column in table.columns] for table in TABLES}
_PUT: Final = {table.name: Insert(table, replace=True) for table in TABLES}
_INSTANCES: Final = Sql(
    f"SELECT {','.join(_NAMES['historic_process_instance'])} FROM historic_process_instance "
    "WHERE root_id IN ?* {for update}"
)
_OF_INSTANCES: Final = tuple(
    (
        table.name,
        Sql(f"SELECT {','.join(f'`{name}`' for name in _NAMES[table.name])} FROM {table.name} WHERE instance_id IN ?*"),
    )
    for table in TABLES[1:-1]
)
_OF_TASKS: Final = Sql(f"SELECT {','.join(_NAMES['historic_comment'])} FROM historic_comment WHERE task_id IN ?*")
_LINKS: Final = Sql(
    f"SELECT {','.join(_NAMES['historic_identity_link'])} FROM historic_identity_link WHERE owner_id IN ?*"
)


def read(writer: Writer, root_ids: Sequence[str]) -> dict[str, list[StoredRow]]:
    """All rows of these roots, by root, in one order; locks the instances. Three round trips for any number of them."""
    instances = writer.run([_INSTANCES.of(sorted(root_ids))])[0].rows
    names = _NAMES["historic_process_instance"]
    root_at, id_at = names.index("root_id"), names.index("id")
    roots = {row[id_at]: row[root_at] for row in instances}
    found = [_stored("historic_process_instance", row, roots) for row in instances]
    results = writer.run([sql.of(sorted(roots)) for _, sql in _OF_INSTANCES])
    for (name, _), result in zip(_OF_INSTANCES, results, strict=True):
        found += [_stored(name, row, roots) for row in result.rows]
    tasks = {str(row.values["id"]): row.instance_id for row in found if row.table == "historic_task"}
    remarks, links = writer.run([_OF_TASKS.of(sorted(tasks)), _LINKS.of(sorted({*roots, *tasks}))])
    owners = {**tasks, **{key: key for key in roots}}
    known = {str(row.values["id"]) for row in found if row.table == "historic_comment"}
    for row in remarks.rows:
        # A remark on a task that was not made on its instance too.
        values = dict(zip(_NAMES["historic_comment"], row, strict=True))
        if values["id"] not in known:
            instance_id = tasks[values["task_id"]]
            found.append(
                StoredRow(table="historic_comment", root_id=roots[instance_id], instance_id=instance_id, values=values)
            )
    for row in links.rows:
        values = dict(zip(_NAMES["historic_identity_link"], row, strict=True))
        instance_id = owners[values["owner_id"]]
        found.append(
            StoredRow(
                table="historic_identity_link", root_id=roots[instance_id], instance_id=instance_id, values=values
            )
        )
    trees: dict[str, list[StoredRow]] = {}
    for stored in sorted(found, key=_place):
        trees.setdefault(stored.root_id, []).append(stored)
    return trees


def doomed(rows: Iterable[StoredRow], terms: Iterable[tuple[str, str]]) -> Doomed:
    """What to delete where these rows go, with their words."""
    by_table: dict[str, list[str]] = {name: [] for name in _NAMES}
    links: list[tuple[str, str, str, str]] = []
    for row in rows:
        if row.table == "historic_identity_link":
            v = row.values
            links.append((str(v["owner_id"]), str(v["kind"]), str(v["user_id"]), str(v["group_id"])))
        else:
            by_table[row.table].append(str(row.values["id"]))
    return Doomed(
        instances=tuple(by_table["historic_process_instance"]),
        activities=tuple(by_table["historic_activity"]),
        tasks=tuple(by_table["historic_task"]),
        variables=tuple(by_table["historic_variable"]),
        details=tuple(by_table["historic_detail"]),
        task_log=tuple(by_table["historic_task_log"]),
        comments=tuple(by_table["historic_comment"]),
        links=tuple(links),
        terms=tuple(terms),
    )


def put(rows: Iterable[StoredRow]) -> list[Statement]:
    """Put rows back: one statement a table."""
    by_table: dict[str, list[Row]] = {}
    for row in rows:
        by_table.setdefault(row.table, []).append(tuple(row.values.get(name) for name in _NAMES[row.table]))
    return [_PUT[name].of(found) for name, found in sorted(by_table.items())]


def kept(rows: Iterable[StoredRow]) -> Kept:
    """The records that rows are."""
    found: dict[str, list[StoredRow]] = {name: [] for name in _NAMES}
    for row in rows:
        found[row.table].append(row)
    return Kept(
        instances=[INSTANCES.record(_cells(row)) for row in found["historic_process_instance"]],
        activities=sorted(
            (ACTIVITIES.record(_cells(row)) for row in found["historic_activity"]), key=lambda one: one.ordinal
        ),
        tasks=[TASKS.record(_cells(row)) for row in found["historic_task"]],
        variables=sorted(
            (Variable(**_valued(row, ("created_at", "updated_at"))) for row in found["historic_variable"]),
            key=lambda one: (one.name, one.id),
        ),
        links=[IdentityLink(**_any(row)) for row in found["historic_identity_link"]],
        details=sorted(
            (Detail(**_valued(row, ("recorded_at",))) for row in found["historic_detail"]), key=lambda one: one.ordinal
        ),
        task_log=sorted(
            (TaskLogEntry(**_any(row, ("recorded_at",))) for row in found["historic_task_log"]),
            key=lambda one: one.ordinal,
        ),
    )


def _cells(row: StoredRow) -> list[Any]:
    return [row.values.get(name) for name in _NAMES[row.table]]


def _any(row: StoredRow, moments: Sequence[str] = ()) -> dict[str, Any]:
    values: dict[str, Any] = dict(row.values)
    return values | {name: moment_of_text(values[name]) for name in moments}


def _valued(row: StoredRow, moments: Sequence[str]) -> dict[str, Any]:
    values = _any(row, moments)
    held = values.pop("bytes")
    values.pop("text_value", None)
    values.pop("number_value", None)
    values["value"] = codec.decode(values["type"], values["value"], held)
    return values


def _stored(table: str, row: Row, roots: dict[str, str]) -> StoredRow:
    values = dict(zip(_NAMES[table], row, strict=True))
    instance_id = str(values["id"] if table == "historic_process_instance" else values["instance_id"])
    return StoredRow(table=table, root_id=roots[instance_id], instance_id=instance_id, values=values)


def _place(row: StoredRow) -> tuple[str, ...]:
    v = row.values
    key = (str(v.get("id", "")), str(v.get("owner_id", "")), str(v.get("kind", "")), str(v.get("user_id", "")))
    return (row.root_id, row.table, *key, str(v.get("group_id", "")))
