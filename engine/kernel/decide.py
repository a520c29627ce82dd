"""The kernel's one entrance: a tree, a command and an environment in, events and a reply out."""

from collections.abc import Callable
from typing import Any

import msgspec

from engine.kernel import commands as cmd
from engine.kernel.aggregation import refresh
from engine.kernel.env import Env
from engine.kernel.errors import BpmnError, Diverted, failed
from engine.kernel.events import Event
from engine.kernel.expression import ExpressionError
from engine.kernel.handling import deliveries, instances, jobs, migration, modification, tasks, variables
from engine.kernel.joins import settle
from engine.kernel.lifecycle import path_ended
from engine.kernel.listening import hear
from engine.kernel.state import Tree
from engine.kernel.texts import check_texts
from engine.kernel.turn import Step, Turn, expression_refusal
from engine.kernel.values import Value

Reply = dict[str, Value]


class Decision(msgspec.Struct, frozen=True):
    """What happened, in order, and what the caller is told (JSON-like facts: ids mostly)."""

    events: list[Event]
    reply: Reply


def decide(tree: Tree, command: cmd.Command, env: Env) -> Decision:
    """Carry out a command on a loaded tree, changing the tree as its events say.

    Raises Refused (the command is not carried out), MissingDefinition or MissingVariables (load it and ask again).
    After any exception the tree is spoilt: rebuild it from what was loaded and the events accepted before.
    """
    turn = Turn(tree, env, command.user_id)
    handler = _HANDLERS[type(command)]
    try:
        reply = _begin(turn, handler, command)
        _work_off(turn)
    except BpmnError as error:
        raise failed(
            "error-not-caught",
            f"expected a handler for BPMN error '{error.code}', found none",
            error_code=error.code,
        ) from error
    except ExpressionError as error:
        raise expression_refusal(error, "") from error
    check_texts(turn.events, command)
    return Decision(turn.events, reply or {})


def _begin(turn: Turn, handler: Callable[[Turn, Any], Reply | None], command: cmd.Command) -> Reply | None:
    try:
        return handler(turn, command)
    except Diverted:
        return None


def _do(turn: Turn, step: Step, arguments: tuple[Any, ...]) -> None:
    try:
        step(turn, *arguments)
    except Diverted:
        # Its scope has been left for the handler of the error; what belonged to it was dropped with it.
        return


def _work_off(turn: Turn) -> None:
    """Do the queued steps until none is left, then what follows: variable listeners, inclusive joins, overviews."""
    while True:
        while (work := turn.next()) is not None:
            step, arguments, scope_id = work
            _do(turn, step, arguments)
            if turn.postponed and scope_id in turn.postponed and not turn.is_pending(scope_id):
                # A path ended while this step was still to come: had the step nothing to do, the scope is over now.
                path_ended(turn, turn.postponed.pop(scope_id), scope_id)
        if not hear(turn) and not settle(turn):
            break
    refresh(turn)


_HANDLERS: dict[type[cmd.Command], Callable[[Turn, Any], Reply | None]] = {
    cmd.StartProcess: instances.start,
    cmd.UpdateInstance: instances.update,
    cmd.ClaimInstance: instances.claim,
    cmd.SuspendInstance: instances.suspend,
    cmd.ActivateInstance: instances.activate,
    cmd.DeleteInstance: instances.delete,
    cmd.CompleteTask: tasks.complete,
    cmd.ClaimTask: tasks.claim,
    cmd.DelegateTask: tasks.delegate,
    cmd.ResolveTask: tasks.resolve,
    cmd.UpdateTask: tasks.update,
    cmd.AddIdentityLink: tasks.add_link,
    cmd.RemoveIdentityLink: tasks.remove_link,
    cmd.TriggerExecution: deliveries.trigger,
    cmd.DeliverMessage: deliveries.message,
    cmd.DeliverSignal: deliveries.signal,
    cmd.EvaluateConditions: deliveries.evaluate_conditions,
    cmd.ExecuteJob: jobs.execute,
    cmd.CompleteJob: jobs.complete,
    cmd.FailJob: jobs.fail,
    cmd.ThrowJobError: jobs.throw_error,
    cmd.ChangeJob: jobs.change,
    cmd.DeleteJob: jobs.delete,
    cmd.SetVariables: variables.set_variables,
    cmd.RemoveVariables: variables.remove_variables,
    cmd.ChangeState: modification.change_state,
    cmd.MigrateInstance: migration.migrate,
}
