"""How any element begins, waits, is woken and ends; how scopes complete.

The order follows Flowable: an element starts, its behaviour runs, then its boundary events are armed; when it leaves,
its waits are closed, its flows are chosen while its variables are still there, it ends, and the flows are taken.
"""

from collections.abc import Mapping
from typing import Any, Final

from engine.kernel import compensation, faults, here, listeners, loops, scopes
from engine.kernel import events as ev
from engine.kernel.cancelling import cancel
from engine.kernel.definition import Flow, Node, Wake
from engine.kernel.errors import BpmnError, MissingVariables, failed
from engine.kernel.flows import choose, is_skipped
from engine.kernel.state import ASYNC, COMPLETED, SUSPENDED, Execution, Instance
from engine.kernel.turn import Turn
from engine.kernel.values import Variable
from engine.kernel.waits import close, close_event_subprocess_waits, close_waits, schedule

CALL_COMPLETE_HANDLER: Final = "async-complete-call-activity"
CALLED: Final = "called"
CHOSEN: Final = "chosen"
"""In the payload of an asynchronous leaving: the flows that are chosen already."""


# --- entering -------------------------------------------------------------------------------------------------------


def enter_later(
    turn: Turn,
    instance: Instance,
    scope_id: str,
    node: Node,
    flow_id: str = "",
    race_id: str = "",
    local_variables: Mapping[str, Variable] | None = None,
) -> None:
    """Queue a token for an element inside a scope; `local_variables` are its own from the beginning."""
    turn.later(scope_id, _enter, instance, scope_id, node, flow_id, race_id, local_variables)


def _enter(
    turn: Turn,
    instance: Instance,
    scope_id: str,
    node: Node,
    flow_id: str,
    race_id: str,
    local_variables: Mapping[str, Variable] | None,
) -> None:
    if not turn.alive(instance, scope_id):
        return
    if node.loop is not None:
        loops.start_body(turn, instance, scope_id, node, flow_id, local_variables)
        return
    execution_id = turn.env.new_id()
    if node.asynchronous:
        queue(turn, instance, scope_id, node, execution_id, flow_id, race_id=race_id)
        put_local(turn, instance, execution_id, local_variables)
        return
    execution = begin(turn, instance, scope_id, node, execution_id, flow_id, race_id)
    put_local(turn, instance, execution_id, local_variables)
    behave(turn, instance, execution, node)


def put_local(turn: Turn, instance: Instance, execution_id: str, variables: Mapping[str, Variable] | None) -> None:
    """Give an execution variables of its own."""
    if variables:
        for name, value in variables.items():
            scopes.put(turn, instance, execution_id, name, value)


def queue(
    turn: Turn,
    instance: Instance,
    scope_id: str,
    node: Node,
    execution_id: str,
    flow_id: str,
    turn_no: int | None = None,
    race_id: str = "",
) -> None:
    """Let a token wait before an asynchronous element; the job goes on from there."""
    turn.emit(
        ev.ElementQueued(
            instance_id=instance.id,
            execution_id=execution_id,
            parent_id=scope_id,
            element_id=node.id,
            flow_id=flow_id,
            loop_counter=turn_no,
            race_id=race_id,
        )
    )
    schedule(turn, instance, execution_id, node, ASYNC, "async-continuation", due_at=turn.at, exclusive=node.exclusive)


def start(
    turn: Turn,
    instance: Instance,
    scope_id: str,
    node: Node,
    execution_id: str,
    flow_id: str = "",
    race_id: str = "",
    turn_no: int | None = None,
) -> None:
    """Begin an element instance: its behaviour runs, then its boundary events are armed if it waits."""
    execution = begin(turn, instance, scope_id, node, execution_id, flow_id, race_id, turn_no)
    behave(turn, instance, execution, node)


def begin(
    turn: Turn,
    instance: Instance,
    scope_id: str,
    node: Node,
    execution_id: str,
    flow_id: str = "",
    race_id: str = "",
    turn_no: int | None = None,
) -> Execution:
    """Record that an element instance begins, without its behaviour."""
    kind = node.kind
    turn.emit(
        ev.ElementStarted(
            instance_id=instance.id,
            execution_id=execution_id,
            parent_id=scope_id,
            element_id=node.id,
            element_type=kind.type,
            at=turn.at,
            element_name=node.name,
            flow_id=flow_id,
            scope=kind.scope,
            loop_counter=turn_no,
            race_id=race_id,
        )
    )
    return instance.executions[execution_id]


def behave(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """Run an element's behaviour on its execution, then arm its boundary events if it is still there."""
    at = here.Here(turn, instance, execution, node)
    try:
        if node.listeners:
            listeners.run(node.listeners, listeners.START, at)
        if node.skip is not None and is_skipped(turn, instance, execution, node):
            at.leave()
            return
        if node.kind.scope:
            open_scope(turn, instance, execution, node)
        node.kind.enter(at)
    except BpmnError as error:
        faults.propagate(turn, instance, execution, error)
        return
    # The boundary events of a multi-instance activity are armed once, on its body.
    if node.boundary and execution.turn is None and at.is_alive:
        arm_boundary(turn, instance, execution, node)


def continue_queued(
    turn: Turn, instance: Instance, execution: Execution, node: Node, flows: tuple[Flow, ...] | None = None
) -> None:
    """Go on with a token whose asynchronous continuation runs: before its element, or behind it (by `flows`)."""
    if execution.leaving:
        leave(turn, instance, execution, node, flows)
    else:
        start(turn, instance, execution.parent, node, execution.id, execution.flow, execution.race, execution.turn)


def open_scope(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """What a scope has from its beginning: data objects, where nothing was given in their place, and armed events."""
    for data in node.data_objects:
        if data.name not in turn.tree.variables.get(execution.id, {}):
            scopes.put(turn, instance, execution.id, data.name, Variable(data.type, data.value))
    if node.event_subprocesses:
        host = here.Here(turn, instance, execution, node)
        for subprocess in node.event_subprocesses:
            event = subprocess.start
            if event is not None and event.trigger is not None:
                event.trigger.arm(host, event)


def root_execution(instance: Instance, process: Node) -> Execution:
    """The process instance's own scope as an execution, for whatever hosts events on it."""
    return Execution(instance.id, "", process.id, scope=True, waits=instance.waits, records=instance.records)


def scope_of(turn: Turn, instance: Instance, scope_id: str) -> Execution:
    """A scope by its id: an execution, or the instance's own scope."""
    return instance.executions.get(scope_id) or root_execution(instance, turn.definition_of(instance).process)


def arm_boundary(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    host = here.Here(turn, instance, execution, node)
    for event in node.boundary:
        if event.trigger is not None:
            event.trigger.arm(host, event)


# --- leaving --------------------------------------------------------------------------------------------------------


def leave(
    turn: Turn,
    instance: Instance,
    execution: Execution,
    node: Node,
    flows: tuple[Flow, ...] | None = None,
    reason: str = "",
) -> None:
    """End an element instance and take its flows (chosen by their conditions, unless given).

    One that was cut short for a `reason` counts as canceled and leaves nothing to undo.
    """
    is_turn = execution.turn is not None
    if node.async_after and not execution.leaving and not is_turn:
        _queue_leaving(turn, instance, execution, node, flows)
        return
    if node.listeners:
        at = here.Here(turn, instance, execution, node)
        listeners.run(node.listeners, listeners.END, at)
    if flows is None:
        flows = () if is_turn else choose(turn, instance, execution, node)
    if execution.waits:
        close_waits(turn, instance, execution)
    if execution.race:
        _cancel_race(turn, instance, execution)
    if (node.boundary or execution.records) and not reason:
        compensation.remember(turn, instance, execution, node)
    if is_turn:
        loops.collect(turn, instance, execution, node)
    handed_on = _handed_on(turn, execution, node) if execution.locals and flows else None
    turn.emit(
        ev.ElementEnded(
            instance_id=instance.id,
            execution_id=execution.id,
            element_id=node.id,
            at=turn.at,
            canceled=bool(reason),
            reason=reason,
        )
    )
    if is_turn:
        loops.turn_ended(turn, instance, execution, node)
    else:
        go(turn, instance, execution.parent, node, flows, handed_on)


def _handed_on(turn: Turn, execution: Execution, node: Node) -> dict[str, Variable] | None:
    """The token's own variables, which go with it by its first flow (Flowable: its execution goes on).

    What a scope, a loop or somebody's task has for itself ends with it.
    """
    if execution.scope or execution.body or execution.turn is not None or node.kind.keeps_variables:
        return None
    found = turn.tree.variables.get(execution.id)
    if found is None and not turn.tree.all_loaded:
        raise MissingVariables(execution.id)
    return dict(found) if found else None


def _queue_leaving(
    turn: Turn, instance: Instance, execution: Execution, node: Node, flows: tuple[Flow, ...] | None
) -> None:
    """Leave by a job of its own, which knows the flows that are chosen already (a gateway's)."""
    close_waits(turn, instance, execution)
    turn.emit(
        ev.ElementQueued(
            instance_id=instance.id,
            execution_id=execution.id,
            parent_id=execution.parent,
            element_id=node.id,
            leaving=True,
        )
    )
    schedule(
        turn,
        instance,
        execution.id,
        node,
        ASYNC,
        "async-leave",
        due_at=turn.at,
        exclusive=node.leave_exclusive,
        payload={CHOSEN: [flow.id for flow in flows]} if flows else None,
    )


def go(
    turn: Turn,
    instance: Instance,
    scope_id: str,
    node: Node,
    flows: tuple[Flow, ...],
    handed_on: Mapping[str, Variable] | None = None,
) -> None:
    """Take flows out of a node inside a scope, or end the path; `handed_on` goes with the first token."""
    for flow in flows:
        turn.emit(ev.FlowTaken(instance_id=instance.id, flow_id=flow.id, at=turn.at))
        if flow.listeners:
            at = here.Here(turn, instance, scope_of(turn, instance, scope_id), node)
            listeners.run(flow.listeners, listeners.TAKE, at)
        enter_later(turn, instance, scope_id, flow.target, flow.id, local_variables=handed_on)
        handed_on = None
    if not flows:
        if scope_id == instance.id and not (node.for_compensation and instance.id in turn.ends):
            turn.ends[instance.id] = node.id
        path_ended(turn, instance, scope_id)


def _cancel_race(turn: Turn, instance: Instance, winner: Execution) -> None:
    for rival in instance.children_of(winner.parent):
        if rival.race == winner.race and rival is not winner:
            cancel(turn, instance, rival, "event based gateway cancel")


def path_ended(turn: Turn, instance: Instance, scope_id: str) -> None:
    """A path inside a scope ended: the scope completes if it was the last one."""
    if not turn.alive(instance, scope_id):
        return
    if turn.is_pending(scope_id):
        turn.postponed[scope_id] = instance
        return
    if scope_id != instance.id:
        execution = instance.executions[scope_id]
        if execution.is_frame:
            compensation.frame_ended(turn, instance, execution)
            return
        node = turn.node_of(instance, execution)
        if node.kind.is_over is not None:
            if node.kind.is_over(here.Here(turn, instance, execution, node)):
                complete_scope(turn, instance, scope_id)
            return
    children = instance.children.get(scope_id)
    if not children:
        complete_scope(turn, instance, scope_id)
    elif all(turn.node_of(instance, child).is_event_subprocess for child in children.values()):
        # Nothing is left that an event sub-process could belong to: the scope listens no more, and ends with them.
        close_event_subprocess_waits(turn, instance, scope_id)


def complete_scope(turn: Turn, instance: Instance, scope_id: str) -> None:
    if scope_id == instance.id:
        end_instance(turn, instance, turn.ends.get(instance.id, ""))
        return
    execution = instance.executions[scope_id]
    leave(turn, instance, execution, turn.node_of(instance, execution))


# --- instances ------------------------------------------------------------------------------------------------------


def end_instance(turn: Turn, instance: Instance, end_element_id: str = "", reason: str = "") -> None:
    """Complete a process instance whose tokens are gone; a caller goes on with what it maps out."""
    process = turn.definition_of(instance).process
    if process.listeners:
        at = here.Here(turn, instance, root_execution(instance, process), process)
        listeners.run(process.listeners, listeners.END, at)
    if instance.waits:
        close(turn, instance, instance.id, tuple(instance.waits))
    caller = turn.tree.instances.get(instance.super_instance_id) if instance.super_instance_id else None
    execution = caller.executions.get(instance.super_execution_id) if caller is not None else None
    results: dict[str, Any] = {}
    if caller is not None and execution is not None:
        _require_active_caller(caller)
        results = turn.node_of(caller, execution).props.results(turn, instance)
    turn.emit(
        ev.ProcessInstanceEnded(
            instance_id=instance.id, at=turn.at, state=COMPLETED, end_element_id=end_element_id, reason=reason
        )
    )
    if caller is not None and execution is not None:
        _give_back(turn, caller, execution, results)


def _require_active_caller(caller: Instance) -> None:
    if caller.state == SUSPENDED:
        raise failed(
            "process-instance-suspended",
            f"expected the calling process instance {caller.id} to be active, found it suspended",
            process_instance_id=caller.id,
        )


def _give_back(turn: Turn, caller: Instance, execution: Execution, results: dict[str, Any]) -> None:
    """Let the caller go on with the results, at once or by a job of its own (Flowable's completeAsync)."""
    node = turn.node_of(caller, execution)
    if not node.props.complete_async:
        turn.later(execution.id, _returned, caller, execution, results)
        return
    typed = {
        name: value if isinstance(value, Variable) else scopes.typed(name, value) for name, value in results.items()
    }
    parked = {"variables": {name: [variable.type, variable.value] for name, variable in typed.items()}}
    schedule(turn, caller, execution.id, node, ASYNC, CALL_COMPLETE_HANDLER, due_at=turn.at, payload={"parked": parked})


def _returned(turn: Turn, caller: Instance, execution: Execution, results: dict[str, Any]) -> None:
    if turn.alive(caller, execution.id):
        node = turn.node_of(caller, execution)
        node.kind.wake(here.Here(turn, caller, execution, node), Wake(kind=CALLED, variables=results))


# --- waking ---------------------------------------------------------------------------------------------------------


def wake(turn: Turn, instance: Instance, execution: Execution, element_id: str, woken: Wake) -> None:
    """Something that an execution waited for happened: at the element itself, at its boundary or for its scope."""
    node = turn.definition_of(instance).nodes[element_id]
    if node.attached_to is not None:
        fire_boundary(turn, instance, execution, node, woken)
    elif node.kind.tag == "startEvent":
        fire_event_subprocess(turn, instance, execution, node, woken)
    else:
        try:
            node.kind.wake(here.Here(turn, instance, execution, node), received(turn, node, woken))
        except BpmnError as error:
            faults.propagate(turn, instance, execution, error)


def received(turn: Turn, event: Node, woken: Wake) -> Wake:
    """What came with an event, by the event's own mapping if it has one."""
    if event.trigger is None or event.trigger.receive is None:
        return woken
    variables = event.trigger.receive(event, woken.variables, turn.at)
    return Wake(kind=woken.kind, variables=variables, wait_id=woken.wait_id, name=woken.name, due_at=woken.due_at)


def fire_boundary(turn: Turn, instance: Instance, host: Execution, event: Node, woken: Wake) -> None:
    """A boundary event fires: an interrupting one cancels its activity, any one sends out a token of its own."""
    outer = instance.executions.get(host.parent)
    for name, value in received(turn, event, woken).variables.items():
        scopes.set_variable(turn, instance, outer, name, value)
    if event.trigger is not None:
        event.trigger.fired(here.Here(turn, instance, host, turn.node_of(instance, host)), event, woken)
    scope_id = host.parent
    # The new token is queued first, so that the scope does not find itself empty in between.
    enter_later(turn, instance, scope_id, event)
    if event.interrupting:
        cancel(turn, instance, host, f"boundary event ({event.id})")


def fire_event_subprocess(turn: Turn, instance: Instance, scope: Execution, event: Node, woken: Wake) -> None:
    """An event sub-process starts; an interrupting one cancels whatever else goes on in its scope."""
    subprocess = event.parent
    assert subprocess is not None, "a start event with a wait stands in an event sub-process"
    if event.trigger is not None:
        event.trigger.fired(here.Here(turn, instance, scope, turn.node_of(instance, scope)), event, woken)
    if event.interrupting:
        interrupt_scope(turn, instance, scope.id, f"event subprocess({event.id})")
    for name, value in received(turn, event, woken).variables.items():
        scopes.set_variable(turn, instance, scope, name, value)
    enter_later(turn, instance, scope.id, subprocess)


def interrupt_scope(turn: Turn, instance: Instance, scope_id: str, reason: str) -> None:
    """Cancel all that goes on in a scope, and let its event sub-processes listen no more."""
    turn.drop(scope_id)
    for child in instance.children_of(scope_id):
        cancel(turn, instance, child, reason)
    close_event_subprocess_waits(turn, instance, scope_id)
