"""One request on its way through a batch, and what each kind of command names and needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from engine.app.unit_of_work import Delivery, DueJob, Found, Reply, Targets, Throw, Wanted
from engine.kernel import commands as cmd
from engine.kernel.errors import Refused, not_found, request_id_reused

MAX_ID_LENGTH: Final = 64
REQUEST: Final = "request"
"""Where a stored answer says what was asked for; callers are not told."""
NOBODY: Final = "nobody"
"""An id that nothing has: a command for it gets the first answer of its request, or NOT_FOUND."""
_STARTS: Final = "start or message"


class Ask:
    """A command with what became of it: `reply` or `error` is set once the batch is done.

    `others` are carried out with it, all or none; the reply and the request id are this one's.
    `root_id` is found anew at each attempt. `command_id` stays the same
    over all attempts, so that the outbox can tell whether one of them was committed. `depth`: how many throws led here.
    """

    __slots__ = (
        "command",
        "command_id",
        "delivery",
        "depth",
        "doubtful",
        "due_job",
        "error",
        "future",
        "instance_id",
        "others",
        "reply",
        "request_id",
        "root_id",
        "throw_ids",
    )

    def __init__(
        self,
        command: cmd.Command,
        *,
        request_id: str = "",
        delivery: Delivery | None = None,
        due_job: DueJob | None = None,
        future: Any = None,
        depth: int = 0,
        others: Sequence[Ask] = (),
    ) -> None:
        self.command = command
        self.request_id = request_id
        self.delivery = delivery
        self.due_job = due_job
        self.future = future
        self.depth = depth
        self.others = others
        self.command_id = ""
        self.instance_id = ""
        self.root_id = ""
        self.doubtful = False
        self.reply: Reply | None = None
        self.error: Exception | None = None
        self.throw_ids: list[str] = []

    def repeat(self, first: Reply) -> None:
        """Take the first answer to its request_id; refused if that was given to a request for something else."""
        asked, mine = str(first.get(REQUEST, "")), request_of(self.command)
        if asked and mine and asked != mine:
            self.reply, self.error = None, request_id_reused(self.request_id, asked, mine)
            return
        self.reply = {name: value for name, value in first.items() if name != REQUEST}
        self.error = None

    def reset(self) -> None:
        """Forget the outcome of an attempt that was rolled back."""
        self.root_id = ""
        self.reply = None
        self.error = None
        self.throw_ids = []

    @property
    def is_settled(self) -> bool:
        """Tell whether there is an answer."""
        return self.reply is not None or self.error is not None


TASK, JOB, INSTANCE, EXECUTION, DEFINITION, NOTHING = "task", "job", "instance", "execution", "definition", ""

_BY_TASK: Final = (cmd.CompleteTask, cmd.ClaimTask, cmd.DelegateTask, cmd.ResolveTask, cmd.UpdateTask)
_BY_JOB: Final = (cmd.ExecuteJob, cmd.CompleteJob, cmd.FailJob, cmd.ThrowJobError, cmd.ChangeJob, cmd.DeleteJob)
_BY_INSTANCE: Final = (
    cmd.EvaluateConditions,
    cmd.UpdateInstance,
    cmd.ClaimInstance,
    cmd.SuspendInstance,
    cmd.ActivateInstance,
    cmd.DeleteInstance,
    cmd.ChangeState,
    cmd.MigrateInstance,
)
_BY_EXECUTION: Final = (
    cmd.TriggerExecution,
    cmd.DeliverMessage,
    cmd.DeliverSignal,
    cmd.SetVariables,
    cmd.RemoveVariables,
)
_LINKS: Final = (cmd.AddIdentityLink, cmd.RemoveIdentityLink)
_WHOLE: Final = frozenset(
    (cmd.SuspendInstance, cmd.ActivateInstance, cmd.DeleteInstance, cmd.ChangeState, cmd.MigrateInstance)
)
"""Commands that concern a tree as a whole, rare enough to load all of it."""

_KINDS: Final[dict[type[cmd.Command], tuple[str, Callable[[Any], str]]]] = {
    cmd.StartProcess: (DEFINITION, lambda command: command.definition_id),
    Throw: (NOTHING, lambda _: ""),
    **{kind: (TASK, lambda command: command.task_id) for kind in _BY_TASK},
    **{kind: (JOB, lambda command: command.job_id) for kind in _BY_JOB},
    **{kind: (INSTANCE, lambda command: command.instance_id) for kind in _BY_INSTANCE},
    **{kind: (EXECUTION, lambda command: command.execution_id) for kind in _BY_EXECUTION},
}


def request_of(command: cmd.Command) -> str:
    """Tell what a request asks for, so that another one with the same request_id can be told from its repetition.

    Not by what a repetition may find changed: the newest version of a definition, or who waits for a message (if nobody
    does any more, it starts an instance). Empty for whoever only asks for the first answer.
    """
    kind, target_id = target_of(command)
    if target_id == NOBODY:
        return ""
    if kind == DEFINITION or isinstance(command, cmd.DeliverMessage):
        return _STARTS
    return f"{type(command).__name__} {target_id}".rstrip()


def target_of(command: cmd.Command) -> tuple[str, str]:
    """Tell what a command names: the kind of thing, and its id. Raises KeyError for a command that nobody taught us."""
    if isinstance(command, _LINKS):
        return (TASK, command.task_id) if command.task_id else (INSTANCE, command.instance_id)
    kind, id_of = _KINDS[type(command)]
    return kind, id_of(command)


def is_possible(target_id: str) -> bool:
    """Tell whether an id could be one of ours; what cannot is not worth asking the database for."""
    return 0 < len(target_id) <= MAX_ID_LENGTH and target_id.isascii()


def aim(targets: Targets, kind: str, target_id: str) -> None:
    """Add what a command names to what is to be found."""
    if kind == TASK:
        targets.tasks.append(target_id)
    elif kind == JOB:
        targets.jobs.append(target_id)
    elif kind == INSTANCE:
        targets.instances.append(target_id)
    elif kind == EXECUTION:
        targets.executions.append(target_id)
    elif kind == DEFINITION:
        targets.definitions.append(target_id)


def want(wanted: Wanted, ask: Ask, kind: str, target_id: str, scope_id: str) -> None:
    """Add what a command needs of its tree to what is to be loaded; `scope_id` is the execution it is about."""
    command = ask.command
    root_id = ask.root_id
    wanted.roots[root_id] = None
    if type(command) in _WHOLE:
        wanted.whole[root_id] = None
    if kind == TASK:
        wanted.tasks.append(target_id)
    elif kind == JOB:
        wanted.jobs.append(target_id)
    if scope_id:
        wanted.scopes[root_id, scope_id] = None
    if isinstance(command, _LINKS) or (kind == TASK and command.rights is not None and command.rights.own_tasks):
        wanted.links.append(target_id)


def name(ask: Ask, targets: Targets, named: list[tuple[Ask, str, str]]) -> None:
    """Note what a command names, and that it is to be found."""
    kind, target_id = target_of(ask.command)
    if kind:
        named.append((ask, kind, target_id))
        if is_possible(target_id) and (not ask.root_id or kind == DEFINITION):
            aim(targets, kind, target_id)
            if kind == DEFINITION and ask.command.rights is not None and ask.command.rights.offered_starts:
                targets.starters.append(target_id)


def scope_of(ask: Ask, kind: str, target_id: str, found: Found) -> str:
    """The execution whose own variables a command may read or write."""
    if ask.due_job is not None:
        return ask.due_job.execution_id
    if ask.delivery is not None:
        return ask.delivery.execution_id
    return target_id if kind == "execution" else found.scopes.get(target_id, "")


_NAMES: Final = {
    "task": ("task-not-found", "an open task", "task_id"),
    "job": ("job-not-found", "a job", "job_id"),
    "instance": ("process-instance-not-found", "a running process instance", "process_instance_id"),
    "execution": ("execution-not-found", "an execution", "execution_id"),
    "definition": ("process-definition-not-found", "a process definition", "process_definition_id"),
}


def no_such(kind: str, target_id: str) -> Refused:
    """The refusal of a command whose target does not exist."""
    reason, name, fact = _NAMES[kind]
    return not_found(reason, f"expected {name}, found none with id '{target_id}'", **{fact: target_id})
