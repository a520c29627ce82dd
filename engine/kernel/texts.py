"""How long the words of people may be: names, keys, people, topics. Longer ones are refused before they are stored.

The bound is that of Flowable's columns. It is checked here, and not left to a database, so that every store answers
alike and a text that comes out of an expression is refused with the command that made it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from engine.kernel import events as ev
from engine.kernel.commands import Command
from engine.kernel.errors import INVALID_ARGUMENT, Refused, failed

MAX_WORDS: Final = 255
"""Characters of a name, a key, a person, a topic."""
MAX_KIND: Final = 64
"""Characters of the type of an identity link."""

_TASK: Final = ("name", "assignee", "owner", "category", "form_key", "tenant_id")
_FIELDS: Final[Mapping[type[ev.Event], tuple[str, ...]]] = {
    ev.ProcessInstanceStarted: (
        "business_key",
        "business_status",
        "name",
        "start_user_id",
        "tenant_id",
        "callback_id",
        "callback_type",
        "reference_id",
        "reference_type",
    ),
    ev.VariableSet: ("name",),
    ev.TaskCreated: _TASK,
    ev.IdentityLinkAdded: ("user_id", "group_id"),
    ev.JobScheduled: ("topic", "repeat", "element_name"),
    ev.SubscriptionOpened: ("name",),
    ev.SignalThrown: ("name",),
    ev.MessageThrown: ("name", "business_key"),
}
_CHANGES: Final = (ev.TaskUpdated, ev.ProcessInstanceUpdated)
_WORDS: Final = frozenset((*_TASK, "business_key", "business_status"))


def check_texts(events: Iterable[ev.Event], command: Command | None) -> None:
    """Look through what a command made happen.

    Raises Refused: INVALID_ARGUMENT if the command itself brought the text (None: it did), FAILED_PRECONDITION if the
    model made it.
    """
    for event in events:
        kind = event.__class__
        names = _FIELDS.get(kind)
        if names is not None:
            for name in names:
                value = getattr(event, name)
                if value is not None and len(value) > MAX_WORDS:
                    raise _too_long(name, value, MAX_WORDS, command)
            if kind is ev.IdentityLinkAdded and len(event.kind) > MAX_KIND:  # type: ignore[attr-defined]
                raise _too_long("type", event.kind, MAX_KIND, command)  # type: ignore[attr-defined]
        elif kind in _CHANGES:
            _check_changes(event.changes, command)  # type: ignore[attr-defined]


def _check_changes(changes: Mapping[str, Any], command: Command | None) -> None:
    for name, value in changes.items():
        if name in _WORDS and isinstance(value, str) and len(value) > MAX_WORDS:
            raise _too_long(name, value, MAX_WORDS, command)


def _too_long(name: str, value: str, most: int, command: Command | None) -> Refused:
    message = f"expected {name} to have at most {most} characters, found {len(value)}"
    if command is None or _brings(command, value):
        return Refused(INVALID_ARGUMENT, "text-too-long", message, field=name)
    return failed("text-too-long", f"{message}, made by the model", field=name)


def _brings(command: Command, value: str) -> bool:
    for given in msgspec.structs.astuple(command):
        if given == value or (isinstance(given, Mapping) and (value in given or value in given.values())):
            return True
    return False
