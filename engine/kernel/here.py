"""Where an element's behaviour runs: its node, its execution, and what it may do from there.

`Here` is what elements and event definitions program against. It knows the turn; elements never see storage.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.kernel import contexts, flows, lifecycle, scopes, waits
from engine.kernel import events as ev
from engine.kernel.definition import Flow, Node
from engine.kernel.errors import BpmnError, Refused, failed
from engine.kernel.expression import Expression, ExpressionError
from engine.kernel.state import Execution, Instance, Task
from engine.kernel.turn import Turn, expression_refusal
from engine.kernel.values import Variable


class Here:
    """One execution at one element (or, for a host, the execution that an event is attached to)."""

    __slots__ = ("execution", "instance", "node", "turn")

    def __init__(self, turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
        self.turn = turn
        self.instance = instance
        self.execution = execution
        self.node = node

    @property
    def now(self) -> datetime:
        return self.turn.at

    @property
    def is_alive(self) -> bool:
        return self.instance.executions.get(self.execution.id) is self.execution

    # --- going on -------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Be done: the element instance ends and its outgoing flows are taken."""
        lifecycle.leave(self.turn, self.instance, self.execution, self.node)

    def leave_by(self, flows: Sequence[Flow]) -> None:
        """Be done and take exactly these flows."""
        lifecycle.leave(self.turn, self.instance, self.execution, self.node, tuple(flows))

    def end_path(self) -> None:
        """Be done and go nowhere: the path ends here."""
        lifecycle.leave(self.turn, self.instance, self.execution, self.node, ())

    def enter_child(self, node: Node) -> None:
        """Put a token before an element inside this scope."""
        lifecycle.enter_later(self.turn, self.instance, self.execution.id, node)

    def throw(self, code: str, message: str = "") -> None:
        """Throw a BPMN error from here."""
        raise BpmnError(code, message)

    # --- values ---------------------------------------------------------------------------------------------------

    def context(self, task: Task | None = None, extra: Mapping[str, Any] | None = None) -> contexts.ExecutionContext:
        return contexts.ExecutionContext(self.turn, self.instance, self.execution, task, extra)

    def value(
        self, expression: Expression | None, task: Task | None = None, extra: Mapping[str, Any] | None = None
    ) -> Any:
        """The value of an expression; None if there is none. An expression that fails refuses the command.

        `extra` are names that count besides the variables.
        """
        if expression is None:
            return None
        try:
            return expression.evaluate(self.context(task, extra))
        except ExpressionError as error:
            raise expression_refusal(error, self.node.id) from error

    def text(self, expression: Expression | None) -> str:
        """The value of an expression as text; '' for none or null."""
        value = self.value(expression)
        return "" if value is None else value if isinstance(value, str) else to_text(value)

    def holds(self, flow: Flow) -> bool:
        """Whether a flow may be taken: its skip expression in place of its condition, if skipping is enabled."""
        return flows.holds(self.turn, self.instance, self.execution, flow)

    def variable(self, name: str) -> Any:
        """The value of a visible variable, None if there is none."""
        try:
            return scopes.find(self.turn, self.instance, self.execution, name)
        except KeyError:
            return None

    def has_variable(self, name: str) -> bool:
        return scopes.has(self.turn, self.instance, self.execution, name)

    def visible_variables(self) -> dict[str, Any]:
        return scopes.visible(self.turn, self.instance, self.execution)

    def set_variable(self, name: str, value: Any) -> None:
        scopes.set_variable(self.turn, self.instance, self.execution, name, value)

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        for name, value in variables.items():
            scopes.set_variable(self.turn, self.instance, self.execution, name, value)

    def set_local(self, name: str, value: Any) -> None:
        scopes.put(self.turn, self.instance, self.execution.id, name, value)

    def set_around(self, event: Node, name: str, value: Any) -> None:
        """Set in the scope in which a catching event of this host goes on."""
        scope_id = self.execution.parent if event.attached_to is not None else self.execution.id
        scopes.put(self.turn, self.instance, scope_id, name, value)

    def set_transient(self, name: str, value: Any) -> None:
        """A variable that lives as long as this command."""
        self.turn.transient.setdefault(self.instance.id, {})[name] = (
            value.value if isinstance(value, Variable) else value
        )

    # --- waiting --------------------------------------------------------------------------------------------------

    def emit(self, event: ev.Event) -> None:
        self.turn.emit(event)

    def subscribe(self, kind: str, name: str, node: Node | None = None, configuration: str = "") -> str:
        """Wait on this execution for a message, signal or condition on behalf of `node` (this element by default)."""
        subscription_id = self.turn.env.new_id()
        self.emit(
            ev.SubscriptionOpened(
                instance_id=self.instance.id,
                subscription_id=subscription_id,
                execution_id=self.execution.id,
                element_id=(node or self.node).id,
                kind=kind,
                name=name,
                at=self.now,
                tenant_id=self.instance.tenant_id,
                definition_id=self.instance.definition_id,
                configuration=configuration,
            )
        )
        return subscription_id

    def schedule(
        self,
        kind: str,
        handler: str,
        *,
        due_at: datetime | None = None,
        node: Node | None = None,
        repeat: str = "",
        topic: str = "",
        exclusive: bool = True,
        payload: dict[str, Any] | None = None,
    ) -> str:
        """Ask for work later or elsewhere, on behalf of `node` (this element by default)."""
        return waits.schedule(
            self.turn,
            self.instance,
            self.execution.id,
            node or self.node,
            kind,
            handler,
            due_at=due_at or self.now,
            repeat=repeat,
            topic=topic,
            exclusive=exclusive,
            payload=payload or {},
        )

    def refuse(self, reason: str, message: str, **facts: str) -> Refused:
        """A refusal of the whole command that names this element."""
        return failed(reason, f"element '{self.node.id}': {message}", element_id=self.node.id, **facts)


def to_text(value: Any) -> str:
    """A value as Flowable would print it into text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
