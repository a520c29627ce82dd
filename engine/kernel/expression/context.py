"""What an evaluation sees of the world."""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Protocol

from engine.kernel.expression.errors import ExpressionError, UnknownName
from engine.kernel.expression.exposed import Exposed, Value


class Context(Protocol):
    """The roots, the time and the tasks that an evaluation may use."""

    @property
    def now(self) -> datetime:
        """The time of the command, aware."""

    def resolve(self, name: str) -> Value:
        """The root of that name: a visible variable first, then an exposed object. Raises `UnknownName`."""

    def has(self, name: str) -> bool:
        """Whether a *variable* of that name is visible, whatever its value."""

    def assign(self, name: str, value: Value) -> None:
        """Set the variable of that name. Raises `ExpressionError` where variables cannot be set."""

    def task(self, task_id: str) -> Exposed:
        """The task of that id, for `task:get(id)`. Raises `ExpressionError` if there is none in reach."""


class MappingContext:
    """A context over plain mappings, for values that do not live in an instance."""

    __slots__ = ("now", "objects", "tasks", "variables")

    def __init__(
        self,
        variables: MutableMapping[str, Value],
        *,
        now: datetime,
        objects: Mapping[str, Value] | None = None,
        tasks: Mapping[str, Exposed] | None = None,
    ) -> None:
        self.variables = variables
        self.now = now
        self.objects: Mapping[str, Value] = {} if objects is None else objects
        self.tasks: Mapping[str, Exposed] = {} if tasks is None else tasks

    def resolve(self, name: str) -> Value:
        if name in self.variables:
            return self.variables[name]
        if name in self.objects:
            return self.objects[name]
        raise UnknownName(name)

    def has(self, name: str) -> bool:
        return name in self.variables

    def assign(self, name: str, value: Value) -> None:
        self.variables[name] = value

    def task(self, task_id: str) -> Exposed:
        if task_id not in self.tasks:
            raise ExpressionError(f"expected the id of a task in reach, found {task_id!r}")
        return self.tasks[task_id]
