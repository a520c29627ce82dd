"""One command's unit of work: emits events, keeps the worklist, bounds the steps.

Work is a FIFO list of steps, as in Flowable: flows taken together are entered in the order in which they were taken,
breadth first. Nothing recurses from element to element, so depth costs no stack.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from engine.kernel import events as ev
from engine.kernel.apply import HANDLERS
from engine.kernel.definition import Definition, Node
from engine.kernel.env import Env
from engine.kernel.errors import Refused, failed
from engine.kernel.expression import ExpressionError
from engine.kernel.state import Execution, Instance, Task, Tree

Step = Callable[..., None]


class Turn:
    """The tree, the environment and what has happened so far in this command."""

    __slots__ = (
        "_definitions",
        "_most_steps",
        "_pending",
        "_steps",
        "_work",
        "at",
        "ended_tasks",
        "ends",
        "env",
        "event_name",
        "events",
        "heard",
        "postponed",
        "touched",
        "transient",
        "tree",
        "user_id",
    )

    def __init__(self, tree: Tree, env: Env, user_id: str = "") -> None:
        self.tree = tree
        self.env = env
        self.at = env.now
        self.user_id = user_id
        self.event_name = ""
        self.events: list[ev.Event] = []
        self.heard = 0
        self.ends: dict[str, str] = {}
        self.ended_tasks: dict[str, Task] = {}
        self.postponed: dict[str, Instance] = {}
        self.touched: dict[str, None] = {}
        self.transient: dict[str, dict[str, Any]] = {}
        self._work: deque[tuple[Step, tuple[Any, ...], str]] = deque()
        self._pending: dict[str, int] = {}
        self._steps = 0
        self._most_steps = env.limits.steps
        self._definitions: dict[str, Definition] = {}

    def emit(self, event: ev.Event) -> None:
        """Let an event happen: it changes the state here and now."""
        handler = HANDLERS.get(type(event))
        if handler is not None:
            handler(self.tree, event)
        self.events.append(event)
        self.touched[event.instance_id] = None

    def touched_instances(self) -> list[Instance]:
        """Those to which anything happened in this command and that go on."""
        instances = self.tree.instances
        return [found for i in self.touched if (found := instances.get(i)) is not None and not found.is_ended]

    def definition_of(self, instance: Instance) -> Definition:
        found = self._definitions.get(instance.definition_id)
        if found is None:
            found = self._definitions[instance.definition_id] = self.env.definitions.by_id(instance.definition_id)
        return found

    def node_of(self, instance: Instance, execution: Execution) -> Node:
        return self.definition_of(instance).nodes[execution.element]

    def later(self, scope_id: str, step: Step, *arguments: Any) -> None:
        """Queue a step that belongs to a scope: the scope does not end before it was done."""
        self._pending[scope_id] = self._pending.get(scope_id, 0) + 1
        self._work.append((step, arguments, scope_id))

    def drop(self, scope_id: str) -> None:
        """Forget the queued steps of a scope that is being cancelled."""
        if self._pending.get(scope_id):
            self._work = deque(entry for entry in self._work if entry[2] != scope_id)
            self._pending[scope_id] = 0

    def is_pending(self, scope_id: str) -> bool:
        """Whether steps wait in that scope."""
        return self._pending.get(scope_id, 0) > 0

    def next(self) -> tuple[Step, tuple[Any, ...], str] | None:
        """Take the next step from the list: what to call, with what, and the scope that it belongs to.

        Raises Refused when there have been too many.
        """
        if not self._work:
            return None
        self._steps += 1
        if self._steps > self._most_steps:
            raise failed(
                "too-many-steps",
                f"expected a wait state within {self._most_steps} steps of one command, found none: "
                "the model loops without waiting (limit: steps)",
                root_id=self.tree.root_id,
            )
        found = self._work.popleft()
        self._pending[found[2]] -= 1
        return found

    def alive(self, instance: Instance, scope_id: str) -> bool:
        """Whether a scope (the instance itself, or one of its executions) still lives."""
        if instance.is_ended or self.tree.instances.get(instance.id) is not instance:
            return False
        return scope_id == instance.id or scope_id in instance.executions


def expression_refusal(error: ExpressionError, element_id: str) -> Refused:
    """How an expression that fails while a model runs is answered."""
    return failed("expression-failed", f"element '{element_id}': {error}", element_id=element_id)
