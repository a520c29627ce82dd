"""The engine's tables. One instance tree is found by `root_id`; what a list filters or sorts by has an index.

Conventions: texts that are not given are empty, never NULL; a moment that is not given is NULL; JSON is readable text.
Only the group commit writes instances and what belongs to them, under the lock of the root's row.
"""

from typing import Any, Final

from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, Table, UniqueConstraint
from sqlalchemy.schema import SchemaItem

from mesh.db.types import UtcDateTime, identifier, long_bytes, long_text, sequence_number, text

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def _table(name: str, *parts: SchemaItem, counted: bool = False) -> Table:
    return Table(name, metadata, *parts, **_OPTIONS, sqlite_autoincrement=counted)


def _id(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, identifier(), primary_key=key, nullable=False)


def _word(name: str) -> Column[str]:
    """A short word of ours in ASCII: a kind, a state."""
    return Column(name, identifier(32), nullable=False)


def _text(name: str, length: int = 255, *, key: bool = False) -> Column[str]:
    return Column(name, text(length), primary_key=key, nullable=False)


def _long(name: str) -> Column[str]:
    return Column(name, long_text(), nullable=False)


def _moment(name: str, *, optional: bool = False) -> Column[object]:
    return Column(name, UtcDateTime(), nullable=optional)


def _number(name: str) -> Column[int]:
    return Column(name, Integer(), nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(), nullable=False)


deployment: Final = _table(
    "deployment",
    _id("id", key=True),
    _text("name"),
    _text("category"),
    _text("key"),
    _text("tenant_id"),
    _id("parent_deployment_id"),
    _moment("deployed_at"),
    Index("ix_deployment_name", "name"),
    Index("ix_deployment_deployed_at", "deployed_at"),
)
"""What was deployed together."""

resource: Final = _table(
    "resource",
    _id("deployment_id", key=True),
    _text("name", key=True),
    Column("bytes", long_bytes(), nullable=False),
    _flag("generated"),
)
"""A file of a deployment, byte for byte as it came; `generated`: made by the engine."""

process_definition: Final = _table(
    "process_definition",
    _id("id", key=True),
    _text("key"),
    _number("version"),
    _text("tenant_id"),
    _text("name"),
    _long("description"),
    _text("category"),
    _id("deployment_id"),
    _text("resource_name"),
    _text("diagram_resource_name"),
    _text("start_form_key"),
    _flag("suspended"),
    UniqueConstraint("key", "tenant_id", "version"),
    Index("ix_process_definition_deployment_id", "deployment_id"),
)
"""An executable process of a resource; the greatest version of a key and tenant is the latest."""

instance: Final = _table(
    "instance",
    _id("id", key=True),
    _id("root_id"),
    _id("super_instance_id"),
    _id("super_execution_id"),
    _id("definition_id"),
    _text("definition_key"),
    _text("definition_name"),
    _number("definition_version"),
    _text("business_key"),
    _text("business_status"),
    _text("name"),
    _text("tenant_id"),
    _text("start_user_id"),
    _moment("started_at"),
    _word("state"),
    _number("revision"),
    _long("tokens"),
    _text("callback_id"),
    _text("reference_id"),
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
    _id("root_id", key=True),
    _id("scope_id", key=True),
    _text("name", key=True),
    _id("instance_id"),
    _flag("leaf"),
    _word("type"),
    _long("value"),
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
    _id("id", key=True),
    _id("root_id"),
    _id("instance_id"),
    _id("execution_id"),
    _text("element_id"),
    _text("name"),
    _long("description"),
    _text("assignee"),
    _text("owner"),
    _word("delegation"),
    _number("priority"),
    _moment("due_at", optional=True),
    _text("category"),
    _text("form_key"),
    _text("tenant_id"),
    _id("definition_id"),
    _id("parent_task_id"),
    _moment("created_at"),
    _moment("claimed_at", optional=True),
    _flag("suspended"),
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
    _id("owner_id", key=True),
    _id("id", key=True),
    _id("root_id"),
    _id("task_id"),
    _id("instance_id"),
    _text("kind", 64),
    _text("user_id"),
    _text("group_id"),
    Index("ix_identity_link_user_id_kind", "user_id", "kind"),
    Index("ix_identity_link_group_id_kind", "group_id", "kind"),
)
"""Who has to do with a task or, where `task_id` is empty, with an instance; `owner_id` is the one or the other's id."""

job: Final = _table(
    "job",
    _id("id", key=True),
    _id("root_id"),
    _id("instance_id"),
    _id("execution_id"),
    _text("element_id"),
    _text("element_name"),
    _word("kind"),
    _text("handler", 64),
    _moment("due_at"),
    _number("retries"),
    _text("repeat"),
    _text("topic"),
    _flag("exclusive"),
    _flag("dead"),
    _flag("suspended"),
    _long("error"),
    _long("error_details"),
    _text("lock_owner"),
    _id("lock_token"),
    _moment("lease_until", optional=True),
    _long("payload"),
    _id("definition_id"),
    _text("tenant_id"),
    _moment("created_at"),
    _word("lane"),
    _moment("available_at"),
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
    _id("id", key=True),
    _id("root_id"),
    _id("instance_id"),
    _id("execution_id"),
    _text("element_id"),
    _word("kind"),
    _text("name"),
    _text("tenant_id"),
    _id("definition_id"),
    _text("configuration"),
    _moment("created_at"),
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
    _id("throw_id", key=True),
    _id("subscription_id", key=True),
    _word("kind"),
    _text("name"),
    _id("root_id"),
    _id("instance_id"),
    _id("execution_id"),
    _id("definition_id"),
    _text("element_id"),
    _text("tenant_id"),
    _text("business_key"),
    _long("variables"),
    _number("attempts"),
    _flag("dead"),
    _long("error"),
    _moment("due_at"),
    _moment("created_at"),
    Index("ix_delivery_dead_due_at", "dead", "due_at"),
    Index("ix_delivery_root_id", "root_id"),
)
"""A thrown signal or message on its way to one subscription; taken away in the transaction that delivers it."""

outbox: Final = _table(
    "outbox",
    Column("sequence", sequence_number(), primary_key=True, autoincrement=True),
    _id("command_id"),
    _id("root_id"),
    _text("tenant_id"),
    Column("request_id", text(128), nullable=True),
    _long("reply"),
    Column("events", long_bytes(), nullable=False),
    _moment("created_at"),
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
    _text("consumer_group", key=True),
    Column("partition", Integer(), primary_key=True, autoincrement=False),
    Column("sequence", sequence_number(), nullable=False),
    _moment("updated_at"),
)
"""How far a consumer group has read the outbox; partition 0 is the embedded bus."""

engine_property: Final = _table("engine_property", _text("name", key=True), _long("value"))
"""Facts about this engine as a whole, by name."""
