"""What the kernel is told of the world: time, ids, definitions, scripts and limits."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from engine.kernel.errors import Called
from engine.kernel.values import Value

if TYPE_CHECKING:
    from engine.kernel.definition import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Named bounds of one command. Each can be moved by a setting of the engine."""

    steps: int = 50_000
    """Steps of one command; more of them mean a loop without a wait state, and the command is refused."""
    loop_turns: int = 10_000
    """Turns of one multi-instance activity."""
    variable_bytes: int = 4 * 1024 * 1024
    """Size of one variable's value as JSON."""
    call_depth: int = 32
    """Nesting of call activities."""
    job_retries: int = 3
    retry_base_seconds: float = 2.0
    retry_max_seconds: float = 3600.0


class Definitions(Protocol):
    """Compiled definitions at hand. Raises `MissingDefinition` for one to load, `Refused` for one that there is not."""

    def by_id(self, definition_id: str) -> "Definition": ...

    def called(self, called: Called) -> "Definition": ...


class Scripts(Protocol):
    """Runs a script of a language: returns its value and the variables that it assigned. Raises `ScriptError`."""

    def run(
        self, language: str, source: str, variables: Mapping[str, Value], api: "ScriptApi"
    ) -> tuple[Value, dict[str, Value]]: ...


class ScriptApi(Protocol):
    """What a script may call of its execution."""

    def get_variable(self, name: str) -> Value: ...

    def set_variable(self, name: str, value: Value) -> None: ...

    def local_names(self) -> Collection[str]: ...

    def set_local(self, name: str, value: Value) -> None: ...

    def set_transient(self, name: str, value: Value) -> None: ...

    def remove_variable(self, name: str) -> None: ...

    def remove_local(self, name: str) -> None: ...

    def property(self, name: str) -> Value: ...

    def task(self) -> dict[str, Value] | None:
        """The fields of the task whose listener runs; None outside of task listeners."""
        ...

    def call_task(self, method: str, value: Value) -> None:
        """Call a method of that task, such as `setName`."""
        ...


class ScriptError(Exception):
    """A script that failed, ran too long or needed too much memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """The environment of one command. `now` is UTC; `new_id` mints ids of the tree's shard."""

    now: datetime
    new_id: Callable[[], str]
    definitions: Definitions
    scripts: Scripts
    limits: Limits = field(default_factory=Limits)
