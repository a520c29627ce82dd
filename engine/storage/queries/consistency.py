"""`flowloom check`: do tokens, tasks, jobs, subscriptions, variables, links, roots, sagas and outbox fit together?

Trees are read in batches, each batch in one snapshot of its own, so what changes meanwhile is seen before or after the
change and never half way. Memory stays bounded, nothing is locked, and other queries run in between.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Select, func, select

from engine.app.queries.consistency import MAX_FINDINGS, ConsistencyReport, Finding
from engine.storage import tables
from engine.storage.queries.checking import Tree, check_tree
from engine.storage.queries.instances import not_found
from engine.storage.queries.listing import invalid
from engine.storage.queries.pool import ReadPool
from engine.storage.queries.saga_checking import check_batch, lines_without_saga
from engine.storage.queries.tokens import InstanceTokens

TREES: Final = 100
"""Trees read at once."""
ROWS: Final = 5_000
"""Rows looked at together where rows are checked against other rows."""
ROOTS_REMEMBERED: Final = 100_000
"""Trees whose last moment in the outbox is kept in mind; those not seen for longest are forgotten."""
CLOCK_SKEW: Final = timedelta(seconds=10)
"""By how much the clocks of two engine processes may differ."""

_I: Final = tables.instance.c


async def check(pool: ReadPool, root_id: str, max_findings: int) -> ConsistencyReport:
    """Check one tree, or everything. Raises NotFound for an unknown root, InvalidArgument for max_findings."""
    if not 1 <= max_findings <= MAX_FINDINGS:
        raise invalid("max_findings", f"expected 1 to {MAX_FINDINGS} (limit: MAX_FINDINGS), found {max_findings}")
    findings: list[Finding] = []
    if root_id:
        checked, found = await pool.run(lambda connection: _check_one(connection, root_id))
        return _report(checked, found, max_findings)
    checked, last = 0, ""
    while len(findings) <= max_findings:
        instances, found, last = await pool.run(partial(_check_batch, after=last))
        checked += instances
        findings.extend(found)
        if not last:
            break
    for rule in _ORPHANS:
        last = ""
        while len(findings) <= max_findings:
            found, last = await pool.run(partial(_orphans, rule=rule, after=last))
            findings.extend(found)
            if not last:
                break
    for look in (check_batch, lines_without_saga):
        last = ""
        while len(findings) <= max_findings:
            found, last = await pool.run(partial(_in_snapshot, look=look, after=last))
            findings.extend(found)
            if not last:
                break
    order, sequence = _OutboxOrder(), 0
    while len(findings) <= max_findings:
        found, sequence = await pool.run(partial(order.batch, after=sequence))
        findings.extend(found)
        if not sequence:
            break
    if len(findings) <= max_findings:
        findings.extend(await pool.run(_offsets_ahead))
    return _report(checked, findings, max_findings)


def _report(checked: int, findings: list[Finding], max_findings: int) -> ConsistencyReport:
    complete = len(findings) <= max_findings
    return ConsistencyReport(instances_checked=checked, findings=tuple(findings[:max_findings]), complete=complete)


def _in_snapshot(
    connection: Connection, look: Callable[[Connection, str], tuple[list[Finding], str]], after: str
) -> tuple[list[Finding], str]:
    with snapshot(connection):
        return look(connection, after)


# --- trees ------------------------------------------------------------------------------------------------------------


def _check_one(connection: Connection, root_id: str) -> tuple[int, list[Finding]]:
    with snapshot(connection):
        if connection.execute(select(_I.id).where(_I.id == root_id, _I.root_id == root_id)).first() is None:
            raise not_found(root_id)
        return _check_trees(connection, [root_id])


def _check_batch(connection: Connection, after: str) -> tuple[int, list[Finding], str]:
    """Check the trees behind a root; returns how many instances they have, and the last root (empty: no more)."""
    with snapshot(connection):
        roots = select(_I.id).where(_I.id == _I.root_id, _I.id > after).order_by(_I.id).limit(TREES)
        root_ids = list(connection.execute(roots).scalars())
        checked, findings = _check_trees(connection, root_ids)
    return checked, findings, root_ids[-1] if len(root_ids) == TREES else ""


def _check_trees(connection: Connection, root_ids: list[str]) -> tuple[int, list[Finding]]:
    trees = {root_id: Tree(root_id) for root_id in root_ids}
    if not root_ids:
        return 0, []
    instance_ids: list[str] = []
    for row in connection.execute(select(tables.instance).where(_I.root_id.in_(root_ids))):
        trees[row.root_id].instances[row.id] = InstanceTokens(row)
        trees[row.root_id].instance_rows[row.id] = row
        instance_ids.append(row.id)
    for table, rows_of in _BY_INSTANCE:
        statement = select(*table.c).where(table.c.instance_id.in_(instance_ids))
        for row in connection.execute(statement):
            tree = trees.get(row.root_id)
            if tree is not None:
                rows_of(tree)[row.id] = row
    variable = tables.variable.c
    scopes = select(variable.root_id, variable.scope_id, variable.instance_id, variable.name)
    for row in connection.execute(scopes.where(variable.root_id.in_(root_ids))):
        trees[row.root_id].variables.append(row)
    return len(instance_ids), [finding for tree in trees.values() for finding in check_tree(tree)]


_BY_INSTANCE: Final[tuple[tuple[Any, Callable[[Tree], dict[str, Any]]], ...]] = (
    (tables.task, lambda tree: tree.tasks),
    (tables.job, lambda tree: tree.jobs),
    (tables.subscription, lambda tree: tree.subscriptions),
)


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Let all statements inside see the same moment; the connection commits by itself otherwise."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    try:
        yield
    finally:
        connection.exec_driver_sql("COMMIT")


# --- rows whose owner is gone -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    """A table whose rows must have an owner: `owner` names it (empty: none is needed), one of `owners` must be it.

    `key` is what rows are read by, each value once.
    """

    name: str
    key: ColumnElement[str]
    owner: ColumnElement[str]
    owners: tuple[Column[str], ...]
    only: ColumnElement[bool] | None = None

    def batch(self, after: str) -> Select[Any]:
        """The keys and owners behind a key."""
        columns: tuple[Any, ...] = (self.key.label("key"), self.owner.label("owner"))
        found = select(*columns).distinct().where(self.key > after)
        return (found if self.only is None else found.where(self.only)).order_by(self.key).limit(ROWS)


def _orphans(connection: Connection, rule: _Rule, after: str) -> tuple[list[Finding], str]:
    """Rows of a batch without owner, and the last key looked at (empty: no more)."""
    with snapshot(connection):
        rows = connection.execute(rule.batch(after)).all()
        missing = {row.owner for row in rows if row.owner}
        for owners in rule.owners:
            if missing:
                missing -= set(connection.execute(select(owners).where(owners.in_(missing))).scalars())
    kinds = " or ".join(owners.table.name for owners in rule.owners)
    findings = [
        Finding(rule=rule.name, message=f"expected {kinds} {row.owner} to be there, found none", subject_id=row.key)
        for row in rows
        if row.owner in missing
    ]
    return findings, rows[-1].key if len(rows) == ROWS else ""


_J: Final = tables.job.c
_L: Final = tables.identity_link.c
_S: Final = tables.subscription.c
_T: Final = tables.task.c
_V: Final = tables.variable.c
_DEFINITION: Final = tables.process_definition.c.id

_ORPHANS: Final = (
    _Rule("instance-without-root", _I.id, _I.root_id, (_I.id,)),
    _Rule("task-without-instance", _T.id, _T.instance_id, (_I.id,)),
    _Rule("job-without-instance", _J.id, _J.instance_id, (_I.id,)),
    _Rule("job-without-definition", _J.id, _J.definition_id, (_DEFINITION,)),
    _Rule("subscription-without-instance", _S.id, _S.instance_id, (_I.id,)),
    _Rule("subscription-without-definition", _S.id, _S.definition_id, (_DEFINITION,)),
    _Rule("variable-without-instance", _V.root_id, _V.root_id, (_I.id,)),
    _Rule("variable-without-task", _V.scope_id, _V.scope_id, (_T.id,), _V.root_id == ""),
    _Rule("link-without-owner", _L.owner_id, _L.owner_id, (_T.id, _I.id, _DEFINITION)),
)


# --- outbox -----------------------------------------------------------------------------------------------------------


class _OutboxOrder:
    """Commands of one root were written one after the other, so their moments ascend as their sequence numbers do."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, datetime] = OrderedDict()

    def batch(self, connection: Connection, after: int) -> tuple[list[Finding], int]:
        """Look at the rows behind a sequence number; returns the last one (0: no more)."""
        columns = tables.outbox.c
        statement = select(columns.sequence, columns.root_id, columns.created_at).where(columns.sequence > after)
        rows = connection.execute(statement.order_by(columns.sequence).limit(ROWS)).all()
        findings = []
        for row in rows:
            latest = self._latest.pop(row.root_id, None) if row.root_id else None
            if latest is not None and row.created_at < latest - CLOCK_SKEW:
                findings.append(
                    Finding(
                        rule="outbox-out-of-order",
                        message=f"expected a moment from {latest.isoformat()} on, found {row.created_at.isoformat()}",
                        process_instance_id=row.root_id,
                        subject_id=str(row.sequence),
                    )
                )
            if row.root_id:
                self._latest[row.root_id] = row.created_at
                if len(self._latest) > ROOTS_REMEMBERED:
                    self._latest.popitem(last=False)
        return findings, rows[-1].sequence if len(rows) == ROWS else 0


def _offsets_ahead(connection: Connection) -> list[Finding]:
    """Nobody can have read what was never written."""
    offset = tables.bus_offset.c
    with snapshot(connection):
        last = connection.execute(select(func.max(tables.outbox.c.sequence))).scalar()
        if last is None:
            # What all have read is deleted, so an empty outbox says nothing.
            return []
        # Other partitions are of topics that are derived from the outbox, with a count of their own.
        of_outbox = (offset.partition == 0, offset.sequence > last)
        ahead = connection.execute(select(offset.consumer_group, offset.sequence).where(*of_outbox)).all()
    return [
        Finding(
            rule="offset-ahead-of-outbox",
            message=f"expected consumer group {row.consumer_group} at most at {last}, found it at {row.sequence}",
            subject_id=row.consumer_group,
        )
        for row in ahead
    ]
