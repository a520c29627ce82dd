"""What queries answer, as values; fields are named as in the contract.

A text that a thing does not have is empty, a moment that it does not have is None. Moments are aware, in UTC.
"""

from datetime import datetime
from typing import Final

import msgspec

from engine.kernel.values import Variable

LOCAL: Final = "local"
GLOBAL: Final = "global"
SCOPES: Final = (LOCAL, GLOBAL)


class NamedVariable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable as somebody sees it.

    `scope`: local (of the asked-for instance, execution or task itself) or global. `process_instance_id` and
    `scope_id` say where it hangs: `scope_id` is the instance's id or an execution's.
    """

    name: str
    variable: Variable
    scope: str
    process_instance_id: str
    scope_id: str


class DeploymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment."""

    id: str
    name: str
    deployment_time: datetime
    category: str
    key: str
    parent_deployment_id: str
    tenant_id: str


class ResourceView(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a deployment without its bytes. `type`: processDefinition or resource."""

    id: str
    deployment_id: str
    media_type: str
    type: str


class ResourceData(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a deployment, byte for byte as it was deployed."""

    name: str
    media_type: str
    data: bytes


class ProcessDefinitionView(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an executable process."""

    id: str
    key: str
    version: int
    name: str
    description: str
    tenant_id: str
    deployment_id: str
    resource: str
    diagram_resource: str
    category: str
    suspended: bool
    start_form_key: str

    @property
    def graphical_notation_defined(self) -> bool:
        """Tell whether a picture was deployed with it, or made of it."""
        return bool(self.diagram_resource)

    @property
    def start_form_defined(self) -> bool:
        """Tell whether its start event names a form."""
        return bool(self.start_form_key)


class IdentityLinkView(msgspec.Struct, frozen=True, kw_only=True):
    """What a user or a group has to do with something; exactly one of both is not empty."""

    user: str = ""
    group: str = ""
    type: str


class ProcessInstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """A running process instance.

    `activity_id`: the element where it waits, if it is only one. `state`: active or suspended.
    """

    id: str
    name: str
    business_key: str
    business_status: str
    process_definition_id: str
    process_definition_key: str
    process_definition_version: int
    process_definition_name: str
    process_definition_description: str
    activity_id: str
    start_user_id: str
    start_time: datetime
    super_process_instance_id: str
    root_process_instance_id: str
    tenant_id: str
    state: str
    assignee: str = ""
    owner: str = ""
    due_date: datetime | None = None
    claim_time: datetime | None = None
    claimed_by: str = ""
    callback_id: str = ""
    callback_type: str = ""
    reference_id: str = ""
    reference_type: str = ""
    variables: tuple[NamedVariable, ...] = ()

    @property
    def suspended(self) -> bool:
        """Tell whether it is suspended."""
        return self.state == "suspended"


class ExecutionView(msgspec.Struct, frozen=True, kw_only=True):
    """A node of an instance's tree of executions; `parent_id` is empty for the instance itself.

    `waiting`: a token waits here; False for the instance, for sub-processes and multi-instance bodies.
    """

    id: str
    parent_id: str
    super_execution_id: str
    process_instance_id: str
    root_process_instance_id: str
    process_definition_id: str
    suspended: bool
    activity_id: str
    activity_type: str
    waiting: bool
    tenant_id: str


class ActivityInstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """The present stay of a token at an element; it has no end, for then it would be the history's."""

    id: str
    activity_id: str
    activity_name: str
    activity_type: str
    process_definition_id: str
    process_instance_id: str
    execution_id: str
    task_id: str
    called_process_instance_id: str
    assignee: str
    start_time: datetime | None
    tenant_id: str


class EventSubscriptionView(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for an event. `event_type`: message, signal, conditional, variable.

    That of a start event has no execution.
    """

    id: str
    event_type: str
    event_name: str
    activity_id: str
    execution_id: str
    process_instance_id: str
    process_definition_id: str
    created: datetime
    configuration: str
    tenant_id: str


class VariableInstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """A variable together with where it hangs; `execution_id` is the process instance itself for a global one."""

    id: str
    process_instance_id: str
    execution_id: str
    task_id: str
    name: str
    variable: Variable
    scope: str
    tenant_id: str


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """An open user task. `delegation_state`: pending, resolved or empty."""

    id: str
    owner: str
    assignee: str
    delegation_state: str
    name: str
    description: str
    create_time: datetime
    due_date: datetime | None
    priority: int
    suspended: bool
    claim_time: datetime | None
    task_definition_key: str
    tenant_id: str
    category: str
    form_key: str
    parent_task_id: str
    execution_id: str
    process_instance_id: str
    process_definition_id: str
    variables: tuple[NamedVariable, ...] = ()


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `kind` says where it lies (`JobFilter.kind`)."""

    id: str
    correlation_id: str
    process_instance_id: str
    process_definition_id: str
    execution_id: str
    element_id: str
    element_name: str
    handler_type: str
    retries: int
    exception_message: str
    due_date: datetime
    create_time: datetime
    lock_owner: str
    lock_expiration_time: datetime | None
    tenant_id: str
    kind: str


class ExternalWorkerJobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job for an external worker. `element_instance_id` is the stay at the element that the job belongs to."""

    id: str
    correlation_id: str
    process_instance_id: str
    process_definition_id: str
    process_definition_key: str
    execution_id: str
    element_instance_id: str
    element_id: str
    element_name: str
    topic: str
    retries: int
    priority: int
    exception_message: str
    due_date: datetime
    create_time: datetime
    lock_owner: str
    lock_expiration_time: datetime | None
    lock_token: str
    tenant_id: str
