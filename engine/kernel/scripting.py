"""Scripts in a process: run by the environment, bound to the execution that they belong to."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from engine.kernel import contexts, here, scopes
from engine.kernel.env import ScriptError
from engine.kernel.errors import BpmnError
from engine.kernel.expression import ExpressionError, ExpressionSyntaxError, parse
from engine.kernel.state import Task
from engine.kernel.turn import expression_refusal

EXPRESSION_LANGUAGES = frozenset(("", "juel"))
JAVASCRIPT = frozenset(("javascript", "js", "ecmascript", "nashorn", "rhino", "graal.js"))


# A definition keeps its scripts as text, whatever their language; the same text always parses to the same expression.
parse_script = lru_cache(maxsize=4096)(parse)


class _Api:
    """What a script may call of its execution."""

    def __init__(self, at: "here.Here", task: Task | None) -> None:
        self._at = at
        self._task = contexts.exposed_task(at.turn, task) if task is not None else None
        self._exposed = contexts.exposed_execution(at.turn, at.instance, at.execution)

    def get_variable(self, name: str) -> Any:
        return self._at.variable(name)

    def set_variable(self, name: str, value: Any) -> None:
        self._at.set_variable(name, value)

    def local_names(self) -> Collection[str]:
        return self._at.turn.tree.variables.get(self._at.execution.id, {}).keys()

    def set_local(self, name: str, value: Any) -> None:
        self._at.set_local(name, value)

    def set_transient(self, name: str, value: Any) -> None:
        self._at.set_transient(name, value)

    def remove_variable(self, name: str) -> None:
        scopes.remove_visible(self._at.turn, self._at.instance, self._at.execution, name)

    def remove_local(self, name: str) -> None:
        scopes.remove(self._at.turn, self._at.instance, self._at.execution.id, name)

    def property(self, name: str) -> Any:
        found = self._exposed.properties.get(name)
        return found() if found is not None else None

    def task(self) -> dict[str, Any] | None:
        return {name: read() for name, read in self._task.properties.items()} if self._task is not None else None

    def call_task(self, method: str, value: Any) -> None:
        found = self._task.methods.get(method) if self._task is not None else None
        if found is None:
            raise self._at.refuse("script-failed", f"the script failed: a task has no method '{method}'")
        found(value)


def run_script(
    at: "here.Here",
    language: str,
    source: str,
    *,
    store: bool,
    inputs: Mapping[str, Any] | None = None,
    only_inputs: bool = False,
    task: Task | None = None,
) -> Any:
    """Run a script and give its value; `store` keeps the variables that it assigned (Flowable's autoStoreVariables).

    `inputs` are names that it sees besides the variables (`only_inputs`: in their place), `task` the one whose listener
    it is. Refuses the command if the script fails; a BPMN error that it throws is one.
    """
    if language.lower() in EXPRESSION_LANGUAGES:
        return _expression(at, source, task, inputs)
    visible = {**({} if only_inputs else at.visible_variables()), **(inputs or {})}
    try:
        value, assigned = at.turn.env.scripts.run(language.lower(), source, visible, _Api(at, task))
    except ScriptError as error:
        raise at.refuse("script-failed", f"the script failed: {error}") from error
    except BpmnError:
        raise
    if store:
        for name, given in assigned.items():
            at.set_variable(name, given)
    return value


def _expression(at: "here.Here", source: str, task: Task | None, inputs: Mapping[str, Any] | None) -> Any:
    """JUEL is the default script language: the script is an expression."""
    try:
        return parse_script(source.strip()).evaluate(at.context(task, inputs))
    except ExpressionSyntaxError as error:
        raise at.refuse("script-failed", f"the script is no expression: {error}") from error
    except ExpressionError as error:
        raise expression_refusal(error, at.node.id) from error
