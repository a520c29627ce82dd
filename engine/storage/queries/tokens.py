"""Executions out of an instance row's token JSON: the tree, who waits where, and loop counters, which nobody stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from engine.app.queries.views import ExecutionView
from engine.kernel.definition import Definition
from engine.kernel.state import NO_FACTS, SUSPENDED, Execution, Facts, Tokens
from engine.kernel.values import Variable, type_of
from engine.storage import tables

DefinitionOf: TypeAlias = Callable[[str], Definition]
"""The compiled definition of an id; may block."""

_decode: Final = msgspec.json.Decoder(Tokens).decode

INSTANCE_FACTS: Final = tuple(
    tables.instance.c[name]
    for name in ("id", "root_id", "super_execution_id", "definition_id", "tenant_id", "state", "tokens")
)
"""What `InstanceTokens` is made of."""


class InstanceTokens:
    """One instance's executions, by id, in the order in which they began."""

    __slots__ = (
        "definition_id",
        "executions",
        "id",
        "root_id",
        "state",
        "super_execution_id",
        "tenant_id",
        "tokens",
    )

    def __init__(self, row: Any) -> None:
        """Read them from a row that has `INSTANCE_FACTS`."""
        self.id: str = row.id
        self.root_id: str = row.root_id
        self.super_execution_id: str = row.super_execution_id
        self.definition_id: str = row.definition_id
        self.tenant_id: str = row.tenant_id
        self.state: str = row.state
        self.tokens = _decode(row.tokens)
        self.executions = {execution.id: execution for execution in self.tokens.executions}

    def by_id(self) -> list[Execution]:
        """The executions in the order of their ids, which pages can rely on."""
        return sorted(self.executions.values(), key=lambda execution: execution.id)

    def scope_ids(self, execution_id: str) -> list[str]:
        """The scopes that are visible from an execution (or the instance), innermost first, the instance last."""
        found: list[str] = []
        current = self.executions.get(execution_id)
        while current is not None:
            found.append(current.id)
            current = self.executions.get(current.parent)
        return [*found, self.id]

    def below(self, execution_id: str) -> list[Execution]:
        """An execution and all below it, oldest first; of the instance, all."""
        if execution_id == self.id:
            return list(self.executions.values())
        inside = {execution_id}
        found = []
        for execution in self.executions.values():
            # A parent began before its children, so one pass finds all.
            if execution.id in inside or execution.parent in inside:
                inside.add(execution.id)
                found.append(execution)
        return found

    def views(self, definition: Definition) -> Iterator[ExecutionView]:
        """The instance itself, then its executions by id, which is the order in which they began."""
        yield self._view(self.id, "", self.super_execution_id, "", "", waiting=False)
        for execution in self.by_id():
            node = definition.nodes.get(execution.element)
            kind = node.type if node is not None else ""
            waiting = is_waiting(execution)
            yield self._view(execution.id, execution.parent, "", execution.element, kind, waiting=waiting)

    def _view(
        self, execution_id: str, parent_id: str, super_id: str, activity_id: str, kind: str, *, waiting: bool
    ) -> ExecutionView:
        return ExecutionView(
            id=execution_id,
            parent_id=parent_id,
            super_execution_id=super_id,
            process_instance_id=self.id,
            root_process_instance_id=self.root_id,
            process_definition_id=self.definition_id,
            suspended=self.state == SUSPENDED,
            activity_id=activity_id,
            activity_type=kind,
            waiting=waiting,
            tenant_id=self.tenant_id,
        )

    def loop_variables(self, execution: Execution, definition: Definition) -> dict[str, Variable]:
        """The counters that a multi-instance body or one of its turns shows as variables (BPMN 2.0, table 10.29)."""
        node = definition.nodes.get(execution.element)
        loop = node.loop if node is not None else None
        if loop is None:
            return {}
        if execution.body:
            if execution.total is None:
                return {}
            # The turns of a parallel loop count as active from the beginning, a sequential one has one at a time.
            begun = execution.started if loop.sequential else execution.total
            counters = {
                "nrOfInstances": execution.total,
                "nrOfCompletedInstances": execution.done,
                "nrOfActiveInstances": begun - execution.done,
            }
        elif execution.turn is not None:
            counters = {loop.index_variable: execution.turn}
        else:
            return {}
        return {name: Variable(type_of(number), number) for name, number in counters.items()}


def is_waiting(execution: Execution) -> bool:
    """Whether a token waits here: at no scope and no multi-instance body, but at a call activity and at a join."""
    return not execution.scope and not execution.body


def only_activity_id(tokens: str) -> str:
    """The element where an instance waits, empty if there are several."""
    found = {execution.element for execution in _decode(tokens).executions if is_waiting(execution)}
    return found.pop() if len(found) == 1 else ""


def facts_of(tokens: str) -> Facts:
    """What few instances have; most rows say nothing of it and are not read for it."""
    return (_decode(tokens).facts or NO_FACTS) if '"facts"' in tokens else NO_FACTS


def moment_of_id(minted: str) -> datetime | None:
    """When an id was minted (RFC 9562, 5.7), to the millisecond; None for an id that a client made."""
    try:
        milliseconds = int(minted[:8] + minted[9:13], 16)
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if minted[14:15] == "7" else None
    except (ValueError, OverflowError, OSError):
        return None
