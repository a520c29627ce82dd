"""Variable listener: happens when a variable of its name is changed in the instance (Flowable's extension).

Unlike a condition it is watched: whoever changes the variable, the event happens in the same command, after what the
command has to do anyway; once for each change that was made since it waits.
"""

from dataclasses import dataclass
from typing import Final

from engine.kernel.definition import Node, Position, TriggerKind
from engine.kernel.here import Here
from engine.kernel.listening import CREATE, DELETE, UPDATE
from engine.kernel.reading import Reader, Source
from engine.kernel.state import VARIABLE

CHANGES: Final[dict[str, frozenset[str]]] = {
    "all": frozenset((CREATE, UPDATE, DELETE)),
    "create": frozenset((CREATE,)),
    "update": frozenset((UPDATE,)),
    "update-create": frozenset((CREATE, UPDATE)),
    "delete": frozenset((DELETE,)),
}
"""By `variableChangeType`: the changes that count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableListener:
    name: str
    changes: frozenset[str]


def _read(source: Source, reader: Reader, event: Source) -> VariableListener:
    name = source.attributes.get("variableName", "").strip()
    if not name:
        reader.problem(source, "expected a variableName to listen to, found none", event.id)
    kind = source.attributes.get("variableChangeType", "").strip() or "all"
    if kind not in CHANGES:
        reader.problem(
            source, f"expected the variableChangeType to be one of {', '.join(CHANGES)}, found '{kind}'", event.id
        )
    return VariableListener(name=name, changes=CHANGES.get(kind, frozenset()))


def _arm(here: Here, node: Node) -> None:
    here.subscribe(VARIABLE, node.event.name, node)


TRIGGER: Final = TriggerKind(
    name=VARIABLE,
    tag="variableListenerEventDefinition",
    positions=frozenset((Position.EVENT_SUB_START, Position.CATCH, Position.BOUNDARY)),
    read=_read,
    arm=_arm,
)
