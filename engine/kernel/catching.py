"""Who catches what is thrown: the events around an execution, from the inside out (the search order is Flowable's).

At each scope the event sub-processes come before the boundary events; after the process itself comes the call activity
of the caller with its surroundings.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.kernel import lifecycle
from engine.kernel.definition import Node, Wake
from engine.kernel.errors import failed
from engine.kernel.state import SUSPENDED, Execution, Instance
from engine.kernel.turn import Turn


@dataclass(frozen=True, slots=True)
class Level:
    """Events that listen at one place: attached to the host, or starting event sub-processes inside it."""

    instance: Instance
    host: Execution
    events: tuple[Node, ...]
    attached: bool


def levels(turn: Turn, instance: Instance, start: Execution | None, thrower: Execution | None) -> Iterator[Level]:
    """The places around an execution, nearest first.

    `start` is where the search begins (None: the process's own scope); the event sub-processes inside `thrower` do not
    count, for what a sub-process throws as an activity is thrown outside of it.
    """
    where: Instance | None = instance
    current = start
    while where is not None:
        yield from _in_instance(turn, where, current, thrower)
        caller = turn.tree.instances.get(where.super_instance_id) if where.super_instance_id else None
        current = caller.executions.get(where.super_execution_id) if caller is not None else None
        thrower, where = current, caller


def _in_instance(turn: Turn, instance: Instance, start: Execution | None, thrower: Execution | None) -> Iterator[Level]:
    current = start
    inside = ""
    while current is not None:
        # A frame only holds handlers of a sub-process that is over: nothing of it listens any more.
        if not current.is_frame:
            node = turn.node_of(instance, current)
            if current is not thrower and current.scope:
                yield Level(instance, current, _starts(node, inside), attached=False)
            # The boundary events of a multi-instance activity belong to its body, not to a single turn.
            if current.turn is None:
                yield Level(instance, current, node.boundary, attached=True)
        inside = current.element
        current = instance.executions.get(current.parent)
    process = turn.definition_of(instance).process
    yield Level(instance, lifecycle.root_execution(instance, process), _starts(process, inside), attached=False)


def _starts(node: Node, inside: str) -> tuple[Node, ...]:
    """The start events of the event sub-processes of a scope; one never catches what it threw itself."""
    return tuple(s.start for s in node.event_subprocesses if s.start is not None and s.id != inside)


def best(events: Iterable[Node], trigger: str, code: str) -> Node | None:
    """The event that catches a code: one that names it before one that takes all.

    What is thrown without a code is caught by any event, one with a code first (Flowable).
    """
    takes_all: Node | None = None
    for event in events:
        if event.trigger is not None and event.trigger.name == trigger:
            if event.event.code and code in ("", event.event.code):
                return event
            if not event.event.code and takes_all is None:
                takes_all = event
    return takes_all


def catch(turn: Turn, level: Level, event: Node, woken: Wake, thrown_in: Instance) -> None:
    """Let an event of a level catch. Raises Refused if it is a suspended caller's."""
    if level.instance is not thrown_in and level.instance.state == SUSPENDED:
        raise failed(
            "process-instance-suspended",
            f"expected the calling process instance {level.instance.id} to be active, found it suspended",
            process_instance_id=level.instance.id,
        )
    fire = lifecycle.fire_boundary if level.attached else lifecycle.fire_event_subprocess
    fire(turn, level.instance, level.host, event, woken)
