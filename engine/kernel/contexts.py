"""What an expression sees from where it stands: variables, and the objects `execution` and `task` by allow-lists."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from engine.kernel import events as ev
from engine.kernel import scopes
from engine.kernel.definition import Definition, Node
from engine.kernel.expression import Exposed, ExpressionError, UnknownName
from engine.kernel.state import Execution, Instance, Task
from engine.kernel.turn import Turn

Methods = dict[str, Callable[..., Any]]
Properties = dict[str, Callable[[], Any]]
TASK_TEXTS = {
    "Assignee": "assignee", "Owner": "owner", "Name": "name", "Description": "description", "Category": "category",
    "FormKey": "form_key",
}  # fmt: skip
"""Fields of a task that are texts, by how their setters end."""


class ExecutionContext:
    """What an expression sees from an execution (the `Context` of the expression language)."""

    __slots__ = ("_execution", "_extra", "_instance", "_task", "_turn")

    def __init__(
        self,
        turn: Turn,
        instance: Instance,
        execution: Execution | None,
        task: Task | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._turn = turn
        self._instance = instance
        self._execution = execution
        self._task = task
        self._extra = extra

    @property
    def now(self) -> datetime:
        return self._turn.at

    def has(self, name: str) -> bool:
        return scopes.has(self._turn, self._instance, self._execution, name)

    def resolve(self, name: str) -> Any:
        try:
            return scopes.find(self._turn, self._instance, self._execution, name)
        except KeyError:
            pass
        if self._extra is not None and name in self._extra:
            return self._extra[name]
        return self._object(name)

    def _object(self, name: str) -> Any:
        match name:
            case "execution" | "variableContainer":
                return exposed_execution(self._turn, self._instance, self._execution)
            case "task" if self._task is not None:
                return exposed_task(self._turn, self._task)
            case "authenticatedUserId":
                return self._turn.user_id or None
            case "currentTenantId":
                return self._instance.tenant_id
            case _:
                raise UnknownName(name)

    def assign(self, name: str, value: Any) -> None:
        scopes.set_variable(self._turn, self._instance, self._execution, name, value)

    def task(self, task_id: str) -> Exposed:
        found = self._turn.tree.tasks.get(task_id) or self._turn.ended_tasks.get(task_id)
        if found is None:
            raise ExpressionError(f"expected the id of a task of this instance, found '{task_id}'")
        return exposed_task(self._turn, found)


def exposed_execution(turn: Turn, instance: Instance, execution: Execution | None) -> Exposed:
    """The `execution` object of expressions: Flowable's accessors, by allow-list."""
    own_id = execution.id if execution is not None else instance.id
    node = turn.node_of(instance, execution) if execution is not None else turn.definition_of(instance).process
    return Exposed(
        "execution",
        properties={
            "id": lambda: own_id,
            "parentId": lambda: execution.parent if execution is not None else None,
            "parent": lambda: exposed_parent(turn, instance, execution),
            "variables": lambda: scopes.visible(turn, instance, execution),
            "eventName": lambda: turn.event_name or None,
            "active": lambda: True,
            "ended": lambda: False,
            **_of_element(node),
            **_of_instance(instance),
            **_of_definition(turn.definition_of(instance)),
        },
        methods=_variable_methods(turn, instance, execution, own_id),
    )


def _of_element(node: Node) -> Properties:
    return {
        "activityId": lambda: node.id,
        "currentActivityId": lambda: node.id,
        "currentActivityName": lambda: node.name or None,
        "currentFlowElement": lambda: Exposed(
            "flowElement",
            properties={
                "id": lambda: node.id,
                "name": lambda: node.name or None,
                "documentation": lambda: node.documentation or None,
            },
        ),
    }


def _of_instance(instance: Instance) -> Properties:
    return {
        "processInstanceId": lambda: instance.id,
        "rootProcessInstanceId": lambda: instance.root_id,
        "superExecutionId": lambda: instance.super_execution_id or None,
        "processDefinitionId": lambda: instance.definition_id,
        "processDefinitionKey": lambda: instance.definition_key,
        "processInstanceBusinessKey": lambda: instance.business_key or None,
        "processInstanceBusinessStatus": lambda: instance.business_status or None,
        "businessKey": lambda: instance.business_key or None,
        "tenantId": lambda: instance.tenant_id,
        "startUserId": lambda: instance.start_user_id or None,
        "name": lambda: instance.name or None,
    }


def _of_definition(definition: Definition) -> Properties:
    return {
        "processDefinitionName": lambda: definition.name or None,
        "processDefinitionVersion": lambda: definition.version,
        "processDefinitionCategory": lambda: definition.category or None,
        "deploymentId": lambda: definition.deployment_id,
    }


def _variable_methods(turn: Turn, instance: Instance, execution: Execution | None, own_id: str) -> Methods:
    """What an execution or task does with variables; the ones with `Local` see the scope `own_id` alone."""

    def get(name: str) -> Any:
        try:
            return scopes.find(turn, instance, execution, name)
        except KeyError:
            return None

    def local() -> dict[str, Any]:
        return {name: variable.value for name, variable in turn.tree.variables.get(own_id, {}).items()}

    def transient() -> dict[str, Any]:
        return turn.transient.setdefault(instance.id, {})

    def set_transient(name: str, value: Any) -> None:
        scopes.check_name(name)
        transient()[name] = value

    def set_all(values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            scopes.set_variable(turn, instance, execution, name, value)

    return {
        "getVariable": get,
        "getVariables": lambda: scopes.visible(turn, instance, execution),
        "getVariableNames": lambda: list(scopes.visible(turn, instance, execution)),
        "hasVariable": lambda name: scopes.has(turn, instance, execution, name),
        "setVariable": lambda name, value: scopes.set_variable(turn, instance, execution, name, value),
        "setVariables": set_all,
        "removeVariable": lambda name: scopes.remove_visible(turn, instance, execution, name),
        "getVariableLocal": lambda name: local().get(name),
        "getVariablesLocal": local,
        "getVariableNamesLocal": lambda: list(local()),
        "hasVariableLocal": lambda name: name in local(),
        "setVariableLocal": lambda name, value: scopes.put(turn, instance, own_id, name, value),
        "removeVariableLocal": lambda name: scopes.remove(turn, instance, own_id, name),
        "getTransientVariable": lambda name: transient().get(name),
        "getTransientVariables": lambda: dict(transient()),
        "setTransientVariable": set_transient,
        "removeTransientVariable": lambda name: transient().pop(name, None),
    }


def exposed_parent(turn: Turn, instance: Instance, execution: Execution | None) -> Exposed | None:
    """The execution around one; None for the process instance's own."""
    if execution is None or execution.id == instance.id:
        return None
    return exposed_execution(turn, instance, instance.executions.get(execution.parent))


def exposed_task(turn: Turn, task: Task) -> Exposed:
    """The `task` object of expressions."""
    instance = turn.tree.instances[task.instance_id]
    execution = instance.executions.get(task.execution_id)
    return Exposed(
        "task",
        properties={
            "id": lambda: task.id,
            "name": lambda: task.name,
            "description": lambda: task.description or None,
            "assignee": lambda: task.assignee or None,
            "owner": lambda: task.owner or None,
            "priority": lambda: task.priority,
            "dueDate": lambda: task.due_at,
            "createTime": lambda: task.created_at,
            "category": lambda: task.category or None,
            "formKey": lambda: task.form_key or None,
            "delegationState": lambda: task.delegation.upper() or None,
            "taskDefinitionKey": lambda: task.element_id,
            "executionId": lambda: task.execution_id,
            "processInstanceId": lambda: task.instance_id,
            "processDefinitionId": lambda: instance.definition_id,
            "tenantId": lambda: task.tenant_id,
            "eventName": lambda: turn.event_name or None,
        },
        methods={
            **_variable_methods(turn, instance, execution, task.execution_id),
            **_task_methods(turn, instance, task),
            "getExecution": lambda: exposed_execution(turn, instance, execution),
        },
    )


def _task_methods(turn: Turn, instance: Instance, task: Task) -> Methods:
    def change(field: str, value: Any) -> None:
        turn.emit(
            ev.TaskUpdated(
                instance_id=instance.id,
                task_id=task.id,
                execution_id=task.execution_id,
                at=turn.at,
                changes={field: value},
                assignee=task.assignee,
            )
        )

    def set_text(field: str) -> Callable[[Any], None]:
        def set_it(value: Any) -> None:
            if value is not None and type(value) is not str:
                raise ExpressionError(f"expected a text as the task's {field}, found {value!r}")
            change(field, value or "")

        return set_it

    def set_due(value: Any) -> None:
        if value is not None and not isinstance(value, datetime):
            raise ExpressionError(f"expected a date as the task's due date, found {value!r}")
        change("due_at", value)

    def candidate(field: str) -> Callable[[Any], None]:
        def add(name: Any) -> None:
            link = ev.IdentityLinkAdded(
                instance_id=instance.id,
                link_id=turn.env.new_id(),
                kind="candidate",
                at=turn.at,
                task_id=task.id,
                user_id=str(name) if field == "user" else "",
                group_id=str(name) if field == "group" else "",
            )
            known = (link.kind, link.user_id, link.group_id)
            if known not in [tuple(rest) for _, *rest in turn.tree.links.get(task.id, [])]:
                turn.emit(link)

        return add

    return {
        **{f"set{name}": set_text(field) for name, field in TASK_TEXTS.items()},
        "setPriority": lambda value: change("priority", int(value)),
        "setDueDate": set_due,
        "addCandidateUser": candidate("user"),
        "addCandidateGroup": candidate("group"),
    }
