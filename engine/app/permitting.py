"""Checking the rights of whoever asks against the rows that their command is about, inside its transaction."""

from __future__ import annotations

from collections.abc import Iterable

from engine.app.asks import DEFINITION, EXECUTION, JOB, TASK, no_such, target_of
from engine.app.unit_of_work import Found
from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.kernel.rights import Link, Rights, not_offered, not_yours
from engine.kernel.state import Task, Tree


def check(command: cmd.Command, tree: Tree) -> Refused | None:
    """Return why the rights of a command do not reach what it names; what is not in the tree is left to the kernel."""
    rights = command.rights
    if rights is None:
        return None
    kind, target_id = target_of(command)
    tenant_id = _tenant_of(tree, kind, target_id)
    if tenant_id is not None and not rights.sees(tenant_id):
        return no_such(kind, target_id)
    task = tree.tasks.get(target_id) if kind == TASK else None
    if task is None or not rights.own_tasks:
        return None
    return check_task(command, task, tree.links.get(target_id, ()), rights)


def check_task(command: cmd.Command | None, task: Task, links: Iterable[Link], rights: Rights) -> Refused | None:
    """Return why a task is not theirs to see (NOT_FOUND), or not theirs to do that with (PERMISSION_DENIED).

    No command stands for the deletion of a task.
    """
    if not rights.sees(task.tenant_id) or not rights.may_claim(task, links):
        return no_such(TASK, task.id)
    # Claiming for somebody else is assigning.
    claims = isinstance(command, cmd.ClaimTask) and command.assignee and command.assignee == rights.user_id
    return None if claims or rights.works_on(task) else not_yours(task.id)


def check_start(command: cmd.Command, definition_id: str, found: Found) -> Refused | None:
    """Return why a definition that exists is not theirs to start."""
    rights = command.rights
    if rights is None:
        return None
    if not rights.sees(found.tenants.get(definition_id, "")):
        return no_such(DEFINITION, definition_id)
    return None if rights.may_start(found.starters.get(definition_id, ())) else not_offered(definition_id)


def _tenant_of(tree: Tree, kind: str, target_id: str) -> str | None:
    if kind == TASK:
        task = tree.tasks.get(target_id)
        return None if task is None else task.tenant_id
    if kind == JOB:
        job = tree.jobs.get(target_id)
        instance = None if job is None else tree.instances.get(job.instance_id)
    elif kind == EXECUTION:
        instance = tree.instances.get(target_id)
        if instance is None:
            found = tree.find(target_id)
            instance = None if found is None else found[0]
    else:
        instance = tree.instances.get(target_id)
    return None if instance is None else instance.tenant_id
