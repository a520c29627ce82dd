"""What a batch of commands needs from the store, gets from it, and gives to it.

`wanted` tells which records a batch needs, so that they are loaded at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from history.app.counting import Counted
from history.app.redacting import Erased, people_of
from history.model import happenings as told
from history.model.records import (
    Activity,
    Comment,
    Detail,
    IdentityLink,
    ProcessInstance,
    Task,
    TaskLogEntry,
    Variable,
)
from history.model.search import SearchEntry


@dataclass(slots=True)
class Wanted:
    """Ids of the records that a batch touches; `open_of`: all open ones of these instances."""

    roots: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    activities: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    open_of: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    tenants: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Loaded:
    """What of the wanted is there. `applied`: the last sequence of each root whose effects history has."""

    applied: dict[str, int] = field(default_factory=dict)
    instances: dict[str, ProcessInstance] = field(default_factory=dict)
    activities: dict[str, Activity] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    erased_people: dict[str, Erased] = field(default_factory=dict)
    erased_variables: dict[str, datetime] = field(default_factory=dict)
    erased_tenants: dict[str, datetime] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What is to be written, all in one transaction.

    `moved`: instances by their new definition's id. `forgotten`: tasks that go with all that belongs to them, after
    everything else is written.
    """

    applied: dict[str, int] = field(default_factory=dict)
    instances: list[ProcessInstance] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    removed_variables: list[str] = field(default_factory=list)
    links: list[IdentityLink] = field(default_factory=list)
    removed_links: list[IdentityLink] = field(default_factory=list)
    moved: dict[str, list[str]] = field(default_factory=dict)
    details: list[Detail] = field(default_factory=list)
    task_log: list[TaskLogEntry] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    removed_comments: list[str] = field(default_factory=list)
    entries: list[SearchEntry] = field(default_factory=list)
    counted: Counted = field(default_factory=Counted)


def wanted(batch: Sequence[told.Told]) -> Wanted:
    """Which records the batch needs.

    Those that the batch itself creates are asked for too: after a crash a batch may come again that begins with what
    was applied before, and then its creations are there already and are not made anew.
    """
    found = Wanted()
    for command in batch:
        found.roots.add(command.root_id)
        for happening in command.happenings:
            kind = type(happening)
            needs = _NEEDS.get(kind)
            if needs is not None:
                ids: set[str] = getattr(found, needs[0])
                ids.add(getattr(happening, needs[1]))
            if kind is not told.TaskCreated and kind is not told.InstanceStarted and happening.instance_id:
                found.instances.add(happening.instance_id)
            if kind is told.InstanceMigrated:
                found.open_of.add(happening.instance_id)
            elif kind is told.LinkAdded or kind is told.LinkRemoved:
                link: Any = happening
                if link.of_task:
                    found.tasks.add(link.owner_id)
    found.people = people_of(batch)
    found.tenants = {command.tenant_id for command in batch if command.tenant_id}
    return found


_NEEDS: Final[Mapping[type[told.Happening], tuple[str, str]]] = MappingProxyType(
    {
        told.ActivityUpdated: ("activities", "execution_id"),
        told.ActivityEnded: ("activities", "execution_id"),
        told.TaskUpdated: ("tasks", "task_id"),
        told.TaskEnded: ("tasks", "task_id"),
        told.VariableSet: ("variables", "variable_key"),
    }
)
