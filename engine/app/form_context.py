"""What expressions of forms see: the variables that are visible, and the task or nothing. They change nothing.

A form is shown outside of a command, so its expressions read what was committed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engine.app.queries import NamedVariable, TaskView
from engine.kernel.expression import (
    Exposed,
    Expression,
    ExpressionError,
    ExpressionSyntaxError,
    MappingContext,
    parse,
)

MAX_EXPRESSIONS: Final = 4096


class FormContext(MappingContext):
    """A context over the visible variables."""

    __slots__ = ()

    def assign(self, name: str, value: Any) -> None:  # noqa: ARG002 - a Context
        """Refuse: showing a form changes nothing."""
        raise ExpressionError(f"expected an expression that only reads, found one that sets '{name}'")


def context_of(
    variables: Sequence[NamedVariable], now: datetime, task: TaskView | None = None, submitted: Mapping[str, Any] = {}
) -> FormContext:
    """Return the context of a form; what is `submitted` hides the variables of its names."""
    values = values_of(variables) | dict(submitted)
    objects: dict[str, Any] = {"execution": _execution(values, task)}
    if task is not None:
        objects["task"] = _task(values, task)
    return FormContext(values, now=now, objects=objects)


def values_of(variables: Sequence[NamedVariable]) -> dict[str, Any]:
    """Return plain values by name, the caller's own: JSON is copied."""
    return {each.name: copy.deepcopy(each.variable.value) for each in variables}


def _execution(values: Mapping[str, Any], task: TaskView | None) -> Exposed:
    return Exposed(
        "execution",
        properties={
            "id": lambda: task.execution_id if task else None,
            "processInstanceId": lambda: task.process_instance_id if task else None,
            "processDefinitionId": lambda: task.process_definition_id if task else None,
            "tenantId": lambda: task.tenant_id if task else "",
        },
        methods={"getVariable": values.get, "hasVariable": lambda name: name in values},
    )


def _task(values: Mapping[str, Any], task: TaskView) -> Exposed:
    return Exposed(
        "task",
        properties={
            "id": lambda: task.id,
            "name": lambda: task.name,
            "description": lambda: task.description or None,
            "assignee": lambda: task.assignee or None,
            "owner": lambda: task.owner or None,
            "priority": lambda: task.priority,
            "dueDate": lambda: task.due_date,
            "createTime": lambda: task.create_time,
            "category": lambda: task.category or None,
            "formKey": lambda: task.form_key or None,
            "taskDefinitionKey": lambda: task.task_definition_key,
            "executionId": lambda: task.execution_id,
            "processInstanceId": lambda: task.process_instance_id,
            "processDefinitionId": lambda: task.process_definition_id,
            "tenantId": lambda: task.tenant_id,
        },
        methods={"getVariable": values.get},
    )


class Evaluation:
    """Evaluates the expressions of one form, so many at most."""

    def __init__(self, context: FormContext) -> None:
        self._context = context
        self._left = MAX_EXPRESSIONS

    def value(self, text: str) -> Any:
        """Return what a text with expressions comes to; None where one fails: a form is shown nevertheless.

        As in Flowable, where a name that is not there yet leaves a field empty.
        """
        self._left -= 1
        if self._left < 0:
            return None
        try:
            return self.of(parse(text))
        except ExpressionSyntaxError:
            return None

    def of(self, expression: Expression) -> Any:
        """Return what a parsed expression comes to; None where it fails."""
        try:
            return expression.evaluate(self._context)
        except ExpressionError:
            return None


def is_expression(text: Any) -> bool:
    """Tell whether a value of a model is text with an expression."""
    return isinstance(text, str) and ("${" in text or "#{" in text)
