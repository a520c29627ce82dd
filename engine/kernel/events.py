"""What can happen to an instance tree. Each event is applied to the state when it is emitted, and by `apply` alone.

Events are the fold's input, the outbox's content and the history's source: each says all that it changes.
`at` is the time of the command in UTC. Ids are UUID text.
"""

from datetime import datetime

import msgspec

from engine.kernel.values import Value


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="event", gc=False):
    """Base: which process instance it happened to."""

    instance_id: str


class ProcessInstanceStarted(Event, frozen=True, kw_only=True, gc=False):
    """A process instance came to be; `super_execution_id` is the call activity's execution, if it was called."""

    root_id: str
    definition_id: str
    definition_key: str
    definition_name: str
    definition_version: int
    at: datetime
    super_instance_id: str = ""
    super_execution_id: str = ""
    business_key: str = ""
    business_status: str = ""
    name: str = ""
    tenant_id: str = ""
    start_user_id: str = ""
    start_element_id: str = ""
    callback_id: str = ""
    callback_type: str = ""
    reference_id: str = ""
    reference_type: str = ""


class ProcessInstanceEnded(Event, frozen=True, kw_only=True, gc=False):
    """`state`: completed, terminated (deleted or cancelled from outside) or failed.

    The instance's own variables and identity links go with it; tasks, jobs and subscriptions ended by their own events.
    """

    at: datetime
    state: str
    end_element_id: str = ""
    reason: str = ""


class ProcessInstanceSuspended(Event, frozen=True, kw_only=True, gc=False):
    at: datetime


class ProcessInstanceActivated(Event, frozen=True, kw_only=True, gc=False):
    at: datetime


class ProcessInstanceUpdated(Event, frozen=True, kw_only=True, gc=False):
    """`changes` holds the new values of fields of `state.Instance` and of its `state.Facts`."""

    at: datetime
    changes: dict[str, Value]


class ProcessInstanceMigrated(Event, frozen=True, kw_only=True, gc=False):
    """The instance goes on by another definition; `elements` maps former element ids to new ones where they differ.

    Its tasks, jobs and subscriptions change their element and definition ids accordingly, without events of their own.
    """

    definition_id: str
    definition_key: str
    definition_name: str
    definition_version: int
    at: datetime
    elements: dict[str, str] = {}


class ElementQueued(Event, frozen=True, kw_only=True, gc=False):
    """A token stands before (or, with `leaving`, behind) an element and waits for its asynchronous continuation."""

    execution_id: str
    parent_id: str
    element_id: str
    flow_id: str = ""
    loop_counter: int | None = None
    leaving: bool = False
    race_id: str = ""


class ElementStarted(Event, frozen=True, kw_only=True, gc=False):
    """An element instance begins.

    `body` marks the frame of a multi-instance activity, or (with `scope`) that of a compensated sub-process, which
    histories leave out.
    """

    execution_id: str
    parent_id: str
    element_id: str
    element_type: str
    at: datetime
    element_name: str = ""
    flow_id: str = ""
    body: bool = False
    scope: bool = False
    loop_counter: int | None = None
    race_id: str = ""


class ElementEnded(Event, frozen=True, kw_only=True, gc=False):
    """An element instance is over; the variables of its own scope go with it, all else had an event of its own."""

    execution_id: str
    element_id: str
    at: datetime
    canceled: bool = False
    reason: str = ""


class FlowTaken(Event, frozen=True, kw_only=True, gc=False):
    flow_id: str
    at: datetime


class LoopStarted(Event, frozen=True, kw_only=True, gc=False):
    """A multi-instance body knows how many turns it has."""

    execution_id: str
    total: int


class VariableSet(Event, frozen=True, kw_only=True, gc=False):
    """`scope_id` is the instance's id or an execution's; `leaf`: an execution without children holds it."""

    scope_id: str
    name: str
    type: str
    value: Value
    created: bool
    at: datetime
    leaf: bool = False


class VariableRemoved(Event, frozen=True, kw_only=True, gc=False):
    scope_id: str
    name: str
    at: datetime


class TaskCreated(Event, frozen=True, kw_only=True, gc=False):
    task_id: str
    execution_id: str
    element_id: str
    name: str
    at: datetime
    description: str = ""
    assignee: str = ""
    owner: str = ""
    priority: int = 50
    due_at: datetime | None = None
    category: str = ""
    form_key: str = ""
    tenant_id: str = ""
    definition_id: str = ""
    parent_task_id: str = ""


class TaskUpdated(Event, frozen=True, kw_only=True, gc=False):
    """`changes` holds the new values of the named fields of the task, as `state.Task` names them.

    `assignee`: whose it was before; None where the task itself was not at hand.
    """

    task_id: str
    execution_id: str
    at: datetime
    changes: dict[str, Value]
    assignee: str | None = None


class TaskEnded(Event, frozen=True, kw_only=True, gc=False):
    """A task is over; its identity links go with it.

    `assignee`: whose it was; None where the task was not at hand. `forget`: its history goes too.
    """

    task_id: str
    execution_id: str
    element_id: str
    at: datetime
    canceled: bool = False
    reason: str = ""
    completed_by: str = ""
    assignee: str | None = None
    forget: bool = False


class IdentityLinkAdded(Event, frozen=True, kw_only=True, gc=False):
    """`task_id` empty: a link of the process instance. `kind`: candidate, participant, starter, or any other word."""

    link_id: str
    kind: str
    at: datetime
    task_id: str = ""
    user_id: str = ""
    group_id: str = ""


class IdentityLinkRemoved(Event, frozen=True, kw_only=True, gc=False):
    link_id: str
    kind: str
    at: datetime
    task_id: str = ""
    user_id: str = ""
    group_id: str = ""


class JobScheduled(Event, frozen=True, kw_only=True, gc=False):
    """Work for later. `kind`: timer, async, external or http; `handler` is Flowable's handler type."""

    job_id: str
    execution_id: str
    element_id: str
    kind: str
    handler: str
    due_at: datetime
    at: datetime
    retries: int = 3
    repeat: str = ""
    topic: str = ""
    exclusive: bool = True
    element_name: str = ""
    definition_id: str = ""
    tenant_id: str = ""
    payload: dict[str, Value] = {}


class JobChanged(Event, frozen=True, kw_only=True, gc=False):
    """`changes` holds the new values of the named columns of the job (due_at, retries, kind, handler, dead, …)."""

    job_id: str
    execution_id: str
    at: datetime
    changes: dict[str, Value]


class JobEnded(Event, frozen=True, kw_only=True, gc=False):
    """`canceled`: taken away unexecuted."""

    job_id: str
    execution_id: str
    kind: str
    at: datetime
    canceled: bool = False


class SubscriptionOpened(Event, frozen=True, kw_only=True, gc=False):
    """`kind`: message, signal, conditional or variable; `configuration`: what the kind needs besides its name."""

    subscription_id: str
    execution_id: str
    element_id: str
    kind: str
    name: str
    at: datetime
    tenant_id: str = ""
    definition_id: str = ""
    configuration: str = ""


class SubscriptionClosed(Event, frozen=True, kw_only=True, gc=False):
    subscription_id: str
    execution_id: str
    at: datetime


class RecordKept(Event, frozen=True, kw_only=True, gc=False):
    """A scope remembers something for later: the compensation of a completed activity (see `compensation`)."""

    scope_id: str
    record: dict[str, Value]


class RecordDropped(Event, frozen=True, kw_only=True, gc=False):
    scope_id: str
    record_id: str


class SignalThrown(Event, frozen=True, kw_only=True, gc=False):
    """A signal for everybody who waits for it outside this tree; inside, it was delivered already.

    Whoever waits for an `asynchronous` one receives it by a job.
    """

    name: str
    at: datetime
    tenant_id: str = ""
    variables: dict[str, Value] = {}
    asynchronous: bool = False


class MessageThrown(Event, frozen=True, kw_only=True, gc=False):
    name: str
    at: datetime
    tenant_id: str = ""
    business_key: str = ""
    variables: dict[str, Value] = {}


class IncidentRaised(Event, frozen=True, kw_only=True, gc=False):
    """Something of the process went wrong and needs a person: a job without retries, a loop without a wait state."""

    execution_id: str
    element_id: str
    kind: str
    message: str
    at: datetime
    job_id: str = ""


class CommentAdded(Event, frozen=True, kw_only=True, gc=False):
    """Somebody remarked something on a task. Told beside the trees: no state holds it, so it is not of `AnyEvent`."""

    comment_id: str
    task_id: str
    author: str
    message: str
    at: datetime
    of_instance: bool = False


class CommentRemoved(Event, frozen=True, kw_only=True, gc=False):
    """A remark on a task was deleted. Told beside the trees, as `CommentAdded`."""

    comment_id: str
    task_id: str
    at: datetime


AnyEvent = (
    ProcessInstanceStarted
    | ProcessInstanceEnded
    | ProcessInstanceSuspended
    | ProcessInstanceActivated
    | ProcessInstanceUpdated
    | ProcessInstanceMigrated
    | ElementQueued
    | ElementStarted
    | ElementEnded
    | FlowTaken
    | LoopStarted
    | VariableSet
    | VariableRemoved
    | TaskCreated
    | TaskUpdated
    | TaskEnded
    | IdentityLinkAdded
    | IdentityLinkRemoved
    | JobScheduled
    | JobChanged
    | JobEnded
    | SubscriptionOpened
    | SubscriptionClosed
    | RecordKept
    | RecordDropped
    | SignalThrown
    | MessageThrown
    | IncidentRaised
)
