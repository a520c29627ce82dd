"""The rules that hold inside one tree of instances: every wait has its row, every row has its token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

from engine.app.queries.consistency import Finding
from engine.kernel.state import ACTIVE, SUSPENDED, Execution, Wait
from engine.storage.queries.tokens import InstanceTokens
from engine.storage.rows import SCOPE, lane_of


@dataclass(slots=True)
class Tree:
    """All rows of a root, by id; `variables` have root, scope, instance and name."""

    root_id: str
    instances: dict[str, InstanceTokens] = field(default_factory=dict)
    instance_rows: dict[str, Row[Any]] = field(default_factory=dict)
    tasks: dict[str, Row[Any]] = field(default_factory=dict)
    jobs: dict[str, Row[Any]] = field(default_factory=dict)
    subscriptions: dict[str, Row[Any]] = field(default_factory=dict)
    variables: list[Row[Any]] = field(default_factory=list)


def check_tree(tree: Tree) -> Iterator[Finding]:
    """Find what does not fit."""
    for tokens in tree.instances.values():
        yield from _instance(tree, tokens)
        yield from _shape(tokens)
        for execution in tokens.executions.values():
            yield from _execution(tree, tokens, execution)
        yield from _waits(tree, tokens, tokens.id, tokens.tokens.waits)
    yield from _tasks(tree)
    yield from _waiting_rows(tree)
    yield from _variables(tree)


def _finding(rule: str, instance_id: str, subject_id: str, message: str) -> Finding:
    return Finding(rule=rule, message=message, process_instance_id=instance_id, subject_id=subject_id)


def _instance(tree: Tree, tokens: InstanceTokens) -> Iterator[Finding]:
    row = tree.instance_rows[tokens.id]
    if row.state not in (ACTIVE, SUSPENDED):
        message = f"expected an instance that has ended to have no row, found one in state {row.state}"
        yield _finding("ended-instance-kept", tokens.id, tokens.id, message)
    elif not tokens.executions:
        message = "expected a running instance to have a token, found none"
        yield _finding("instance-without-token", tokens.id, tokens.id, message)
    if not row.super_instance_id:
        if row.id != row.root_id:
            message = f"expected an instance that nobody called to be its own root, found root {row.root_id}"
            yield _finding("wrong-root", tokens.id, tokens.id, message)
        return
    caller = tree.instances.get(row.super_instance_id)
    execution = caller.executions.get(row.super_execution_id) if caller is not None else None
    if execution is None or execution.called != tokens.id:
        message = (
            f"expected execution {row.super_execution_id} of {row.super_instance_id} to wait for it, found otherwise"
        )
        yield _finding("instance-without-caller", tokens.id, tokens.id, message)


def _shape(tokens: InstanceTokens) -> Iterator[Finding]:
    parents = {execution.parent for execution in tokens.executions.values()}
    for execution in tokens.executions.values():
        parent = tokens.executions.get(execution.parent)
        if parent is None and execution.parent != tokens.id:
            message = f"expected its scope {execution.parent} to be there, found none"
            yield _finding("execution-without-scope", tokens.id, execution.id, message)
        elif parent is not None and not parent.scope and not parent.body:
            message = f"expected {execution.parent} to be a scope, found a token at '{parent.element}'"
            yield _finding("execution-inside-token", tokens.id, execution.id, message)
        if (execution.scope or execution.body) and not execution.leaving and execution.id not in parents:
            message = f"expected a token inside '{execution.element}', found none"
            yield _finding("scope-without-token", tokens.id, execution.id, message)


def _execution(tree: Tree, tokens: InstanceTokens, execution: Execution) -> Iterator[Finding]:
    if execution.task and execution.task not in tree.tasks:
        message = f"expected task {execution.task} of '{execution.element}' to be there, found none"
        yield _finding("token-without-task", tokens.id, execution.id, message)
    if execution.called and execution.called not in tree.instances:
        message = f"expected called instance {execution.called} of '{execution.element}' to be there, found none"
        yield _finding("call-without-instance", tokens.id, execution.id, message)
    if (execution.queued or execution.leaving) and not any(wait.is_job for wait in execution.waits):
        message = f"expected a job that goes on at '{execution.element}', found none"
        yield _finding("queued-token-without-job", tokens.id, execution.id, message)
    yield from _waits(tree, tokens, execution.id, execution.waits)


def _waits(tree: Tree, tokens: InstanceTokens, execution_id: str, waits: list[Wait]) -> Iterator[Finding]:
    for wait in waits:
        rows, name = (tree.jobs, "job") if wait.is_job else (tree.subscriptions, "subscription")
        row = rows.get(wait.id)
        if row is None:
            message = f"expected {name} {wait.id} that execution {execution_id} waits for, found none"
            yield _finding(f"wait-without-{name}", tokens.id, wait.id, message)
        elif row.execution_id != execution_id or row.kind != wait.kind or row.element_id != wait.element_id:
            message = (
                f"expected {name} of kind {wait.kind} for '{wait.element_id}' of execution {execution_id}, "
                f"found kind {row.kind} for '{row.element_id}' of {row.execution_id}"
            )
            yield _finding(f"wait-unlike-{name}", tokens.id, wait.id, message)


def _tasks(tree: Tree) -> Iterator[Finding]:
    for row in tree.tasks.values():
        tokens = tree.instances.get(row.instance_id)
        execution = tokens.executions.get(row.execution_id) if tokens is not None else None
        if execution is None or execution.task != row.id:
            message = f"expected execution {row.execution_id} to have this task, found otherwise"
            yield _finding("task-without-token", row.instance_id, row.id, message)


def _waiting_rows(tree: Tree) -> Iterator[Finding]:
    waits = {
        wait.id
        for tokens in tree.instances.values()
        for waits in (tokens.tokens.waits, *(execution.waits for execution in tokens.executions.values()))
        for wait in waits
    }
    for row in tree.jobs.values():
        if row.id not in waits:
            message = (
                f"expected execution {row.execution_id} to wait for this job at '{row.element_id}', found otherwise"
            )
            yield _finding("job-without-token", row.instance_id, row.id, message)
        lane = lane_of(row.kind, dead=row.dead, suspended=row.suspended)
        if row.lane != lane:
            message = f"expected this job in lane {lane}, found it in {row.lane}"
            yield _finding("job-in-wrong-lane", row.instance_id, row.id, message)
    for row in tree.subscriptions.values():
        tokens = tree.instances.get(row.instance_id)
        if row.kind == SCOPE and tokens is not None and row.execution_id not in tokens.executions:
            message = f"expected execution {row.execution_id} to be there, found none"
            yield _finding("scope-without-execution", row.instance_id, row.id, message)
        elif row.kind != SCOPE and row.id not in waits:
            message = f"expected execution {row.execution_id} to wait for {row.kind} '{row.name}', found otherwise"
            yield _finding("subscription-without-token", row.instance_id, row.id, message)


def _variables(tree: Tree) -> Iterator[Finding]:
    for row in tree.variables:
        tokens = tree.instances.get(row.instance_id)
        if tokens is None or (row.scope_id != tokens.id and row.scope_id not in tokens.executions):
            message = f"expected scope {row.scope_id} of variable '{row.name}' to be there, found none"
            yield _finding("variable-without-scope", row.instance_id, row.scope_id, message)
