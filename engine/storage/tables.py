"""The engine's tables. One instance tree is found by `root_id`; what a list filters or sorts by has an index.

Conventions: texts that are not given are empty, never NULL; a moment that is not given is NULL; JSON is readable text.
Only the group commit writes instances and what belongs to them, under the lock of the root's row.
"""

from typing import Final

from sqlalchemy import Column, Double, Index, Integer, Table, UniqueConstraint
from sqlalchemy.schema import SchemaItem

from mesh.db.columns import (
    OPTIONS,
    flag_column,
    id_column,
    long_column,
    moment_column,
    new_metadata,
    number_column,
    text_column,
    word_column,
)
from mesh.db.types import long_bytes, sequence_number, text

metadata: Final = new_metadata()


def _table(name: str, *parts: SchemaItem, counted: bool = False) -> Table:
    return Table(name, metadata, *parts, **OPTIONS, sqlite_autoincrement=counted)


deployment: Final = _table(
    "deployment",
    id_column("id", key=True),
    text_column("name"),
    text_column("category"),
    text_column("key"),
    text_column("tenant_id"),
    id_column("parent_deployment_id"),
    moment_column("deployed_at"),
    Index("ix_deployment_name", "name"),
    Index("ix_deployment_deployed_at", "deployed_at"),
)
"""What was deployed together."""

resource: Final = _table(
    "resource",
    id_column("deployment_id", key=True),
    text_column("name", key=True),
    Column("bytes", long_bytes(), nullable=False),
    flag_column("generated"),
)
"""A file of a deployment, byte for byte as it came; `generated`: made by the engine."""

process_definition: Final = _table(
    "process_definition",
    id_column("id", key=True),
    text_column("key"),
    number_column("version"),
    text_column("tenant_id"),
    text_column("name"),
    long_column("description"),
    text_column("category"),
    id_column("deployment_id"),
    text_column("resource_name"),
    text_column("diagram_resource_name"),
    text_column("start_form_key"),
    flag_column("suspended"),
    UniqueConstraint("key", "tenant_id", "version"),
    Index("ix_process_definition_deployment_id", "deployment_id"),
)
"""An executable process of a resource; the greatest version of a key and tenant is the latest."""

instance: Final = _table(
    "instance",
    id_column("id", key=True),
    id_column("root_id"),
    id_column("super_instance_id"),
    id_column("super_execution_id"),
    id_column("definition_id"),
    text_column("definition_key"),
    text_column("definition_name"),
    number_column("definition_version"),
    text_column("business_key"),
    text_column("business_status"),
    text_column("name"),
    text_column("tenant_id"),
    text_column("start_user_id"),
    moment_column("started_at"),
    word_column("state"),
    number_column("revision"),
    long_column("tokens"),
    text_column("callback_id"),
    text_column("reference_id"),
    Index("ix_instance_root_id", "root_id"),
    Index("ix_instance_callback_id", "callback_id"),
    Index("ix_instance_reference_id", "reference_id"),
    Index("ix_instance_definition_id", "definition_id"),
    Index("ix_instance_definition_key", "definition_key"),
    Index("ix_instance_business_key", "business_key"),
    Index("ix_instance_name", "name"),
    Index("ix_instance_state", "state"),
    Index("ix_instance_started_at", "started_at"),
    Index("ix_instance_tenant_id", "tenant_id"),
)
"""A living process instance (an ended one has no row). `tokens`: its executions as JSON (`state.Tokens`), and the facts
that few instances have; two of these are columns too, for queries.

`state` is active or suspended. A root is its own `root_id`; who is called by whom stays within one root, so the
children of an instance are found by `root_id`, then `super_instance_id`.
"""

variable: Final = _table(
    "variable",
    id_column("root_id", key=True),
    id_column("scope_id", key=True),
    text_column("name", key=True),
    id_column("instance_id"),
    flag_column("leaf"),
    word_column("type"),
    long_column("value"),
    Column("text_value", text(), nullable=True),
    Column("number_value", Double(), nullable=True),
    Index("ix_variable_root_id_leaf", "root_id", "leaf"),
    Index("ix_variable_scope_id", "scope_id"),
    Index("ix_variable_name_text_value", "name", "text_value"),
)
"""A variable of an instance (`scope_id` = its id) or of an execution. `value` is JSON.

For queries: `text_value` has the first 255 characters of a string, the shortest decimal form of a number (`5`, `2.5`),
true or false, or an ISO moment in UTC; NULL for json, binary and null. `number_value`: a number, 1 or 0 for a boolean,
milliseconds since 1970 for a date.
"""

task: Final = _table(
    "task",
    id_column("id", key=True),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("execution_id"),
    text_column("element_id"),
    text_column("name"),
    long_column("description"),
    text_column("assignee"),
    text_column("owner"),
    word_column("delegation"),
    number_column("priority"),
    moment_column("due_at", optional=True),
    text_column("category"),
    text_column("form_key"),
    text_column("tenant_id"),
    id_column("definition_id"),
    id_column("parent_task_id"),
    moment_column("created_at"),
    moment_column("claimed_at", optional=True),
    flag_column("suspended"),
    Index("ix_task_instance_id", "instance_id"),
    Index("ix_task_execution_id", "execution_id"),
    Index("ix_task_element_id", "element_id"),
    Index("ix_task_parent_task_id", "parent_task_id"),
    Index("ix_task_name", "name"),
    Index("ix_task_assignee", "assignee"),
    Index("ix_task_owner", "owner"),
    Index("ix_task_tenant_id", "tenant_id"),
    Index("ix_task_due_at", "due_at"),
    Index("ix_task_created_at", "created_at"),
)
"""An open user task; the fields of `state.Task`. `element_id` is Flowable's task definition key."""

identity_link: Final = _table(
    "identity_link",
    id_column("owner_id", key=True),
    id_column("id", key=True),
    id_column("root_id"),
    id_column("task_id"),
    id_column("instance_id"),
    text_column("kind", 64),
    text_column("user_id"),
    text_column("group_id"),
    Index("ix_identity_link_user_id_kind", "user_id", "kind"),
    Index("ix_identity_link_group_id_kind", "group_id", "kind"),
)
"""Who has to do with a task or, where `task_id` is empty, with an instance; `owner_id` is the one or the other's id."""

job: Final = _table(
    "job",
    id_column("id", key=True),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("execution_id"),
    text_column("element_id"),
    text_column("element_name"),
    word_column("kind"),
    text_column("handler", 64),
    moment_column("due_at"),
    number_column("retries"),
    text_column("repeat"),
    text_column("topic"),
    flag_column("exclusive"),
    flag_column("dead"),
    flag_column("suspended"),
    long_column("error"),
    long_column("error_details"),
    text_column("lock_owner"),
    id_column("lock_token"),
    moment_column("lease_until", optional=True),
    long_column("payload"),
    id_column("definition_id"),
    text_column("tenant_id"),
    moment_column("created_at"),
    word_column("lane"),
    moment_column("available_at"),
    Index("ix_job_lane_topic_available_at", "lane", "topic", "available_at"),
    Index("ix_job_instance_id", "instance_id"),
    Index("ix_job_execution_id", "execution_id"),
    Index("ix_job_definition_id_element_id", "definition_id", "element_id"),
    Index("ix_job_due_at", "due_at"),
    Index("ix_job_tenant_id", "tenant_id"),
)
"""Work for later; the fields of `state.Job`. A timer start event's job has empty `root_id` and `instance_id`.

`lane` says who may take it: engine (timer, async), external, http, repository (scheduled changes of definitions); dead
or suspended: nobody. `available_at` says from when on: its due date or, while somebody holds its lease, the end of the
lease. Both follow from the other columns.
"""

subscription: Final = _table(
    "subscription",
    id_column("id", key=True),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("execution_id"),
    text_column("element_id"),
    word_column("kind"),
    text_column("name"),
    text_column("tenant_id"),
    id_column("definition_id"),
    text_column("configuration"),
    moment_column("created_at"),
    Index("ix_subscription_name_kind_tenant_id", "name", "kind", "tenant_id"),
    Index("ix_subscription_execution_id", "execution_id"),
    Index("ix_subscription_instance_id", "instance_id"),
    Index("ix_subscription_definition_id_element_id", "definition_id", "element_id"),
)
"""What waits for a message, a signal or a condition. A start event's row has empty instance and root.

Rows of kind `scope` (id = `execution_id`, no name) wait for nothing: they let an execution be found that has neither
task nor job nor subscription of its own.
"""

delivery: Final = _table(
    "delivery",
    id_column("throw_id", key=True),
    id_column("subscription_id", key=True),
    word_column("kind"),
    text_column("name"),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("execution_id"),
    id_column("definition_id"),
    text_column("element_id"),
    text_column("tenant_id"),
    text_column("business_key"),
    long_column("variables"),
    number_column("attempts"),
    flag_column("dead"),
    long_column("error"),
    moment_column("due_at"),
    moment_column("created_at"),
    Index("ix_delivery_dead_due_at", "dead", "due_at"),
    Index("ix_delivery_root_id", "root_id"),
)
"""A thrown signal or message on its way to one subscription; taken away in the transaction that delivers it."""

outbox: Final = _table(
    "outbox",
    Column("sequence", sequence_number(), primary_key=True, autoincrement=True),
    id_column("command_id"),
    id_column("root_id"),
    text_column("tenant_id"),
    Column("request_id", text(128), nullable=True),
    long_column("reply"),
    Column("events", long_bytes(), nullable=False),
    moment_column("created_at"),
    UniqueConstraint("command_id"),
    UniqueConstraint("request_id"),
    counted=True,
)
"""What one command did (`events`: one protobuf message) and answered (`reply`: JSON), in the order of commits per root.

`command_id` is unique, so a command whose commit got lost on the way cannot happen twice; `request_id` likewise for
what a client sends again.
"""

bus_offset: Final = _table(
    "bus_offset",
    text_column("consumer_group", key=True),
    Column("partition", Integer(), primary_key=True, autoincrement=False),
    Column("sequence", sequence_number(), nullable=False),
    moment_column("updated_at"),
)
"""How far a consumer group has read the outbox; partition 0 is the embedded bus."""

engine_property: Final = _table("engine_property", text_column("name", key=True), long_column("value"))
"""Facts about this engine as a whole, by name."""
