"""The first conversation of a batch: which tree each target belongs to, and what was answered already."""

from __future__ import annotations

from typing import Any, Final

from engine.app.unit_of_work import Found, Targets
from engine.storage.codec import from_json
from mesh.db.statements import Sql, Statement, Union
from mesh.db.writer import Writer

_REQUESTS: Final = Sql("SELECT 'R', request_id, reply, '' FROM outbox WHERE request_id IN ?*")
_TASKS: Final = Sql("SELECT 'T', id, root_id, execution_id FROM task WHERE id IN ?*")
_JOBS: Final = Sql("SELECT 'T', id, root_id, execution_id FROM job WHERE id IN ?*")
_INSTANCES: Final = Sql("SELECT 'I', id, root_id, '' FROM instance WHERE id IN ?*")
_EXECUTIONS: Final = tuple(
    Sql(f"SELECT 'I', execution_id, root_id, '' FROM {table} WHERE execution_id IN ?*")
    for table in ("task", "job", "subscription")
)
_DEFINITIONS: Final = Sql(
    "SELECT id, suspended, tenant_id FROM process_definition {index PRIMARY} WHERE id IN ?* {for share}"
)
_STARTERS: Final = Sql("SELECT 'S', owner_id, user_id, group_id FROM identity_link WHERE owner_id IN ?*")
_COMMITTED: Final = Sql("SELECT command_id, reply FROM outbox WHERE command_id IN ?*")

PLANNED: Final = (_REQUESTS, _TASKS, _JOBS, _INSTANCES, *_EXECUTIONS, _DEFINITIONS, _STARTERS, _COMMITTED)
"""For the tests of plans."""


def find(writer: Writer, targets: Targets) -> Found:
    """Ask for all targets in one packet of at most two statements."""
    found = Found()
    parts: list[tuple[Sql, tuple[object, ...]]] = []
    if targets.requests:
        parts.append((_REQUESTS, (targets.requests,)))
    if targets.tasks:
        parts.append((_TASKS, (targets.tasks,)))
    if targets.jobs:
        parts.append((_JOBS, (targets.jobs,)))
    instances = targets.instances + targets.executions
    if instances:
        parts.append((_INSTANCES, (instances,)))
    if targets.executions:
        parts += [(sql, (targets.executions,)) for sql in _EXECUTIONS]
    if targets.starters:
        parts.append((_STARTERS, (targets.starters,)))
    packet: list[Statement] = []
    if parts:
        packet.append(Union(parts))
    if targets.definitions:
        packet.append(_DEFINITIONS.of(targets.definitions))
    results = writer.run(packet)
    if parts:
        _sort_out(found, results[0].rows)
    if targets.definitions:
        found.suspended = {key: bool(suspended) for key, suspended, _ in results[-1].rows}
        found.tenants = {key: tenant_id for key, _, tenant_id in results[-1].rows}
    return found


def _sort_out(found: Found, rows: Any) -> None:
    for mark, key, value, scope in rows:
        if mark == "R":
            found.answers[key] = from_json(value)
        elif mark == "S":
            # A definition's links are all of one kind: candidates.
            found.starters.setdefault(key, []).append((value, scope))
        else:
            found.roots[key] = value
            if scope:
                found.scopes[key] = scope


def committed(writer: Writer, command_ids: list[str]) -> dict[str, dict[str, object]]:
    """Look up commands whose commit got no answer."""
    rows = writer.read(_COMMITTED.of(command_ids))
    return {command_id: from_json(reply) for command_id, reply in rows}
