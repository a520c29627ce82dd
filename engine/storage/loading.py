"""The second conversation of a batch: lock the roots, then read the trees.

The lock of a tree is its root's row, taken by primary key in order of ids. All that belongs to the tree is read by
later statements, which see what was committed before the lock was got (READ COMMITTED reads anew for each statement).
"""

from __future__ import annotations

from typing import Any, Final

from engine.app.unit_of_work import DeliveryKey, StartJob, Wanted
from engine.kernel import state as st
from engine.kernel.values import Variable
from engine.storage.codec import decode_value
from engine.storage.rows import JOB_COLUMNS, Row, instance_of, job_of, task_of
from mesh.db.statements import Sql, Statement, Union
from mesh.db.types import moment_of_text
from mesh.db.writer import Writer

_LOCK: Final = Sql("SELECT id FROM instance {index PRIMARY} WHERE id IN ?* ORDER BY id {for update}")
_LOCK_FREE: Final = Sql("SELECT id FROM instance {index PRIMARY} WHERE id IN ?* ORDER BY id {skip locked}")

# Instances, variables, tasks and links come by one statement: 21 columns each, aligned by kind of value.
_INSTANCES: Final = Sql(
    "SELECT 'I', root_id, id, super_instance_id, super_execution_id, definition_key, name, tokens, business_key, "
    "business_status, state, NULL, definition_name, start_user_id, tenant_id, definition_id, NULL, started_at, NULL, "
    "definition_version, revision FROM instance WHERE root_id IN ?*"
)
_VARIABLE: Final = (
    "SELECT 'V', root_id, scope_id, NULL, NULL, NULL, name, value, NULL, NULL, type, NULL, NULL, NULL, NULL, NULL, "
    "NULL, NULL, NULL, NULL, leaf FROM variable "
)
_VARIABLES: Final = Sql(_VARIABLE + "{index ix_variable_root_id_leaf} WHERE root_id IN ?* AND leaf = 0")
_LEAF_VARIABLES: Final = Sql(_VARIABLE + "WHERE scope_id IN ?* AND leaf = 1")
_ALL_VARIABLES: Final = Sql(_VARIABLE + "WHERE root_id IN ?*")
_TASK: Final = (
    "SELECT 'T', t.root_id, t.id, t.instance_id, t.execution_id, t.element_id, t.name, t.description, t.assignee, "
    "t.owner, t.delegation, t.due_at, t.category, t.form_key, t.tenant_id, t.definition_id, t.parent_task_id, "
    "t.created_at, t.claimed_at, t.priority, t.suspended FROM "
)
_TASKS: Final = Sql(_TASK + "task t WHERE t.id IN ?*")
_ALL_TASKS: Final = Sql(_TASK + "instance i JOIN task t ON t.instance_id = i.id WHERE i.root_id IN ?*")
_LINKS: Final = Sql(
    "SELECT 'L', root_id, owner_id, id, NULL, NULL, kind, NULL, user_id, group_id, NULL, NULL, NULL, NULL, NULL, "
    "NULL, NULL, NULL, NULL, NULL, NULL FROM identity_link WHERE owner_id IN ?*"
)
_JOB: Final = ", ".join(f"j.{'`repeat`' if name == 'repeat' else name}" for name in JOB_COLUMNS)
_JOBS: Final = Sql(f"SELECT {_JOB} FROM job j {{index PRIMARY}} WHERE j.id IN ?* {{for update}}")
_JOBS_FREE: Final = Sql(f"SELECT {_JOB} FROM job j {{index PRIMARY}} WHERE j.id IN ?* {{skip locked}}")
_ALL_JOBS: Final = Sql(
    f"SELECT {_JOB} FROM instance i JOIN job j ON j.instance_id = i.id WHERE i.root_id IN ?* {{for update}}"
)
_DELIVERIES: Final = Sql(
    "SELECT throw_id, subscription_id FROM delivery {index PRIMARY} WHERE throw_id IN ?* AND subscription_id IN ?* "
    "{for update}"
)

PLANNED: Final = (
    _LOCK,
    _LOCK_FREE,
    _INSTANCES,
    _VARIABLES,
    _LEAF_VARIABLES,
    _ALL_VARIABLES,
    _TASKS,
    _ALL_TASKS,
    _LINKS,
    _JOBS,
    _JOBS_FREE,
    _ALL_JOBS,
    _DELIVERIES,
)
"""For the tests of plans."""


class TreeRows:
    """The rows of one tree."""

    __slots__ = ("has_variables", "instances", "jobs", "links", "scopes", "tasks", "variables", "whole")

    def __init__(self, *, whole: bool, scopes: set[str]) -> None:
        self.instances: list[Row] = []
        self.variables: list[tuple[str, str, Variable]] = []
        self.tasks: list[Row] = []
        self.jobs: list[Row] = []
        self.links: list[Row] = []
        self.whole = whole
        self.scopes = scopes
        self.has_variables = False

    def build(self, root_id: str) -> st.Tree:
        """Make the tree."""
        tree = st.Tree(root_id=root_id)
        for row in self.instances:
            instance = instance_of(row)
            tree.instances[instance.id] = instance
        for scope, name, variable in self.variables:
            tree.variables.setdefault(scope, {})[name] = variable
        for row in self.tasks:
            tree.tasks[row[2]] = task_of(row)
        for row in self.jobs:
            tree.jobs[row[0]] = job_of(row)
        for row in self.links:
            tree.links.setdefault(row[2], []).append((row[3], row[6], row[8], row[9]))
        holders = [e for i in tree.instances.values() for e in i.executions.values() if e.locals]
        self.has_variables = bool(self.variables or holders)
        tree.all_loaded = self.whole or all(e.scope or e.body or e.id in self.scopes for e in holders)
        return tree


class LoadedRows:
    """All rows of a batch. `known`: the executions that the rows had, by id; their marks say what rows they left."""

    def __init__(self) -> None:
        self.deliveries: set[DeliveryKey] = set()
        self.start_jobs: dict[str, StartJob] = {}
        self.trees: dict[str, TreeRows] = {}
        self.known: dict[str, st.Execution] = {}
        self.instances: set[str] = set()
        self.job_rows: dict[str, Row] = {}
        self.task_ids: set[str] = set()

    def holds(self, root_id: str) -> bool:
        """Tell whether the tree exists and is locked by us."""
        return root_id in self.trees

    def tree(self, root_id: str) -> st.Tree:
        """Build the tree from its rows; a new one at each call."""
        tree = self.trees[root_id].build(root_id)
        for instance in tree.instances.values():
            self.known.update(instance.executions)
            self.instances.add(instance.id)
        return tree

    def has_variables(self, root_id: str) -> bool:
        """Tell whether the database may hold variables of the tree."""
        rows = self.trees.get(root_id)
        return rows is not None and rows.has_variables


def load(writer: Writer, wanted: Wanted) -> LoadedRows:
    """Lock and read in one packet."""
    loaded = LoadedRows()
    packet: list[Statement] = []
    roots = sorted(wanted.roots)
    whole = sorted(wanted.whole)
    if roots:
        packet.append((_LOCK_FREE if wanted.skip_locked else _LOCK).of(roots))
    at_jobs = len(packet)
    if wanted.jobs:
        packet.append((_JOBS_FREE if wanted.skip_locked else _JOBS).of(wanted.jobs))
    if whole:
        packet.append(_ALL_JOBS.of(whole))
    at_deliveries = len(packet)
    if wanted.deliveries:
        throws = list(dict.fromkeys(throw for throw, _ in wanted.deliveries))
        packet.append(_DELIVERIES.of(throws, [subscription for _, subscription in wanted.deliveries]))
    if roots:
        packet.append(Union(_parts(wanted, roots, whole)))
    results = writer.run(packet)
    if roots:
        for (root_id,) in results[0].rows:
            scopes = {scope for root, scope in wanted.scopes if root == root_id} if wanted.scopes else set()
            loaded.trees[root_id] = TreeRows(whole=root_id in wanted.whole, scopes=scopes)
        _sort_out(loaded, results[-1].rows)
    for result in results[at_jobs:at_deliveries]:
        _take_jobs(loaded, result.rows)
    if wanted.deliveries:
        loaded.deliveries.update((throw, subscription) for throw, subscription in results[at_deliveries].rows)
    return loaded


def _parts(wanted: Wanted, roots: list[str], whole: list[str]) -> list[tuple[Sql, tuple[Any, ...]]]:
    parts: list[tuple[Sql, tuple[Any, ...]]] = [(_INSTANCES, (roots,))]
    partial = [root for root in roots if root not in wanted.whole] if whole else roots
    if partial:
        parts.append((_VARIABLES, (partial,)))
        if wanted.scopes:
            parts.append((_LEAF_VARIABLES, ([scope for root, scope in wanted.scopes if root not in wanted.whole],)))
    if whole:
        parts += [(_ALL_VARIABLES, (whole,)), (_ALL_TASKS, (whole,))]
    if wanted.tasks:
        parts.append((_TASKS, (wanted.tasks,)))
    if wanted.links:
        parts.append((_LINKS, (wanted.links,)))
    return parts


def _sort_out(loaded: LoadedRows, rows: Any) -> None:
    trees = loaded.trees
    for row in rows:
        tree = trees.get(row[1])
        if tree is None:
            continue
        mark = row[0]
        if mark == "V":
            tree.variables.append((row[2], row[6], Variable(row[10], decode_value(row[10], row[7]))))
        elif mark == "I":
            tree.instances.append(row)
        elif mark == "T":
            tree.tasks.append(row)
            loaded.task_ids.add(row[2])
        else:
            tree.links.append(row)
    # A root that ended between its lock and the reading of its row cannot be; one that ended before has no row to lock.
    for root_id in [root_id for root_id, tree in trees.items() if not tree.instances]:
        del trees[root_id]
    for tree in trees.values():
        if len(tree.instances) > 1:
            tree.instances.sort(key=lambda row: (row[2] != row[1], row[2]))


def _take_jobs(loaded: LoadedRows, rows: Any) -> None:
    for row in rows:
        job_id, root_id = row[0], row[1]
        if job_id in loaded.job_rows:
            continue
        loaded.job_rows[job_id] = row
        if root_id in loaded.trees:
            loaded.trees[root_id].jobs.append(row)
        elif not root_id:
            loaded.start_jobs[job_id] = StartJob(
                id=job_id,
                definition_id=row[21],
                element_id=row[4],
                due_at=moment_of_text(row[8]),
                repeat=row[10],
                tenant_id=row[22],
            )


def load_variables(writer: Writer, loaded: LoadedRows, root_id: str) -> None:
    """Read all variables of a locked tree."""
    rows = writer.run([_ALL_VARIABLES.of([root_id])])[0].rows
    tree = loaded.trees[root_id]
    tree.variables = [(row[2], row[6], Variable(row[10], decode_value(row[10], row[7]))) for row in rows]
    tree.whole = True


def load_tasks(writer: Writer, loaded: LoadedRows, root_id: str) -> None:
    """Read all tasks of a locked tree."""
    rows = writer.run([_ALL_TASKS.of([root_id])])[0].rows
    loaded.trees[root_id].tasks = list(rows)
    loaded.task_ids.update(row[2] for row in rows)
