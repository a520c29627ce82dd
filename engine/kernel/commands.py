"""What can be asked of an instance tree: plain values. `decide` carries them out.

Every command names its target by id and whoever asks (`user_id`, empty if nobody in particular), with what binds them
(`rights`, None: nothing).
"""

from datetime import datetime

import msgspec

from engine.kernel.rights import Rights
from engine.kernel.values import Variable

Variables = dict[str, Variable]


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all commands."""

    user_id: str = ""
    rights: Rights | None = None


class StartProcess(Command, frozen=True, kw_only=True):
    """Start an instance of a loaded definition; `start_element_id` picks a start event (empty: the plain one).

    `tenant_id`: the instance's own tenant in place of the definition's.
    """

    definition_id: str
    instance_id: str = ""
    business_key: str = ""
    business_status: str = ""
    name: str = ""
    tenant_id: str = ""
    variables: Variables = {}
    transient_variables: Variables = {}
    start_element_id: str = ""
    callback_id: str = ""
    callback_type: str = ""
    reference_id: str = ""
    reference_type: str = ""


class CompleteTask(Command, frozen=True, kw_only=True):
    """`local_variables` go to the task's own scope and end with it."""

    task_id: str
    variables: Variables = {}
    local_variables: Variables = {}
    transient_variables: Variables = {}
    outcome: str = ""


class ClaimTask(Command, frozen=True, kw_only=True):
    """An empty `assignee` unclaims. Refused if another user holds the task."""

    task_id: str
    assignee: str


class DelegateTask(Command, frozen=True, kw_only=True):
    task_id: str
    assignee: str


class ResolveTask(Command, frozen=True, kw_only=True):
    task_id: str
    variables: Variables = {}


class UpdateTask(Command, frozen=True, kw_only=True):
    """`changes`: new values by field name of `state.Task` (assignee, owner, priority, due_at, name, …)."""

    task_id: str
    changes: dict[str, str | int | datetime | None]


class AddIdentityLink(Command, frozen=True, kw_only=True):
    """A link of a task (`task_id`) or of a process instance (`instance_id`)."""

    kind: str
    task_id: str = ""
    instance_id: str = ""
    linked_user_id: str = ""
    linked_group_id: str = ""


class RemoveIdentityLink(Command, frozen=True, kw_only=True):
    kind: str
    task_id: str = ""
    instance_id: str = ""
    linked_user_id: str = ""
    linked_group_id: str = ""


class TriggerExecution(Command, frozen=True, kw_only=True):
    """Wake what waits without a name: a receive task, a triggerable task, a none catch event."""

    execution_id: str
    variables: Variables = {}
    transient_variables: Variables = {}


class DeliverMessage(Command, frozen=True, kw_only=True):
    """Deliver to one subscription: by its id, or by message name and the execution (or instance) that waits."""

    execution_id: str
    name: str
    variables: Variables = {}
    transient_variables: Variables = {}
    subscription_id: str = ""


class DeliverSignal(Command, frozen=True, kw_only=True):
    """Deliver to one execution (or to all waits of one instance, when `execution_id` is an instance's id).

    An `asynchronous` one is received by a job.
    """

    execution_id: str
    name: str
    variables: Variables = {}
    transient_variables: Variables = {}
    subscription_id: str = ""
    asynchronous: bool = False


class EvaluateConditions(Command, frozen=True, kw_only=True):
    instance_id: str
    variables: Variables = {}


class ExecuteJob(Command, frozen=True, kw_only=True):
    """Run a due timer or asynchronous continuation; the job must be loaded in the tree."""

    job_id: str


class CompleteJob(Command, frozen=True, kw_only=True):
    """An outside task (external worker, HTTP) was done. `lock_token` fences off a former holder of the lease.

    `local_variables` are set on the task's own execution at once and end with it.
    """

    job_id: str
    worker_id: str = ""
    lock_token: str = ""
    variables: Variables = {}
    local_variables: Variables = {}


class FailJob(Command, frozen=True, kw_only=True):
    """An attempt failed: `retries` left (None: one less), next try at `retry_at` (None: exponential back-off)."""

    job_id: str
    error: str
    worker_id: str = ""
    lock_token: str = ""
    details: str = ""
    retries: int | None = None
    retry_at: datetime | None = None


class ThrowJobError(Command, frozen=True, kw_only=True):
    """An outside task ended in a BPMN error; one with an empty code is caught by handlers that name none."""

    job_id: str
    error_code: str
    worker_id: str = ""
    lock_token: str = ""
    error_message: str = ""
    variables: Variables = {}


class ChangeJob(Command, frozen=True, kw_only=True):
    """An operator's change: `move` = executable (timer now, dead letter back) | revive (only a dead letter) | dead; new
    retries; a new due date."""

    job_id: str
    move: str = ""
    retries: int | None = None
    due_at: datetime | None = None


class DeleteJob(Command, frozen=True, kw_only=True):
    job_id: str


class SetVariables(Command, frozen=True, kw_only=True):
    """`execution_id` may be the instance's id. `local`: exactly on that scope, else where the name already lives.
    `create_only` refuses names that exist (ALREADY_EXISTS); `update_only` refuses names that do not (NOT_FOUND)."""

    execution_id: str
    variables: Variables
    local: bool = False
    create_only: bool = False
    update_only: bool = False


class RemoveVariables(Command, frozen=True, kw_only=True):
    """`names` empty: all variables of the scope. `strict` refuses a name that does not exist."""

    execution_id: str
    names: list[str] = []
    strict: bool = False


class UpdateInstance(Command, frozen=True, kw_only=True):
    """`changes`: new values by field name: name, business_key, business_status, assignee, owner, due_date."""

    instance_id: str
    changes: dict[str, str | datetime | None]


class ClaimInstance(Command, frozen=True, kw_only=True):
    """An empty `assignee` unclaims. Refused if another user holds the instance."""

    instance_id: str
    assignee: str


class SuspendInstance(Command, frozen=True, kw_only=True):
    instance_id: str


class ActivateInstance(Command, frozen=True, kw_only=True):
    instance_id: str


class DeleteInstance(Command, frozen=True, kw_only=True):
    instance_id: str
    reason: str = ""


class ChangeState(Command, frozen=True, kw_only=True):
    """Cancel the tokens at `cancel` and start at `start` (element ids), Flowable's change of activity state.

    `local_variables` are set on the execution of each element that is started.
    """

    instance_id: str
    cancel: list[str] = []
    start: list[str] = []
    cancel_executions: list[str] = []
    variables: Variables = {}
    local_variables: Variables = {}


class MigrateInstance(Command, frozen=True, kw_only=True):
    """Go on by another version; `mappings` (former → new element id) adds to the automatic mapping by equal ids.

    `variables` of the instance are set before anything starts in the new version.
    """

    instance_id: str
    definition_id: str
    mappings: dict[str, str] = {}
    variables: Variables = {}
    validate_only: bool = False
