"""Where a person is in the database: rows, links and sums, found by the indexes of the columns that hold user ids.

The values of variables that are the id itself are found by index too; those of details are looked through, since an
erasure is rare and an index for it would cost every recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from history.app.erasing import PersonWish
from history.model.archive import StoredRow
from history.model.erasure import Rows
from history.model.ids import digest
from history.model.search import VARIABLE
from history.storage import log_tables, statistics_tables, tables
from history.storage.archive import entries_of
from history.storage.recording import ADD_STANDING, ADD_WORK, DROP_TERMS, term_statements
from mesh.db.statements import Delete, Row, Sql, Statement
from mesh.db.writer import Writer
from mesh.errors import FailedPrecondition

TABLES: Final = {
    table.name: table
    for table in (
        tables.process_instance,
        tables.activity,
        tables.task,
        tables.variable,
        log_tables.detail,
        log_tables.task_log,
        log_tables.comment,
    )
}
_PEOPLE: Final = {
    "historic_process_instance": ("start_user_id", "end_user_id"),
    "historic_activity": ("assignee",),
    "historic_task": ("assignee", "owner", "completed_by"),
    "historic_task_log": ("user_id",),
    "historic_comment": ("author",),
}
_DROP_WORK: Final = Delete((statistics_tables.workload, ("id",)))
_DROP_STANDING: Final = Delete((statistics_tables.standing, ("id",)))
_PARKED: Final = Sql("SELECT sequence, payload FROM dead_letter")


def hangs_at(row: StoredRow, involved: set[str]) -> bool:
    """Whether a row hangs at a standalone task that the person has to do with."""
    return not row.instance_id and str(row.values.get("task_id", "")) in involved


def rows_of_person(writer: Writer, wish: PersonWish) -> tuple[list[StoredRow], Sequence[Row], set[str]]:
    """Rows that may change, the person's identity links, and ids of instances and tasks that the person is part of."""
    user_id, text = wish.user_id, msgspec.json.encode(wish.user_id).decode()
    found: dict[tuple[str, str], StoredRow] = {}
    involved: set[str] = set()
    for name, columns in _PEOPLE.items():
        for column in columns:
            for row in _select(writer, name, f"{column} = ?", user_id):
                found[name, str(row.values["id"])] = row
                involved |= {row.instance_id, str(row.values.get("task_id", "")), str(row.values["id"])}
    links = writer.run([_LINKS.of(user_id)])[0].rows
    involved |= {row[0] for row in links}
    involved |= {row.instance_id for row in _select(writer, "historic_task", "id IN ?*", sorted(involved))}
    involved.discard("")
    ids = sorted(involved)
    wanted: list[tuple[str, str, tuple[Any, ...]]] = [
        ("historic_variable", "text_value = ?", (user_id,)),
        ("historic_detail", "type = 'string' AND value = ?", (text,)),
        ("historic_task_log", "task_id IN ?*", (ids,)),
        ("historic_task_log", "instance_id IN ?*", (ids,)),
    ]
    if wish.variable_names:
        wanted += [
            (name, f"name IN ?* AND {column} IN ?*", (list(wish.variable_names), ids))
            for name in ("historic_variable", "historic_detail")
            for column in ("instance_id", "task_id")
        ]
    for name, condition, values in wanted:
        for row in _select(writer, name, condition, *values):
            found.setdefault((name, str(row.values["id"])), row)
    return list(found.values()), links, involved


def _select(writer: Writer, name: str, condition: str, *values: Any) -> list[StoredRow]:
    names = [column.name for column in TABLES[name].columns]
    rows = writer.run([Sql(f"SELECT {','.join(names)} FROM {name} WHERE {condition}").of(*values)])[0].rows
    found = []
    for row in rows:
        cells = dict(zip(names, row, strict=True))
        instance_id = str(cells["id"] if name == "historic_process_instance" else cells["instance_id"])
        found.append(StoredRow(table=name, root_id=str(cells["root_id"]), instance_id=instance_id, values=cells))
    return found


_LINKS: Final = Sql(
    "SELECT owner_id, kind, user_id, group_id, root_id FROM historic_identity_link WHERE user_id = ? {for update}"
)
_WORK_OF: Final = Sql(
    "SELECT id, day, tenant_id, user_id, assigned, completed, work_count, work_sum_ms "
    "FROM statistic_user_day WHERE user_id = ? {for update}"
)
_STANDING_OF: Final = Sql(
    "SELECT id, kind, tenant_id, definition_id, definition_key, element_id, user_id, `open` "
    "FROM statistic_open WHERE kind = 'task' AND user_id = ? {for update}"
)


def sums_of_person(writer: Writer, user_id: str, replacement: str, counts: dict[str, Rows]) -> list[Statement]:
    """A person's sums under the replacement; what is counted stays the same."""
    packet: list[Statement] = []
    work, standing = writer.run([_WORK_OF.of(user_id), _STANDING_OF.of(user_id)])
    if work.rows:
        moved: list[Row] = [
            (digest(day, tenant_id, replacement), day, tenant_id, replacement, *sums)
            for _, day, tenant_id, _, *sums in work.rows
        ]
        packet += [_DROP_WORK.of([(row[0],) for row in work.rows]), ADD_WORK.of(sorted(moved))]
        counts["statistic_user_day"] = Rows(table="statistic_user_day", changed=len(moved))
    # What is open stays with the person in the engine: a later event takes it from there, so it is not moved by hand
    # but counted under the name that the open task has here from now on.
    if standing.rows:
        moved = [(digest(*row[1:6], replacement), *row[1:6], replacement, row[7]) for row in standing.rows]
        packet += [_DROP_STANDING.of([(row[0],) for row in standing.rows]), ADD_STANDING.of(sorted(moved))]
        counts["statistic_open"] = Rows(table="statistic_open", changed=len(moved))
    return packet


def words_of_changed(changed: Sequence[StoredRow]) -> list[Statement]:
    """The words of changed variables anew; of a value that is gone, none."""
    keys = texts_of(changed)
    if not keys:
        return []
    variables = [row for row in changed if row.table == "historic_variable"]
    return [DROP_TERMS.of(keys), *term_statements(entries_of(variables))]


def texts_of(changed: Sequence[StoredRow]) -> list[tuple[str, str]]:
    """Owner and field of the changed texts that can be searched."""
    return sorted(
        {
            (str(row.values["task_id"] or row.values["execution_id"]), VARIABLE + str(row.values["name"]))
            for row in changed
            if row.table == "historic_variable"
        }
    )


def check_parked(writer: Writer, user_id: str) -> None:
    """Raise FailedPrecondition if a parked message speaks of the person: it could not be made to forget."""
    held = [row[0] for row in writer.run([_PARKED.of()])[0].rows if user_id.encode() in row[1]]
    if held:
        raise FailedPrecondition(
            "messages-parked",
            f"expected no parked message with the person, found {len(held)}: replay or discard them first",
        )
