"""The start events of a definition that wait: messages and signals as subscriptions, timers as jobs.

Their names and times are computed once, when the definition becomes the latest of its key (Flowable); no instance
exists then, so an expression sees no variables.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from engine.app.repository import DefinitionJob, MessageStart, RepositoryReader, StartSubscription
from engine.kernel.definition import Definition, Node
from engine.kernel.errors import Refused, failed, invalid
from engine.kernel.expression import Expression, ExpressionError, MappingContext
from engine.kernel.state import MESSAGE, SIGNAL, TIMER
from engine.kernel.triggers.signal import INSTANCE_SCOPE
from engine.kernel.triggers.timer import START_HANDLER, due_of

MAX_NAME: Final = 255


class StartEvents(msgspec.Struct, frozen=True, kw_only=True):
    """What waits to start one definition."""

    subscriptions: list[StartSubscription]
    jobs: list[DefinitionJob]

    @property
    def messages(self) -> list[StartSubscription]:
        return [subscription for subscription in self.subscriptions if subscription.kind == MESSAGE]


def start_events(
    definition: Definition, now: datetime, new_id: Callable[[], str], *, suspended: bool = False
) -> StartEvents:
    """Compute what the start events of a definition wait for from now on.

    Raises Refused (INVALID_ARGUMENT) for a name or a time that cannot be computed, or a message that two of them have.
    """
    found = StartEvents(subscriptions=[], jobs=[])
    for node in definition.starts:
        kind = node.trigger.name if node.trigger is not None else ""
        if kind in (MESSAGE, SIGNAL):
            found.subscriptions.append(_subscription(definition, node, kind, now, new_id))
        elif kind == TIMER:
            found.jobs.append(_job(definition, node, now, new_id, suspended=suspended))
    _check_messages_differ(definition, found.messages)
    return found


def check_free(wanted: list[StartSubscription], key: str, reader: Callable[[list[str]], list[MessageStart]]) -> None:
    """Check that no other definition starts by one of these messages already. Raises Refused (INVALID_ARGUMENT)."""
    owners = reader([subscription.name for subscription in wanted]) if wanted else []
    if owners:
        raise invalid(
            "message-start-taken",
            f"expected a message that starts no other process, found '{owners[0].name}' of process '{key}', "
            f"which starts {owners[0].definition_id} already",
            message_name=owners[0].name,
            process_definition_id=owners[0].definition_id,
        )


def owners_except(reader: RepositoryReader, owners: list[MessageStart], keys: frozenset[str]) -> list[MessageStart]:
    """Those of the start events whose definition has none of the keys."""

    def key_of(definition_id: str) -> str:
        found = reader.definition(definition_id)
        return found.key if found is not None else ""

    return [owner for owner in owners if key_of(owner.definition_id) not in keys]


def _check_messages_differ(definition: Definition, messages: list[StartSubscription]) -> None:
    seen: dict[str, str] = {}
    for message in messages:
        if message.name in seen:
            raise invalid(
                "message-start-taken",
                f"expected a message of its own for start event '{message.element_id}' of process '{definition.key}', "
                f"found '{message.name}', which starts '{seen[message.name]}' already",
                message_name=message.name,
            )
        seen[message.name] = message.element_id


def _subscription(
    definition: Definition, node: Node, kind: str, now: datetime, new_id: Callable[[], str]
) -> StartSubscription:
    name = _value(node, now)(node.event.name)
    if not isinstance(name, str) or not name or len(name) > MAX_NAME:
        raise _bad(node, f"expected a {kind} name of 1 to {MAX_NAME} characters, found {str(name)[:100]!r}")
    return StartSubscription(
        id=new_id(),
        definition_id=definition.id,
        element_id=node.id,
        kind=kind,
        name=name,
        tenant_id=definition.tenant_id,
        configuration=INSTANCE_SCOPE if getattr(node.event, "within_instance", False) else "",
        created_at=now,
    )


def _job(
    definition: Definition, node: Node, now: datetime, new_id: Callable[[], str], *, suspended: bool
) -> DefinitionJob:
    try:
        due, repeat = due_of(node.event, _value(node, now), now)
    except ValueError as error:
        raise _bad(node, str(error)) from error
    return DefinitionJob(
        id=new_id(),
        definition_id=definition.id,
        handler=START_HANDLER,
        due_at=due,
        created_at=now,
        tenant_id=definition.tenant_id,
        element_id=node.id,
        element_name=node.name,
        repeat=repeat,
        suspended=suspended,
    )


def _value(node: Node, now: datetime) -> Callable[[Expression | None], Any]:
    context = MappingContext({}, now=now)

    def value_of(expression: Expression | None) -> Any:
        try:
            return expression.evaluate(context) if expression is not None else None
        except ExpressionError as error:
            raise _bad(node, str(error)) from error

    return value_of


def _bad(node: Node, message: str) -> Refused:
    return invalid(
        "bad-start-event",
        f"line {node.line}, start event '{node.id}': {message}",
        element_id=node.id,
        line=str(node.line),
    )


def cannot_restore(refused: Refused, definition_id: str) -> Refused:
    """The refusal of a deletion after which an older version could not take its start events back."""
    return failed(
        refused.reason,
        f"expected {definition_id} to take its start events back when the newer version goes, found: {refused.message}",
        **refused.facts,
    )
